"""The explorer: drives any search with a policy, tools and sandbox branches, and returns the tree.

A single chain is the trivial search, so greedy decoding, best-of-N and tree search share this loop. Results are told
in the order of asking, so the same seed gives the same tree however the model's answers are timed.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tirage.agents.policy import Draft, Policy
from tirage.agents.requests import Path
from tirage.core.budget import Budget, Meter
from tirage.core.errors import CapabilityError, ConfigError, ModelAuthError, ModelUnavailable, TirageError, boundary
from tirage.core.message import Message, Observation, ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Source, Step, Usage
from tirage.core.trajectory import Failure, StopReason
from tirage.core.tree import Node, Tree
from tirage.sandbox.base import Sandbox, Session
from tirage.search.base import Search, Trial
from tirage.search.best_of_n import BestOfN
from tirage.tools.base import Tool
from tirage.verification.extract import final_answer

NO_MORE_CODE = "Running code does not help here; I will go on without it.\n"
"""Put into the policy's mouth after `max_failures` failing executions in a row (START's debug budget)."""

FATAL = (ModelUnavailable, ModelAuthError, CapabilityError, ConfigError)
"""Failures of the surroundings that every further step would meet too: they end the run instead of one rollout."""
_ONE_CALL = Usage(model_calls=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """Limits of one path."""

    max_calls: int = 6
    """Tool calls (START: 6; Qwen2.5-Math: 4)."""
    max_steps: int = 16
    max_failures: int = 3
    """Failing calls in a row before the policy is told to go on without code."""
    concurrency: int = 16
    """Trials of one tree in flight at once."""


@dataclass(frozen=True, slots=True)
class StepEvent:
    """Something to show while a tree grows: a new node."""

    problem: Problem
    tree: Tree
    node: Node


class Agent(Protocol):
    """Drives one problem to an outcome."""

    async def solve(
        self, problem: Problem, *, seed: int, meter: Meter | None = None, on_step: Callable[[StepEvent], None] | None = None
    ) -> Tree:
        """Grow a tree for `problem` and choose its answer."""
        ...


class Explorer:
    """The agent that runs every strategy."""

    def __init__(
        self,
        policy: Policy,
        *,
        tools: Mapping[str, Tool],
        sandbox: Sandbox | None,
        search: Callable[[], Search] = BestOfN,
        answer_of: Callable[[str], str | None] = final_answer,
        limits: PathLimits | None = None,
    ) -> None:
        """`search` makes a fresh search per tree, a single chain by default; `answer_of` finds the final answer in a response.

        `sandbox` may be None when no tool needs a session.
        """
        self.policy = policy
        self.tools = tools
        self.sandbox = sandbox
        self.search = search
        self.answer_of = answer_of
        self.limits = limits or PathLimits()

    async def solve(
        self, problem: Problem, *, seed: int, meter: Meter | None = None, on_step: Callable[[StepEvent], None] | None = None
    ) -> Tree:
        """Grow a tree until the search is done or the budget is spent. Raises only what `FATAL` names."""
        messages, prompt = self.policy.prompt(problem)
        tree = Tree(problem_id=problem.id, policy_id=self.policy.id, seed=seed, prompt=prompt)
        growth = _Growth(self, problem, messages, tree, meter or Meter(Budget()), on_step)
        try:
            await growth.run()
        finally:
            await growth.close()
        answers = {leaf: self.answer_of(tree.trajectory(leaf).response) for leaf in tree.leaves()}
        tree.chosen = growth.search.choose(tree, answers)
        return tree


class _Growth:
    """The state of one tree while it grows."""

    def __init__(
        self,
        agent: Explorer,
        problem: Problem,
        messages: tuple[Message, ...],
        tree: Tree,
        meter: Meter,
        on_step: Callable[[StepEvent], None] | None,
    ) -> None:
        self.agent = agent
        self.problem = problem
        self.messages = messages
        self.tree = tree
        self.meter = meter
        self.on_step = on_step
        self.search = agent.search()
        self.sessions: dict[int, Session] = {}
        self.started = time.monotonic()

    async def run(self) -> None:
        waiting: dict[int, tuple[Trial, asyncio.Task[_Result]]] = {}
        next_told = 0
        try:
            while True:
                trials: list[Trial] = []
                spent = self.meter.exhausted(elapsed_s=time.monotonic() - self.started)
                if spent is None:
                    trials = self.search.ask(self.tree, self._room(len(waiting)))
                else:
                    self.tree.ended = f"budget: {spent}"
                if len(trials) == 1 and not waiting:
                    # A task for a lone trial would cost turns of the event loop, between which every other rollout goes first.
                    trial, result = trials[0], await self._extend(trials[0])
                else:
                    waiting |= {trial.id: (trial, asyncio.ensure_future(self._extend(trial))) for trial in trials}
                    if not waiting:
                        return
                    trial, task = waiting[next_told]
                    result = await task
                    del waiting[next_told]
                next_told += 1
                await self._settle(trial, result)
        finally:
            if waiting:
                for _, task in waiting.values():
                    task.cancel()
                await asyncio.gather(*(task for _, task in waiting.values()), return_exceptions=True)

    def _room(self, waiting: int) -> int:
        """How many trials may start now; at least one model call is left."""
        room, calls = self.agent.limits.concurrency - waiting, self.meter.budget.model_calls
        if calls is None:
            return room
        return min(room, calls - self.meter.spent.model_calls - self.meter.reserved.model_calls)

    async def close(self) -> None:
        for session in self.sessions.values():
            await session.close()
        self.sessions.clear()

    async def _settle(self, trial: Trial, result: "_Result") -> None:
        node = self.tree.add(trial.parent, result.step, stop=result.stop, sample=trial.sample, error=result.error)
        if result.session is not None:
            if result.stop is StopReason.OPEN:
                self.sessions[node.index] = result.session
            else:
                await result.session.close()
        self.search.tell(self.tree, trial, node)
        if trial.parent in self.sessions and self.search.is_closed(trial.parent):
            await self.sessions.pop(trial.parent).close()
        if self.on_step is not None:
            self.on_step(StepEvent(self.problem, self.tree, node))

    async def _extend(self, trial: Trial) -> "_Result":
        """One step below `trial.parent`: propose, run the calls, decide whether the path ends."""
        nodes = self.tree.path(trial.parent)
        steps = tuple(node.step for node in nodes if node.step is not None)
        path = Path(messages=self.messages, prompt=self.tree.prompt, steps=steps)
        # Hints belong to the draw from the root with which the path began.
        hint_seed = derive_seed(self.tree.seed, nodes[0].sample if nodes else trial.sample)
        seed = derive_seed(hint_seed, len(steps), trial.sample)
        limit = self.meter.budget.tokens_out
        most = None if limit is None else limit - self.meter.spent.tokens_out
        self.meter.reserve(_ONE_CALL)
        draft: Draft | None = None
        actual = _ONE_CALL
        try:
            with boundary("model"):
                draft = await self.agent.policy.propose(self.problem, path, seed=seed, hint_seed=hint_seed, most_tokens=most)
            actual = draft.usage
            return await self._act(trial, path, draft)
        except FATAL:
            raise
        except TirageError as error:
            return _broken(draft, error)
        finally:
            self.meter.settle(_ONE_CALL, actual)

    async def _act(self, trial: Trial, path: Path, draft: Draft) -> "_Result":
        """Run the draft's calls and close the step."""
        used = sum(len(step.calls) for step in path.steps)
        most = 0 if _failures(path.steps) >= self.agent.limits.max_failures else self.agent.limits.max_calls - used
        observations: list[Observation] = []
        if draft.finish is Finish.MALFORMED:
            observations.append(Observation(text=f"InvalidCall: {draft.problem}", status=ObservationStatus.INVALID))
        holder = _Interpreter(self, trial)
        try:
            for number, call in enumerate(draft.calls):
                observations.append(await self._call(call, holder) if number < most else _refusal(call))
        except BaseException:
            await holder.close()
            raise
        spans = draft.spans
        if draft.calls or draft.spans[-1].text.rstrip().endswith(self.agent.policy.waiting):
            spans = (*spans, *self.agent.policy.show(path, draft, observations))
        usage = draft.usage
        if draft.calls:
            spent = Usage(tool_calls=min(most, len(draft.calls)), sandbox_s=sum(item.duration_s for item in observations))
            self.meter.spent = self.meter.spent + spent
            usage = usage + spent
        step = Step(
            spans=spans,
            finish=draft.finish,
            calls=draft.calls,
            observations=tuple(observations) if spans is not draft.spans else (),
            hint=draft.hint,
            usage=usage,
        )
        return self._finish(path, step, holder.session)

    def _finish(self, path: Path, step: Step, session: Session | None) -> "_Result":
        stop = _stop(step, len(path.steps) + 1, self.agent.limits)
        if stop is StopReason.OPEN and _failures((*path.steps, step)) == self.agent.limits.max_failures:
            note = self.agent.policy.inject(Source.FORCED, NO_MORE_CODE)
            step = replace(step, spans=(*step.spans, note))
        return _Result(step, stop, session)

    async def _call(self, call: ToolCall, interpreter: "_Interpreter") -> Observation:
        tool = self.agent.tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self.agent.tools)) or "none"
            text = f"UnknownTool: there is no tool named {call.name!r}; tools: {known}"
            return Observation(text=text, status=ObservationStatus.INVALID, call_id=call.id)
        session = await interpreter.ready()
        with boundary("tool"):
            return await tool.call(call, session)


