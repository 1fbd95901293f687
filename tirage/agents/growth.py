"""How a tree grows: ask, step, value, tell, until the search is done, a rule stops it or the budget is spent.

Results are told in the order of asking, and what steers (spending, stop rules) is counted when they are told, so the same seed gives the
same tree however the answers are timed, and a log of the outcomes gives it again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tirage.agents.equipment import Equipment
from tirage.agents.sessions import Sessions
from tirage.agents.siblings import Siblings
from tirage.agents.stepper import FATAL, ONE_CALL, Stepper, Taken, recorded_tool, run_tool
from tirage.agents.valuers import Estimate, shown_to
from tirage.core.budget import Meter
from tirage.core.errors import TirageError, boundary
from tirage.core.message import Message, Observation, ToolCall
from tirage.core.own_text import read_own
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Step, Usage
from tirage.core.trajectory import StopReason, Trajectory
from tirage.core.tree import ROOT, Node, Tree
from tirage.sandbox.base import Session
from tirage.search.base import Search, Trial
from tirage.search.stopping import StopRule, first_reason
from tirage.traces.search_log import Settled
from tirage.verification.alike import Spelling
from tirage.verification.extract import conclusion
from tirage.verification.reading import answer_in, answer_of

SWEEP_EVERY = 16
"""Tells between two looks at all sessions: a search may close nodes far from the one that was told."""


@dataclass(frozen=True, slots=True)
class StepEvent:
    """Something to show while a tree grows: a new node."""

    problem: Problem
    tree: Tree
    node: Node


class Log(Protocol):
    """Keeps the outcomes of one tree's trials and gives back those of an interrupted run."""

    def take(self, trial: int, parent: int, sample: int, move: str) -> Settled | None:
        """What became of a trial before; None when it was not settled."""
        ...

    def add(self, settled: Settled) -> None:
        """Keep an outcome."""
        ...


@dataclass(frozen=True, slots=True)
class _Result:
    """An outcome with the session it left, which is not part of the record."""

    settled: Settled
    session: Session | None = None


