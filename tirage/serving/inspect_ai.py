"""tirage's agents in Inspect: any of them as the solver of an Inspect task.

    config = SolveConfig(model="http://localhost:8000/v1#NAME", agent=AgentConfig(best_of=8))
    Task(dataset=..., solver=as_solver(config), scorer=match())

The agent asks its own model, not that of the evaluation (`--model none/none` will do), and nothing that Inspect limits: give it a budget.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from tirage.agents.explorer import Agent, SolveContext
from tirage.core.budget import Budget, Meter
from tirage.core.errors import MissingExtra, TirageError
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.seeds import derive_seed
from tirage.core.tree import Tree
from tirage.rollouts.runner import rollout_key
from tirage.runtime.config import SolveConfig
from tirage.runtime.runs import free_sample
from tirage.runtime.runtime import Runtime
from tirage.traces.base import TraceSink
from tirage.traces.messages import to_messages
from tirage.verification.reading import answer_of

if TYPE_CHECKING:
    from inspect_ai.solver import Generate, Solver, TaskState

AgentMaker = Callable[[], AbstractAsyncContextManager[Agent]]


def as_solver(
    agent: str | SolveConfig | Agent | AgentMaker,
    /,
    *,
    budget: Budget | None = None,
    store: TraceSink | None = None,
    stage: str = "inspect",
    whole: bool = False,
) -> "Solver":
    """A solver for Inspect tasks: the sample's user prompt is the problem, its epoch varies the seed.

    A sample then has the answer as its completion, what the agent wrote and read on the path to it as messages, and under
    `metadata["tirage"]` the rollout's `key`, `answer`, `stop`, `ended`, `nodes` and `usage`, discarded branches included.

    Args:
        agent: A model string, a configuration, an agent whose parts are open, or what opens one. What is opened is shared by the samples
            that run at the same time, and closed when none is left.
        budget: Limits of one sample; hitting one gives the best answer so far.
        store: Keeps the rollouts, under the keys that the samples tell; ungraded, as the task's scorer judges.
        stage: First part of their keys.
        whole: Let the completion be what the policy wrote in its last step, for scorers that read it, instead of the answer alone.

    Raises:
        MissingExtra: Inspect is not installed.
    """
    try:
        from inspect_ai.solver import solver
    except ImportError as error:
        raise MissingExtra("inspect_ai", "inspect") from error
    seat = _Seat(_maker(agent))

    def tirage(agent: str) -> "Solver":
        async def solve(state: "TaskState", generate: "Generate") -> "TaskState":
            started = time.monotonic()
            problem = Problem(prompt=state.user_prompt.text)
            async with seat.taken() as opened:
                tree = await opened.solve(
                    problem, SolveContext(seed=derive_seed(0, problem.asked.id, state.epoch), meter=Meter(budget or Budget()))
                )
            rollout = _rollout(problem, tree, stage, store, model=agent, started=started)
            if store is not None:
                store.append(rollout)
            await _tell(state, rollout, whole=whole)
            return state

        return solve

    made: Solver = solver(name="tirage")(tirage)(_name_of(agent))
    return made


def _name_of(agent: str | SolveConfig | Agent | AgentMaker) -> str:
    """What the log of the evaluation calls it."""
    if isinstance(agent, str):
        return agent
    return agent.model if isinstance(agent, SolveConfig) else type(agent).__name__


def _maker(agent: str | SolveConfig | Agent | AgentMaker) -> AgentMaker:
    if isinstance(agent, str | SolveConfig):
        config = SolveConfig(model=agent) if isinstance(agent, str) else agent
        return lambda: _open(config)
    if hasattr(agent, "solve"):
        return lambda: nullcontext(cast(Agent, agent))
    return agent


@asynccontextmanager
async def _open(config: SolveConfig) -> AsyncIterator[Agent]:
    """The agent of a configuration, while its parts are open."""
    async with Runtime(config) as runtime:
        yield runtime.agent(hints=config.hints)


class _Seat:
    """An agent that is open while somebody needs it."""

    def __init__(self, make: AgentMaker) -> None:
        self._make = make
        self._users = 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Agent]:
        if not self._users:
            self._opened: asyncio.Future[Agent] = asyncio.get_running_loop().create_future()
            self._left = asyncio.Event()
            # In a task of its own: what is opened must be closed by the task that opened it, and samples come and go.
            self._holding = asyncio.create_task(self._hold(self._opened, self._left))
        self._users += 1
        try:
            yield await asyncio.shield(self._opened)
        finally:
            self._users -= 1
            if not self._users:
                self._left.set()
                await self._holding

    async def _hold(self, opened: "asyncio.Future[Agent]", left: asyncio.Event) -> None:
        try:
            async with self._make() as agent:
                opened.set_result(agent)
                await left.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)


def _rollout(problem: Problem, tree: Tree, stage: str, store: TraceSink | None, *, model: str, started: float) -> Rollout:
    sample = free_sample(store.keys(stage) if store is not None else set(), stage, problem)
    return Rollout(
        key=rollout_key(stage, problem, sample),
        stage=stage,
        problem=problem,
        sample=sample,
        tree=tree,
        verdicts={},
        model=model,
        wall_s=time.monotonic() - started,
        finished_at=time.time(),
    )


async def _tell(state: "TaskState", rollout: Rollout, *, whole: bool) -> None:
    """Write into `state` what came out. Raises what broke around the agent: Inspect then counts an error, not a wrong answer."""
    from inspect_ai.model import ModelOutput, ModelUsage, messages_from_openai

    path, usage = rollout.trajectory, rollout.tree.usage
    if path is not None and path.error is not None:
        raise TirageError(f"{path.error.boundary} failed: {path.error.kind}: {path.error.message}")
    answer = answer_of(path, rollout.problem)
    said = path.steps[-1].policy_text if path is not None else ""
    if path is not None:
        told = to_messages(rollout, rollout.chosen)
        # The problem stands in the sample already; a role's own prompt does not.
        state.messages.extend(await messages_from_openai(told[1:] if path.steps[0].opening is None else told))
    state.output = ModelOutput.from_content(rollout.model, said if whole or answer is None else answer)
    state.output.usage = ModelUsage(
        input_tokens=usage.tokens_in - usage.tokens_cached,
        output_tokens=usage.tokens_out,
        total_tokens=usage.tokens_in + usage.tokens_out,
        input_tokens_cache_read=usage.tokens_cached,
    )
    state.metadata["tirage"] = {
        "key": rollout.key,
        "answer": answer,
        "stop": str(path.stop) if path is not None else None,
        "ended": rollout.tree.ended,
        "nodes": len(rollout.tree.nodes) - 1,
        "usage": asdict(usage),
    }