class _Interpreter:
    """The session a step runs in: moved from the parent when nobody else will need it, else branched, else opened."""

    def __init__(self, growth: _Growth, trial: Trial) -> None:
        self._growth = growth
        self._parent = trial.parent
        self.session: Session | None = growth.sessions.pop(trial.parent, None) if trial.exclusive else None

    async def ready(self) -> Session | None:
        """The session, made on first need; None when the agent has no sandbox."""
        sandbox = self._growth.agent.sandbox
        if self.session is None and sandbox is not None:
            parent = self._growth.sessions.get(self._parent)
            with boundary("sandbox"):
                self.session = await (parent.branch() if parent is not None else sandbox.open())
        return self.session

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


@dataclass(frozen=True, slots=True)
class _Result:
    step: Step
    stop: StopReason
    session: Session | None = None
    error: Failure | None = None


def _broken(draft: Draft | None, error: TirageError) -> _Result:
    """A step that something around the policy broke: what was written is kept, the failure is recorded."""
    failure = Failure(boundary=error.boundary or "model", kind=type(error).__name__, message=str(error))
    if draft is None:
        return _Result(Step(spans=(), finish=Finish.ERROR, usage=_ONE_CALL), StopReason.ERROR, None, failure)
    step = Step(spans=draft.spans, finish=Finish.ERROR, hint=draft.hint, usage=draft.usage)
    return _Result(step, StopReason.ERROR, None, failure)


def _stop(step: Step, depth: int, limits: PathLimits) -> StopReason:
    """Whether a path ends with `step`, and why."""
    if any(observation.status is ObservationStatus.REFUSED for observation in step.observations):
        return StopReason.CALLS
    if step.finish is Finish.STOP:
        return StopReason.ANSWERED
    if step.finish is Finish.LENGTH:
        return StopReason.LENGTH
    if step.finish is Finish.MALFORMED and step.spans[-1].source is Source.POLICY:
        return StopReason.MALFORMED
    return StopReason.OPEN if depth < limits.max_steps else StopReason.CALLS


def _failures(steps: Sequence[Step]) -> int:
    """How many observations at the end of the path, in a row, report a failure."""
    count = 0
    for step in reversed(steps):
        for observation in reversed(step.observations):
            if observation.status is ObservationStatus.OK:
                return count
            count += 1
    return count


def _refusal(call: ToolCall) -> Observation:
    return Observation(text="No more tool calls are allowed.", status=ObservationStatus.REFUSED, call_id=call.id)
