"""One problem from question to answer: `solve` for scripts and notebooks, `solve_async` for everything that is async already."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tirage.agents.driver import Log, StepEvent
from tirage.agents.explorer import Agent, SolveContext
from tirage.core.budget import Budget, Meter
from tirage.core.errors import ConfigError, TirageError
from tirage.core.hint import HintPosition
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.seeds import derive_seed
from tirage.core.trajectory import Trajectory
from tirage.core.tree import ROOT, Tree
from tirage.core.verdict import Verdict
from tirage.models.base import Model
from tirage.models.profile import profile_of
from tirage.rollouts.runner import judge
from tirage.runtime.config import AgentConfig, BudgetConfig, HintsConfig, ModelConfig, SamplingConfig, SearchConfig, SolveConfig
from tirage.runtime.config_files import build_config
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.models import known_profile
from tirage.runtime.opening.searching import budget_config, limit_word, tree_budget
from tirage.runtime.opening.toolbox import as_tool
from tirage.runtime.runs import RUNS, RunFolder, fresh_folder
from tirage.runtime.runtime import Runtime
from tirage.runtime.stages import Plan, stage_of
from tirage.tools.base import Tool
from tirage.tools.toolset import toolset
from tirage.verification.reading import answer_of
from tirage.verification.verifiers import Verifiers

STAGE = "solve"
NODES = 64
"""Steps of a searched tree where nobody sets a limit."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What `solve` found."""

    answer: str | None
    """The final answer as written; None when there is none."""
    tree: Tree
    """All that was explored."""
    verdict: Verdict | None
    """Present when a reference answer was given."""
    run: Path | None = None
    """The run folder that keeps the trace, for `tirage trace show RUN`; None where it is not kept."""

    @property
    def trajectory(self) -> Trajectory | None:
        """The chosen path; None when nothing was produced."""
        return self.tree.trajectory(self.tree.chosen) if self.tree.chosen != ROOT else None


def as_data(solution: Solution) -> dict[str, object]:
    """The result as JSON data."""
    trajectory = solution.trajectory
    usage = solution.tree.usage
    return {
        "answer": solution.answer,
        "correct": solution.verdict.correct if solution.verdict is not None else None,
        "response": trajectory.response if trajectory is not None else "",
        "stop": limit_word(solution.tree.ended) or (trajectory.stop.value if trajectory is not None else None),
        "error": trajectory.error.message if trajectory is not None and trajectory.error is not None else None,
        "usage": {
            "model_calls": usage.model_calls,
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "tool_calls": usage.tool_calls,
        },
    }


def solve(  # noqa: PLR0913 - the public face: each is one thing that a user may want to say
    question: str | Problem,
    *,
    model: str | Model = "nano",
    answer: str | None = None,
    strategy: str | SearchConfig | None = None,
    agent: str | AgentConfig | Agent | None = None,
    options: Mapping[str, Any] | None = None,
    best_of: int = 1,
    hint: bool | None = None,
    tools: Iterable[Tool | Callable[..., Any] | str] = (),
    budget: Budget | None = None,
    run: str | Path | None = "auto",
    seed: int = 0,
) -> Solution:
    """Let a language model solve a problem with Python in the sandbox; keep the trace.

        solution = tirage.solve("What is 17 * 23 - 4?", answer="387")
        solution.answer, solution.verdict.correct, solution.run

    Args:
        question: The problem's text, or a problem.
        model: A model string (`tirage models` lists the forms), or a model that is open.
        answer: Reference answer to grade against; the model does not see it.
        strategy: Search a tree of attempts by this strategy (`tirage search --list` names them), or by a whole search configuration;
            64 nodes where no budget is set.
        agent: A published system (`tirage solve --agent list` names them), an agent's configuration, or an agent whose parts are open.
        options: Options of the strategy or of the published system.
        best_of: Independent chains to sample; the answer is the majority.
        hint: Place a START hint before the first thought; by default only where the model's profile says so (`nano`).
        tools: Functions that the model may call: `@tool`, plain functions, or words as in `agent.tools_from`.
        budget: Limits of all that is done; reaching one gives the best answer so far.
        run: Run folder that keeps the trace. `"auto"` makes `runs/solve-DATE-TIME` once there is something to keep; None keeps nothing.
        seed: Every draw derives from it.

    Raises:
        ConfigError: Arguments that do not go together, an unknown name or option, a run folder that cannot be written.
        TirageError: The rest of its family, for what breaks around the model.
    """
    problem = Problem(prompt=question, answer=answer) if isinstance(question, str) else question
    if answer is not None and problem.answer != answer:
        problem = replace(problem, answer=answer)
    kept: Path | Literal["auto"] | None = None if run is None else "auto" if run == "auto" else Path(run)
    limits = BudgetConfig() if budget is None else budget_config(budget)
    if agent is not None and not isinstance(agent, str | AgentConfig):
        shapes = {"strategy": strategy, "options": options, "best_of": best_of != 1, "hint": hint, "tools": tools}
        _refuse_beside_agent(shapes | {"budget.nodes": limits.nodes, "budget.depth": limits.depth})
        whole = SolveConfig(model=f"{type(agent).__module__}:{type(agent).__qualname__}", budget=limits, seed=seed)
        return run_sync(_solve_open(agent, problem, whole, run=kept))
    words, functions = _offered(tools)
    driven = _driven(agent, strategy, options or {}, best_of, bounded=budget is not None)
    config = SolveConfig(
        model=model if isinstance(model, str) else model.name,
        agent=driven.model_copy(update={"tools_from": (*driven.tools_from, *words)}) if words else driven,
        hints=solve_hints(model, hint),
        sampling=SamplingConfig(temperature=0.0) if driven.search is not None and driven.search.strategy == "greedy" else SamplingConfig(),
        budget=limits,
        seed=seed,
    )
    return run_sync(solve_async(problem, config, model=model, tools=toolset(*functions), run=kept))


