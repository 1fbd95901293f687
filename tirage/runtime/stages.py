"""Stages of rollouts in a run folder: what `tirage improve`, `rollout` and `eval` have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tirage.agents.driver import StepEvent
from tirage.agents.explorer import Agent
from tirage.core.budget import Budget
from tirage.core.problem import Problem
from tirage.models.base import Model
from tirage.rollouts.runner import Runner, Stage, StageProgress
from tirage.runtime.config import AgentConfig, HintsConfig, RolloutConfig, RunConfig, SamplingConfig
from tirage.runtime.config_files import config_hash
from tirage.runtime.opening.sampling import sampling_for
from tirage.runtime.runs import RunFolder
from tirage.runtime.runtime import Runtime


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
        """Show a line of text."""
        ...


class Silent:
    """A display that shows nothing."""

    def stage(self, progress: StageProgress) -> None:
        """Ignore."""

    def job(self, name: str, step: int, steps: int, loss: float | None) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


AgentMaker = Callable[[Runtime, Plan], Agent]
"""Makes the agent of a stage over open parts."""


def planned_agent(runtime: Runtime, plan: Plan) -> Agent:
    """The agent that a plan describes; an oracle among its valuers may ask the verifiers."""
    several = plan.varied or plan.samples > 1
    return runtime.agent(plan.agent, sampling=plan.sampling, hints=plan.hints, several=several, oracle=True)


async def roll_plans(
    config: RunConfig,
    run: RunFolder,
    show: Display,
    plans: Sequence[Plan],
    *,
    model: str | None = None,
    budget: Budget | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
    make: AgentMaker = planned_agent,
) -> list[StageProgress]:
    """Roll out what is missing of each plan, in order; the model is opened once, and not at all when nothing is missing.

    `model`: another model string than the configuration's. `budget` is shared by each plan's rollouts.
    """
    progress = [_standing(run, plan) for plan in plans]
    for standing in progress:
        if standing.total and standing.done == standing.total:
            show.stage(standing)
    if all(standing.done == standing.total for standing in progress):
        return progress
    async with Runtime(config, model=model) as runtime:
        run.check_tools(runtime.tools)
        for number, plan in enumerate(plans):
            if progress[number].done == progress[number].total:
                continue
            driven = plan.agent or config.agent
            runner = Runner(
                make(runtime, plan),
                runtime.verifiers.of,
                run.store,
                seed=config.seed,
                concurrency=config.model_options.concurrency,
                budget=budget,
                logs=run.searches() if driven.search is not None or driven.name is not None else None,
            )
            stage = stage_of(config, plan, runtime.model)
            with run.timed(plan.name):
                progress[number] = await runner.run(stage, on_progress=show.stage, on_start=run.begun, on_step=on_step)
    return progress


async def roll_out(
    config: RolloutConfig,
    folder: Path,
    plan: Plan,
    show: Display,
    *,
    budget: Budget | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
) -> StageProgress:
    """Roll out what is missing of one plan in `folder`, the run folder of `config`. Raises the `TirageError` family."""
    with RunFolder(folder, config) as run:
        return (await roll_plans(config, run, show, [plan], budget=budget, on_step=on_step))[0]


def plan_of(config: RolloutConfig, name: str, problems: Sequence[Problem]) -> Plan:
    """The one stage of a configuration of rollouts."""
    return Plan(name=name, problems=tuple(problems), sampling=config.sampling, hints=config.hints, samples=config.samples)


def _standing(run: RunFolder, plan: Plan) -> StageProgress:
    done = run.finished(plan.name, plan.problems, plan.samples)
    return StageProgress(stage=plan.name, total=len(plan.problems) * plan.samples, resumed=done, done=done)


def stage_of(config: RunConfig, plan: Plan, model: Model) -> Stage:
    """What a runner needs to know of a plan."""
    driven = plan.agent or config.agent
    sampling = sampling_for(plan.sampling, driven, model, several=plan.varied or plan.samples > 1)
    return Stage(
        name=plan.name,
        problems=plan.problems,
        samples=plan.samples,
        model=model.name,
        tokenizer_hash=model.renderer.hash if model.renderer is not None else "",
        config_hash=config_hash(driven, config.sandbox, plan.sampling, plan.hints),
        sampling={name: getattr(sampling, name) for name in SamplingConfig.model_fields},
    )