class Growth:
    """One tree while it grows."""

    def __init__(
        self,
        agent: Equipment,
        problem: Problem,
        messages: tuple[Message, ...],
        tree: Tree,
        *,
        meter: Meter,
        log: Log | None,
        on_step: Callable[[StepEvent], None] | None,
    ) -> None:
        """`meter` is shared with other trees; the agent's budget is this tree's own."""
        self.search: Search = agent.search(seed=derive_seed(tree.seed, "search"))
        self.answers: dict[int, str | None] = {}
        """Answer of each ended leaf, equal answers spelt the same; those of paths that broke are None."""
        self._agent = agent
        self._problem = problem
        self._tree = tree
        self._shared = meter
        self._own = Meter(agent.steering.budget)
        self._log = log
        self._on_step = on_step
        self._rules: Sequence[StopRule] = agent.steering.stop_rules()
        self._stepper = Stepper(agent, problem.asked, messages, tree)
        self._sessions = Sessions(agent.sandbox, tree, self._replay)
        self._spelling = Spelling(problem.asked, agent.alike)
        self._siblings = Siblings(tree, self._answer_in, agent.steering.merge or "state")
        self._told = 0
        self._started = time.monotonic()

    async def run(self) -> None:
        """Grow until nothing is left to do. What is in flight when a limit is reached still joins the tree."""
        waiting: dict[int, tuple[Trial, Usage, asyncio.Task[_Result]]] = {}
        try:
            while True:
                trials = [] if self._full() else self.search.ask(self._tree, self._room(len(waiting)))
                if len(trials) == 1 and not waiting:
                    # A task for a lone trial would cost turns of the event loop, between which every other rollout goes first.
                    trial, reserved = trials[0], self._reserve()
                    result = await self._outcome(trial)
                else:
                    for trial in trials:
                        waiting[trial.id] = (trial, self._reserve(), asyncio.ensure_future(self._outcome(trial)))
                    if not waiting:
                        return
                    trial, reserved, task = waiting[self._told]
                    result = await task
                    del waiting[self._told]
                self._told += 1
                self._own.settle(reserved, result.settled.step.usage + result.settled.judging)
                await self._settle(trial, result)
        finally:
            if waiting:
                tasks = [task for _, _, task in waiting.values()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def choose(self) -> int:
        """The node whose path is the answer: as the chooser says, where there is one and a call may still be made; else as the search."""
        chooser, tree = self._agent.steering.chooser, self._tree
        if chooser is not None and (self._own.exhausted() or self._shared.exhausted()) is None:
            try:
                with boundary("model"):
                    choice = await chooser.choose(self._problem.asked, tree, self.answers, derive_seed(tree.seed, "choose"))
            except FATAL:
                raise
            except TirageError as error:
                tree.notes[ROOT] = f"not chosen: {error}"
            else:
                tree.judging = tree.judging + choice.usage
                self._shared.settle(Usage(), choice.usage)
                if choice.node != ROOT:
                    return choice.node
        return self.search.choose(tree, self.answers)

    async def close(self) -> None:
        """Close the sessions."""
        await self._sessions.close()

    # -- limits ----------------------------------------------------------------------------------------------

    def _full(self) -> bool:
        """Whether nothing may start: the tree has ended, for the reason in `tree.ended`, or what is in flight may use up its budget."""
        if self._tree.ended:
            return True
        elapsed = time.monotonic() - self._started
        spent = self._own.exhausted(elapsed_s=elapsed, in_flight=False) or self._shared.exhausted(elapsed_s=elapsed)
        nodes = self._own.budget.nodes
        if spent is None and nodes is not None and len(self._tree.nodes) > nodes:
            spent = "nodes"
        if spent is not None:
            self._tree.ended = f"budget: {spent}"
        return spent is not None or self._own.exhausted() is not None

    def _room(self, waiting: int) -> int:
        """How many trials may start now."""
        room = self._agent.limits.concurrency - waiting
        for meter in (self._own, self._shared):
            calls = meter.left("model_calls")
            if calls is not None:
                room = min(room, int(calls))
        nodes = self._own.budget.nodes
        return room if nodes is None else min(room, nodes - (len(self._tree.nodes) - 1) - waiting)

    def _reserve(self) -> Usage:
        """Count a trial as in flight on the tree's own budget: a call, and the tokens that a step took on average so far."""
        spent, nodes = self._own.spent, max(1, len(self._tree.nodes) - 1)
        expected = Usage(model_calls=1, tokens_in=spent.tokens_in // nodes, tokens_out=spent.tokens_out // nodes)
        self._own.reserve(expected)
        return expected

    def _most_tokens(self) -> int | None:
        """Tokens that a step may sample at most."""
        left = (meter.left("tokens_out", in_flight=False) for meter in (self._own, self._shared))
        return min((int(tokens) for tokens in left if tokens is not None), default=None)

    # -- one trial -------------------------------------------------------------------------------------------

    async def _outcome(self, trial: Trial) -> _Result:
        """What becomes of a trial: from the log, or by taking the step."""
        known = self._log.take(trial.id, trial.parent, trial.sample, trial.move) if self._log is not None else None
        if known is not None:
            return _Result(known)
        self._shared.reserve(ONE_CALL)
        actual = ONE_CALL
        try:
            taken = await self._stepper.take(trial, self._sessions, most_tokens=self._most_tokens())
            actual = taken.step.usage
            estimate = await self._value(trial, taken)
            actual = actual + estimate.usage
        finally:
            self._shared.settle(ONE_CALL, actual)
        settled = Settled(
            trial=trial.id,
            parent=trial.parent,
            sample=trial.sample,
            move=trial.move,
            step=taken.step,
            stop=taken.stop,
            error=taken.error,
            prior=taken.prior,
            value=estimate.value,
            note=estimate.note,
            judging=estimate.usage,
        )
        if self._log is not None:
            self._log.add(settled)
        return _Result(settled, taken.session)

    async def _value(self, trial: Trial, taken: Taken) -> Estimate:
        """The valuer's word on the path that a step completes."""
        valuer = self._agent.steering.valuer
        if valuer is None or not self.search.valued or taken.error is not None:
            return Estimate(value=taken.value)
        path = self._read(self._tree.extended(trial.parent, taken.step, stop=taken.stop))
        try:
            with boundary("model"):
                return await valuer.value(shown_to(valuer, self._problem), path, derive_seed(self._tree.seed, "value", trial.id))
        except FATAL:
            raise
        except TirageError as error:
            return Estimate(value=None, note=f"not valued: {error}")

    # -- telling ---------------------------------------------------------------------------------------------

    async def _settle(self, trial: Trial, result: _Result) -> None:
        settled, tree, steering = result.settled, self._tree, self._agent.steering
        stop, first = settled.stop, len(tree.nodes)
        if settled.error is None and (steering.merge or steering.lm_share is not None):
            first = await self._siblings.first(trial.parent, settled.step, settled.stop)
        merged = bool(steering.merge) and first != len(tree.nodes)
        if merged:
            stop = StopReason.MERGED
        node = tree.add(
            trial.parent,
            settled.step,
            stop=stop,
            sample=trial.sample,
            error=settled.error,
            prior=settled.prior,
            move=trial.move,
        )
        if settled.value is not None:
            tree.values[node.index] = settled.value
        if steering.lm_share is not None and settled.error is None:
            self._siblings.agree(node.index, first, steering.lm_share)
        if settled.note or merged:
            tree.notes[node.index] = f"same state as node {first}" if merged else settled.note
        if settled.judging != Usage():
            tree.judging = tree.judging + settled.judging
        if result.session is not None:
            if stop is StopReason.OPEN:
                self._sessions.keep(node.index, result.session)
            else:
                await result.session.close()
        self.search.tell(tree, trial, node)
        index = trial.parent
        while index >= ROOT and self.search.is_closed(index):
            await self._sessions.release(index)
            index = tree.nodes[index].parent
        if self._told % SWEEP_EVERY == 0:
            await self._sessions.sweep(self.search.is_closed)
        await self._watch(node, ended=settled.stop is not StopReason.OPEN)
        if self._on_step is not None:
            self._on_step(StepEvent(self._problem, tree, node))

    async def _watch(self, node: Node, *, ended: bool) -> None:
        """Note the answer of a path that ended, and hear the stop rules."""
        answer = None
        if ended:
            path = self._read(self._tree.trajectory(node.index))
            if path.answer is not None:
                self._tree.answers[node.index] = path.answer
            answer = None if path.stop is StopReason.ERROR else await self._spelling.of(answer_of(path, self._problem))
            self.answers[node.index] = answer
        reason = first_reason(self._rules, self._tree, node, answer)
        if reason is not None and not self._tree.ended:
            self._tree.ended = reason

    def _read(self, path: Trajectory) -> Trajectory:
        """An ended path with its answer, where the agent reads answers in its own way."""
        own = self._agent.answer_of
        return path if own is None or path.stop is StopReason.OPEN else replace(path, answer=own(conclusion(path)) or "")

    async def _answer_in(self, step: Step) -> str | None:
        """The answer in a step that ended its path."""
        text, own = read_own((step,)).text, self._agent.answer_of
        return await self._spelling.of(answer_in(text, self._problem) if own is None else own(text))

    async def _replay(self, call: ToolCall, session: Session) -> Observation:
        return await run_tool(recorded_tool(call, self._agent.tools), call, session)