def _offered(tools: Iterable[Tool | Callable[..., Any] | str]) -> tuple[list[str], list[Tool]]:
    """The tools that are named, and those that are at hand."""
    given = list(tools)
    return [item for item in given if isinstance(item, str)], [as_tool(item) for item in given if not isinstance(item, str)]


def _refuse_beside_agent(given: Mapping[str, object]) -> None:
    """Raises `ConfigError` for arguments that shape an agent, beside one that is made already."""
    there = [name for name, value in given.items() if value]
    if there:
        raise ConfigError(f"solve: {', '.join(there)} cannot be given beside an agent whose parts are open; build the agent with them")


def _driven(
    agent: str | AgentConfig | None, strategy: str | SearchConfig | None, options: Mapping[str, Any], best_of: int, *, bounded: bool
) -> AgentConfig:
    """How the problem is driven, as `solve` was asked. Raises `ConfigError`."""
    if best_of < 1:
        raise ConfigError(f"solve: best_of={best_of} chains cannot be sampled; give 1 or more")
    config = agent if isinstance(agent, AgentConfig) else AgentConfig(name=agent)
    if config.name is not None and (strategy is not None or best_of > 1):
        raise ConfigError(f"solve: the published system {config.name!r} searches in its own way; leave out strategy and best_of")
    if strategy is not None and best_of > 1:
        raise ConfigError(f"solve: best_of={best_of} is a strategy itself; leave it out, or give strategy='best-of-{best_of}'")
    if options and strategy is None and config.name is None:
        raise ConfigError(f"solve: the options {', '.join(options)} belong to a strategy or a published system; name it")
    if strategy is None:
        changed: dict[str, Any] = {"options": {**config.options, **options}} if options else {}
        return config.model_copy(update=changed | ({"best_of": best_of} if best_of > 1 else {}))
    search = build_config(SearchConfig, {"strategy": strategy}, "solve") if isinstance(strategy, str) else strategy
    search = search.model_copy(update={"options": {**search.options, **options}}) if options else search
    if not bounded and search.budget == BudgetConfig():
        search = search.model_copy(update={"budget": BudgetConfig(nodes=NODES)})
    return config.model_copy(update={"search": search})


async def solve_async(
    problem: Problem,
    config: SolveConfig | None = None,
    *,
    model: str | Model | None = None,
    tools: Mapping[str, Tool] | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
    log: Log | None = None,
    run: Path | Literal["auto"] | None = None,
) -> Solution:
    """Solve one problem as a configuration says.

    Args:
        problem: What to solve.
        config: Model, agent, sampling, hints, limits, seed; nano with Python by default.
        model: In place of the configuration's model, as `Runtime` takes it.
        tools: Further tools by name.
        on_step: Is shown each node as soon as it is in the tree.
        log: Keeps outcomes; what it knows of an interrupted run is not done again.
        run: Run folder that keeps the trace, `auto` for a fresh one beneath `runs`, None for none.

    Raises:
        TirageError: One of its family.
    """
    config = config or SolveConfig()
    if not problem.prompt.strip():
        raise ConfigError("the question is empty; give the text of a problem")
    if config.verifier is not None:
        problem = replace(problem, verifier=config.verifier)
    if isinstance(run, Path):
        RunFolder(run, config).close()
    async with Runtime(config, model=model, tools=tools) as runtime:
        agent = runtime.agent(_limited(config), hints=config.hints)
        context = _context(problem, config, on_step=on_step, log=log)
        rollout = await _roll(agent, problem, context, runtime.verifiers)
        if run is None:
            return _solution(rollout)
        plan = Plan(name=STAGE, problems=(problem,), sampling=config.sampling, hints=config.hints)
        stage = stage_of(config, plan, runtime.model)
        described = replace(
            rollout,
            model=stage.model,
            tokenizer_hash=stage.tokenizer_hash,
            config_hash=stage.config_hash,
            sampling=stage.sampling,
        )
        return _kept(described, config, run)


