"""Stages of rollouts in a run folder: what `tirage improve`, `rollout` and `eval` have in common."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from tirage.agents.driver import StepEvent
from tirage.agents.explorer import Agent
from tirage.core.budget import Budget
from tirage.core.problem import Problem
from tirage.models.base import Model, Sampling
from tirage.models.profile import profile_of, resolve_sampling
from tirage.problems import FileSource, ProblemSource
from tirage.rollouts.runner import Runner, Stage, StageProgress
from tirage.runtime.config import AgentConfig, HintsConfig, ImproveConfig, RolloutConfig, RunConfig, SamplingConfig
from tirage.runtime.config_files import config_hash
from tirage.runtime.runs import RunFolder
from tirage.sandbox.base import Sandbox
from tirage.systems.registry import find
from tirage.tools.base import Tool
from tirage.verification.verifiers import Verifiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One stage to roll out."""

    name: str
    problems: tuple[Problem, ...]
    sampling: SamplingConfig
    hints: HintsConfig | None = None
    samples: int = 1
    agent: AgentConfig | None = None
    """How problems are driven; None takes the run's way."""
    varied: bool = False
    """Greedy rollouts would be of no use, even where there is one of a problem."""


class Display(Protocol):
    """Where long work shows what it does."""

    def stage(self, progress: StageProgress) -> None:
        """A stage of rollouts has moved."""
        ...

    def job(self, name: str, step: int, steps: int, loss: float | None) -> None:
        """A training job has moved."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...


class Silent:
    """A display that shows nothing."""

    def stage(self, progress: StageProgress) -> None:
        """Ignore."""

    def job(self, name: str, step: int, steps: int, loss: float | None) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


class Parts(Protocol):
    """Ways to open the parts that a configuration names."""

    async def model(self, name: str) -> Model:
        """Open a model string."""
        ...

    def sandbox(self) -> Sandbox:
        """The sandbox, to be entered."""
        ...

    def tools(self, model: Model) -> AbstractAsyncContextManager[Mapping[str, Tool]]:
        """Further tools, open for as long as the stages run, to be entered; some ask `model`."""
        ...

    def agent(
        self, model: Model, sandbox: Sandbox, plan: Plan, verifiers: Verifiers | None = None, tools: Mapping[str, Tool] | None = None
    ) -> Agent:
        """An agent over an open model; `verifiers` is what an oracle asks, if the search has one; `tools` are further ones."""
        ...

    def weights_of(self, name: str) -> str:
        """Folder or hub name of a model string's trainable weights."""
        ...

    def served_like(self, name: str, checkpoint: str) -> str:
        """The model string that serves the weights in `checkpoint` the way `name` is served."""
        ...


async def roll_plans(
    config: RunConfig,
    run: RunFolder,
    parts: Parts,
    show: Display,
    model_name: str,
    plans: Sequence[Plan],
    *,
    budget: Budget | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
) -> list[StageProgress]:
    """Roll out what is missing of each plan, in order; the model is opened once, and not at all when nothing is missing."""
    progress = [_standing(run, plan) for plan in plans]
    for standing in progress:
        if standing.total and standing.done == standing.total:
            show.stage(standing)
    if all(standing.done == standing.total for standing in progress):
        return progress
    model = await parts.model(model_name)
    try:
        async with parts.sandbox() as sandbox, parts.tools(model) as tools, Verifiers(own_verifiers(config)) as verifiers:
            run.check_tools(tools)
            for number, plan in enumerate(plans):
                if progress[number].done == progress[number].total:
                    continue
                driven = plan.agent or config.agent
                runner = Runner(
                    parts.agent(model, sandbox, plan, verifiers, tools),
                    verifiers.of,
                    run.store,
                    seed=config.seed,
                    concurrency=config.model_options.concurrency,
                    budget=budget,
                    logs=run.searches() if driven.search is not None or driven.name is not None else None,
                )
                with run.timed(plan.name):
                    progress[number] = await runner.run(
                        stage_of(config, plan, model), on_progress=show.stage, on_start=run.begun, on_step=on_step
                    )
    finally:
        await model.close()
    return progress


def own_verifiers(config: RunConfig) -> frozenset[str]:
    """The verifiers that a configuration names for its problems."""
    sources: tuple[ProblemSource | None, ...] = ()
    if isinstance(config, ImproveConfig):
        sources = (config.problems.train, config.problems.heldout, config.problems.unseen)
    elif isinstance(config, RolloutConfig):
        sources = (config.problems,)
    return frozenset(item.verifier for item in sources if isinstance(item, FileSource) and item.verifier is not None)


def _standing(run: RunFolder, plan: Plan) -> StageProgress:
    done = run.finished(plan.name, plan.problems, plan.samples)
    return StageProgress(stage=plan.name, total=len(plan.problems) * plan.samples, resumed=done, done=done)


def sampling_of(plan: Plan, driven: AgentConfig, model: Model) -> Sampling:
    """How a plan's turns are sampled: as its user says, else as the published system or the model does."""
    return sampling_for(plan.sampling, driven, model, several=plan.varied or plan.samples > 1)


def sampling_for(user: SamplingConfig, driven: AgentConfig, model: Model, *, several: bool = False) -> Sampling:
    """The user's sampling, completed; `several`: of a prompt more than one draw is wanted, whatever the agent does."""
    system = {} if driven.name is None else find(driven.name).sampling
    several = several or driven.best_of > 1 or driven.search is not None or driven.name is not None
    found = resolve_sampling(user.model_dump(), system, profile_of(model), several=several)
    # Only who asks for top_k is told that a back end has none.
    return found if user.top_k is not None or model.capabilities.top_k else replace(found, top_k=0)


def stage_of(config: RunConfig, plan: Plan, model: Model) -> Stage:
    """What a runner is told of a plan."""
    sampling = sampling_of(plan, plan.agent or config.agent, model)
    return Stage(
        name=plan.name,
        problems=plan.problems,
        samples=plan.samples,
        model=model.name,
        tokenizer_hash=model.renderer.hash if model.renderer is not None else "",
        config_hash=config_hash(plan.agent or config.agent, config.sandbox, plan.sampling, plan.hints),
        sampling={name: getattr(sampling, name) for name in SamplingConfig.model_fields},
    )
