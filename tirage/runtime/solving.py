"""The sync door: what `import tirage` offers to scripts and notebooks. Everything behind it is async."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tirage.agents.driver import Log, StepEvent
from tirage.agents.explorer import Agent, SolveContext
from tirage.core.budget import Budget, Meter
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.trajectory import Trajectory
from tirage.core.tree import ROOT, Tree
from tirage.core.verdict import Verdict
from tirage.evaluation.reports.report import Report
from tirage.rollouts.runner import judge
from tirage.runtime.config import AgentConfig, HintsConfig, ImproveConfig, ModelConfig, SamplingConfig, SandboxOptions, SearchConfig
from tirage.runtime.config_files import build_config, load_config
from tirage.runtime.event_loop import open_loop
from tirage.runtime.improve import improve_round
from tirage.runtime.opening import Parts, known_profile, make_agent, open_interpreter, open_models
from tirage.runtime.stages import Silent
from tirage.runtime.toolbox import open_tools
from tirage.verification.reading import answer_of
from tirage.verification.verifiers import Verifiers

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What `solve` found."""

    answer: str | None
    """The final answer as written; None when there is none."""
    tree: Tree
    """All that was explored."""
    verdict: Verdict | None
    """Present when a reference answer was given."""

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
        "stop": solution.tree.ended or (trajectory.stop.value if trajectory is not None else None),
        "error": trajectory.error.message if trajectory is not None and trajectory.error is not None else None,
        "usage": {
            "model_calls": usage.model_calls,
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "tool_calls": usage.tool_calls,
        },
    }


@asynccontextmanager
async def open_agent(
    model: str = "nano",
    *,
    options: ModelConfig | None = None,
    agent: AgentConfig | None = None,
    sampling: SamplingConfig | None = None,
    hints: HintsConfig | None = None,
    own: Collection[str] = (),
) -> AsyncIterator[Agent]:
    """The agent that words and settings stand for, with its model, sandbox and tools open; `own`: as of `Verifiers`."""
    settings, driven = SandboxOptions(), agent or AgentConfig()
    opened = await open_models(model, options, driven)
    try:
        async with open_interpreter(settings) as sandbox, open_tools(driven, opened) as tools, Verifiers(own) as alike:
            chosen = sampling or SamplingConfig()
            yield make_agent(opened, driven, chosen, sandbox=sandbox, options=settings, hints=hints, alike=alike, tools=tools)
    finally:
        await opened.close()


async def solve_async(  # noqa: PLR0913 - each is one of the parts that a caller may settle
    problem: Problem,
    *,
    model: str = "nano",
    options: ModelConfig | None = None,
    agent: AgentConfig | None = None,
    sampling: SamplingConfig | None = None,
    hints: HintsConfig | None = None,
    budget: Budget | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
    log: Log | None = None,
    own: Collection[str] = (),
) -> Solution:
    """Solve one problem; see `solve`. What `log` knows is not done again. `own`: verifiers at `module:attribute`, as of `Verifiers`."""
    if not problem.prompt.strip():
        raise ConfigError("the question is empty; give the text of a problem")
    async with open_agent(model, options=options, agent=agent, sampling=sampling, hints=hints, own=own) as explorer:
        return await solve_with(explorer, problem, budget=budget, on_step=on_step, log=log, own=own)


async def solve_with(
    agent: Agent,
    problem: Problem,
    *,
    budget: Budget | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
    log: Log | None = None,
    own: Collection[str] = (),
) -> Solution:
    """Solve one problem with an agent whose parts are open; `own`: as of `Verifiers`."""
    tree = await agent.solve(
        problem, SolveContext(seed=derive_seed(0, problem.asked.id), meter=Meter(budget or Budget()), on_step=on_step, log=log)
    )
    verdict = None
    if problem.answer is not None and tree.chosen:
        async with Verifiers(own) as verifiers:
            verdict = (await judge(tree, problem, verifiers.of(problem))).get(tree.chosen)
    answer = answer_of(tree.trajectory(tree.chosen), problem) if tree.chosen else None
    return Solution(answer=answer, tree=tree, verdict=verdict)


def solve(
    question: str,
    *,
    model: str = "nano",
    answer: str | None = None,
    hint: bool | None = None,
    best_of: int = 1,
    agent: str | None = None,
    **options: Any,
) -> Solution:
    """Let a language model solve `question` with Python in the sandbox.

    `answer`: reference answer to grade against. `hint`: place a START hint before the first thought; by default only for
    `nano`, which seldom reaches for its tool by itself. `best_of`: chains to sample; the answer is the majority.
    `agent`: a published system (`tirage solve --agent list` names them) with its `options`.
    Raises the `TirageError` family.
    """
    problem = Problem(prompt=question, answer=answer)
    hints = solve_hints(model, hint)
    config = AgentConfig(best_of=best_of, name=agent, options=options)
    return run_sync(solve_async(problem, model=model, agent=config, hints=hints))


def search(
    question: str,
    *,
    strategy: str = "mcts",
    model: str = "nano",
    answer: str | None = None,
    hint: bool | None = None,
    budget: Mapping[str, float] | None = None,
    **settings: Any,
) -> Solution:
    """Grow a tree of attempts at `question` and return it with its answer; called as `tirage.search(...)`.

    Args:
        question: The problem.
        strategy: `tirage search --list` names them.
        model: Model string.
        answer: Reference answer to grade against; the search does not see it.
        hint: Place a START hint before the first thought; by default only for `nano`.
        budget: Limits of the tree, such as `{"tokens": 8000}`; 64 nodes by default. Hitting one returns the best answer so far.
        settings: Further keys of `SearchConfig`: options, valuer, checks, stop, merge, concurrency.

    Raises:
        ConfigError: An unknown strategy, option or key; the `TirageError` family for what breaks.
    """
    data = {"strategy": strategy, "budget": dict(budget or {"nodes": 64}), **settings}
    config = AgentConfig(search=build_config(SearchConfig, data, "search"))
    hints = solve_hints(model, hint)
    sampling = SamplingConfig(temperature=0.0) if strategy == "greedy" else None
    return run_sync(solve_async(Problem(prompt=question, answer=answer), model=model, agent=config, sampling=sampling, hints=hints))


def solve_hints(model: str, hint: bool | None, options: ModelConfig | None = None) -> HintsConfig | None:
    """The hints `solve` gives: one before the first thought when asked for, or by default where the model's profile says so (`nano`)."""
    from tirage.core.hint import HintPosition

    wanted = known_profile(model, options).hint == "start" if hint is None else hint
    return HintsConfig(positions=(HintPosition.START,)) if wanted else None


def improve(config: str | Path | ImproveConfig, *, run: str | Path | None = None) -> Report:
    """Run one improvement round and return its report; interrupted rounds resume. `run`: folder, `runs/NAME` by default."""
    settings = config if isinstance(config, ImproveConfig) else load_config(ImproveConfig, Path(config))
    folder = Path(run) if run is not None else Path("runs") / settings.name
    return run_sync(improve_round(settings, folder, Parts(settings), Silent()))


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from sync code, also from inside a running event loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work)
    outcome: list[T] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            outcome.append(_run(work))
        except BaseException as error:  # handed over to the calling thread
            failure.append(error)

    thread = threading.Thread(target=target, name="tirage")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=open_loop) as runner:
        return runner.run(work)
