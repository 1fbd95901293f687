"""How a tree grows: ask, step, value, tell, until the search is done, a rule stops it or the budget is spent.

Results are told in the order of asking, and what steers (spending, stop rules) is counted when they are told, so the same seed gives the
same tree however the answers are timed, and a log of the outcomes gives it again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from tirage.agents.search_options import SearchParts
from tirage.agents.sessions import Sessions
from tirage.agents.siblings import Siblings
from tirage.agents.step_executor import FATAL, ONE_CALL, StepExecutor, recorded_tool, run_tool
from tirage.agents.valuation import Estimate, most_tokens_of, shown_to, together
from tirage.core.budget import Meter
from tirage.core.errors import TirageError, boundary
from tirage.core.message import Message, Observation, ToolCall
from tirage.core.own_text import read_own
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Step, Usage
from tirage.core.trajectory import StopReason, Trajectory
from tirage.core.tree import ROOT, Node, Tree
from tirage.models.allowance import allowed, spending
from tirage.sandbox.base import Session
from tirage.search.base import Search, Trial
from tirage.search.stopping import StopRule, first_reason
from tirage.traces.search_log import StepOutcome
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

    def take(self, trial: int, parent: int, sample: int, move: str) -> StepOutcome | None:
        """What became of a trial before; None when it was not settled."""
        ...

    def add(self, outcome: StepOutcome) -> None:
        """Keep an outcome."""
        ...


class _Done(NamedTuple):
    """An outcome and what travels beside it."""

    outcome: StepOutcome
    session: Session | None = None
    logged: bool = False
    """Whether an interrupted run did it, and paid for it."""


class SearchDriver:
    """One tree while it grows."""

    def __init__(
        self,
        agent: SearchParts,
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
        self._own = Meter(agent.search_options.budget)
        self._log = log
        self._on_step = on_step
        self._rules: Sequence[StopRule] = agent.search_options.stop_rules()
        self._executor = StepExecutor(agent, problem.asked, messages, tree)
        self._sessions = Sessions(agent.sandbox, tree, self._replay)
        self._spelling = Spelling(problem.asked, agent.alike)
        self._siblings = Siblings(tree, self._answer_in, agent.search_options.merge or "state")
        self._promised: dict[int, Usage] = {}
        """What is set aside for each trial in flight, by its number."""
        self._told = 0
        self._started = time.monotonic()

    async def run(self) -> None:
        """Grow until nothing is left to do. What is in flight when a limit is reached still joins the tree."""
        waiting: dict[int, tuple[Trial, asyncio.Task[_Done]]] = {}
        try:
            while True:
                # Ask: the search names as many trials as have room; what each may sample is set aside.
                trials = [] if self._full(bool(waiting)) else self.search.ask(self._tree, self._room(len(waiting)))
                if len(trials) == 1 and not waiting:
                    # A task for a lone trial would cost turns of the event loop, between which every other rollout goes first.
                    trial = trials[0]
                    result = await self._outcome(trial, self._reserve(trial))
                else:
                    for trial in trials:
                        waiting[trial.id] = (trial, asyncio.ensure_future(self._outcome(trial, self._reserve(trial))))
                    if not waiting:
                        return
                    # In the order of asking, whatever ends first, so that the tree does not depend on the timing.
                    trial, task = waiting[self._told]
                    result = await task
                    del waiting[self._told]
                self._told += 1
                # Tell: the outcome is paid for, joins the tree, is valued and backed up by the search.
                self._pay(trial, result)
                await self._settle(trial, result)
        finally:
            for reserved in self._promised.values():
                self._shared.settle(reserved, ONE_CALL)
            if waiting:
                tasks = [task for _, task in waiting.values()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def choose(self) -> int:
        """The node whose path is the answer: as the chooser says, where there is one and a call may still be made; else as the search."""
        chooser, tree = self._agent.search_options.chooser, self._tree
        if chooser is not None and (self._own.exhausted() or self._shared.exhausted()) is None:
            try:
                with boundary("model"), spending(self._left()):
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

    def _full(self, waiting: bool) -> bool:
        """Whether nothing may start: the tree has ended, for the reason in `tree.ended`, or what is in flight may use up a budget."""
        if self._tree.ended:
            return True
        elapsed = time.monotonic() - self._started
        promised = self._own.exhausted() or self._shared.exhausted()
        spent = self._own.exhausted(elapsed_s=elapsed, in_flight=False) or self._shared.exhausted(elapsed_s=elapsed, in_flight=False)
        if not waiting:
            # What others have in flight will not come back to this tree.
            spent = spent or promised
        nodes = self._own.budget.nodes
        if spent is None and nodes is not None and len(self._tree.nodes) > nodes:
            spent = "nodes"
        if spent is not None:
            self._tree.ended = f"budget: {spent}"
        return (spent or promised) is not None

    def _room(self, waiting: int) -> int:
        """How many trials may start now."""
        room = self._agent.limits.concurrency - waiting
        for meter in (self._own, self._shared):
            calls = meter.left("model_calls")
            if calls is not None:
                room = min(room, int(calls))
        left, most = self._left(), self._most()
        if left is not None:
            room = min(room, 1 if most is None else -(-left // max(1, most)))
        nodes = self._own.budget.nodes
        return room if nodes is None else min(room, nodes - (len(self._tree.nodes) - 1) - waiting)

    def _left(self) -> int | None:
        """Tokens that may still be sampled, what is in flight taken off; None without a limit."""
        left = (meter.left("tokens_out") for meter in (self._own, self._shared))
        found = [int(tokens) for tokens in left if tokens is not None]
        known = allowed()
        return min([*found, *([] if known is None else [known])], default=None)

    def _most(self) -> int | None:
        """Tokens that a trial samples at most: the step, what its tools ask of models, its value. None where somebody does not say."""
        agent = self._agent
        tools = together(*(tool.most_tokens for tool in agent.tools.values()))
        valuer = most_tokens_of(agent.search_options.valuer) if self.search.valued else 0
        return together(agent.policy.most_tokens, tools, valuer)

    def _reserve(self, trial: Trial) -> int | None:
        """Set aside what a trial may cost: a call, and the most that it may sample, capped by what is left. Returns those tokens."""
        left, most = self._left(), self._most()
        tokens = left if left is None or most is None else min(left, most)
        prompt = self._own.spent.tokens_in // max(1, len(self._tree.nodes) - 1)
        reserved = Usage(model_calls=1, tokens_in=prompt, tokens_out=tokens or 0)
        self._promised[trial.id] = reserved
        self._own.reserve(reserved)
        self._shared.reserve(reserved)
        return tokens

    def _pay(self, trial: Trial, result: _Done) -> None:
        """Count what a trial did cost. What a log gives back was paid by the run before."""
        reserved, actual = self._promised.pop(trial.id), result.outcome.step.usage + result.outcome.judging
        self._own.settle(reserved, actual)
        self._shared.settle(reserved, Usage() if result.logged else actual)

    # -- one trial -------------------------------------------------------------------------------------------

    async def _outcome(self, trial: Trial, tokens: int | None) -> _Done:
        """What becomes of a trial: from the log, or by taking the step, for which at most `tokens` are sampled."""
        known = self._log.take(trial.id, trial.parent, trial.sample, trial.move) if self._log is not None else None
        if known is not None:
            return _Done(known, logged=True)
        with spending(tokens):
            outcome, session = await self._executor.take(trial, self._sessions, most_tokens=tokens)
            estimate = await self._value(trial, outcome)
        outcome = replace(outcome, value=estimate.value, note=estimate.note, judging=estimate.usage)
        if self._log is not None:
            self._log.add(outcome)
        return _Done(outcome, session)

    async def _value(self, trial: Trial, outcome: StepOutcome) -> Estimate:
        """The valuer's estimate of the path that a step completes."""
        valuer = self._agent.search_options.valuer
        if valuer is None or not self.search.valued or outcome.error is not None:
            return Estimate(value=outcome.value)
        if allowed() == 0 and most_tokens_of(valuer) != 0:
            return Estimate(value=outcome.value, note="not valued: the budget is spent")
        path = self._read(self._tree.extended(trial.parent, outcome.step, stop=outcome.stop))
        try:
            with boundary("model"):
                return await valuer.value(shown_to(valuer, self._problem), path, derive_seed(self._tree.seed, "value", trial.id))
        except FATAL:
            raise
        except TirageError as error:
            return Estimate(value=None, note=f"not valued: {error}")

    # -- telling ---------------------------------------------------------------------------------------------

    async def _settle(self, trial: Trial, result: _Done) -> None:
        outcome, tree, search_options = result.outcome, self._tree, self._agent.search_options
        stop, first = outcome.stop, len(tree.nodes)
        if outcome.error is None and (search_options.merge or search_options.lm_share is not None):
            first = await self._siblings.first(trial.parent, outcome.step, outcome.stop)
        merged = bool(search_options.merge) and first != len(tree.nodes)
        if merged:
            stop = StopReason.MERGED
        node = tree.add(
            trial.parent,
            outcome.step,
            stop=stop,
            sample=trial.sample,
            error=outcome.error,
            prior=outcome.prior,
            move=trial.move,
        )
        if outcome.value is not None:
            tree.values[node.index] = outcome.value
        if search_options.lm_share is not None and outcome.error is None:
            self._siblings.agree(node.index, first, search_options.lm_share)
        if outcome.note or merged:
            tree.notes[node.index] = f"same state as node {first}" if merged else outcome.note
        if outcome.judging != Usage():
            tree.judging = tree.judging + outcome.judging
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
        await self._watch(node, ended=outcome.stop is not StopReason.OPEN)
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