async def solve_with(
    agent: Agent,
    problem: Problem,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
    log: Log | None = None,
) -> Solution:
    """Solve one problem with an agent whose parts are open; nothing is kept."""
    config = SolveConfig(seed=seed, budget=BudgetConfig() if budget is None else budget_config(budget))
    async with Verifiers() as verifiers:
        return _solution(await _roll(agent, problem, _context(problem, config, on_step=on_step, log=log), verifiers))


async def _solve_open(agent: Agent, problem: Problem, config: SolveConfig, *, run: Path | Literal["auto"] | None) -> Solution:
    """The same, with the trace kept."""
    if isinstance(run, Path):
        RunFolder(run, config).close()
    async with Verifiers() as verifiers:
        rollout = await _roll(agent, problem, _context(problem, config), verifiers)
    return _solution(rollout) if run is None else _kept(replace(rollout, model=config.model), config, run)


def _limited(config: SolveConfig) -> AgentConfig:
    """The agent with those limits of the budget that only its own trees can keep: nodes, depth and seconds."""
    agent = config.agent
    limits = {name: limit for name in ("nodes", "depth", "seconds") if (limit := getattr(config.budget, name)) is not None}
    if not limits:
        return agent
    if agent.search is None:
        return agent.model_copy(update={"budget": agent.budget.model_copy(update=limits)})
    search = agent.search.model_copy(update={"budget": agent.search.budget.model_copy(update=limits)})
    return agent.model_copy(update={"search": search})


def _context(
    problem: Problem, config: SolveConfig, *, on_step: Callable[[StepEvent], None] | None = None, log: Log | None = None
) -> SolveContext:
    seed, meter = derive_seed(config.seed, problem.asked.id), Meter(tree_budget(config.budget))
    return SolveContext(seed=seed, meter=meter, on_step=on_step, log=log)


async def _roll(agent: Agent, problem: Problem, context: SolveContext, verifiers: Verifiers) -> Rollout:
    """The tree and its verdicts, still without a key or a model's name."""
    verifier, started = verifiers.of(problem), time.monotonic()
    tree = await agent.solve(problem, context)
    return Rollout(
        key="",
        stage=STAGE,
        problem=problem,
        sample=0,
        tree=tree,
        verdicts=await judge(tree, problem, verifier),
        model="",
        wall_s=time.monotonic() - started,
        finished_at=time.time(),
    )


def _solution(rollout: Rollout, run: Path | None = None) -> Solution:
    verdict = rollout.verdict if rollout.problem.answer is not None else None
    path = rollout.trajectory
    answer = answer_of(path, rollout.problem) if path is not None else None
    return Solution(answer=answer, tree=rollout.tree, verdict=verdict, run=run)


def _kept(rollout: Rollout, config: SolveConfig, run: Path | Literal["auto"]) -> Solution:
    """Store the rollout. The answer is there, so what the disk refuses costs a line of warning and no more."""
    try:
        folder = fresh_folder(RUNS, STAGE) if run == "auto" else run
        with RunFolder(folder, config) as opened:
            opened.add(rollout)
    except (OSError, TirageError) as error:
        _LOG.warning("the trace was not kept: %s", error)
        return _solution(rollout)
    return _solution(rollout, folder)


def solve_hints(model: str | Model, hint: bool | None, options: ModelConfig | None = None) -> HintsConfig | None:
    """The hints `solve` gives: one before the first thought when asked for, or by default where the model's profile says so (`nano`)."""
    profile = known_profile(model, options) if isinstance(model, str) else profile_of(model)
    wanted = profile.hint == "start" if hint is None else hint
    return HintsConfig(positions=(HintPosition.START,)) if wanted else None
