"""A problem as several roles work on it: every turn is a node of one tree, on one budget, in one log.

A turn is a conversation of its own (`Step.opening`), hung below the turn that it answers. Turns that may run side by side are asked for
`together` and join the tree in the order of asking, so the same seed gives the same tree however they are timed.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from tirage.agents.driver import Log, StepEvent
from tirage.agents.explorer import SolveContext
from tirage.agents.replies import Unreadable, whole
from tirage.core.budget import Budget, Meter, OutOfBudget
from tirage.core.message import Observation, ToolCall
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Opening, Source, Span, Step
from tirage.core.trajectory import Failure, StopReason
from tirage.core.tree import ROOT, Tree
from tirage.models.allowance import spending
from tirage.verification.alike import Alike, Spelling, quickly
from tirage.verification.reading import answer_in
from tirage.workflows.approval import Action, ApprovalGate
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role
from tirage.workflows.shots import shown
from tirage.workflows.tool_runner import ToolRunner
from tirage.workflows.turn_log import TurnLog

T = TypeVar("T")
PERSON = "person"
"""The move of a node that a person wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A turn to be taken."""

    role: Role[T]
    fields: Mapping[str, object]
    """What the role's template is filled with, besides `problem`."""
    after: int = ROOT
    """The node that it answers: where it hangs in the tree."""
    draw: int = 0
    """Which of several draws of the same turn this is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Generic[T]):
    """A turn that was taken."""

    role: str
    node: int
    """Where it ends in the tree; the node it answers when nothing was written."""
    text: str
    """What was written, calls and observations included."""
    value: T
    """What was read, or the role's default."""
    readable: bool = True
    """False when `value` is the default."""
    error: Failure | None = None
    """What broke around it."""
    cut: bool = False
    """Whether a limit ended it before it was done."""


@dataclass(slots=True)
class WorkflowRun:
    """One problem's turns so far, and the means to take more. A turn is asked for while none is in flight."""

    problem: Problem
    """Without its reference answer."""
    tree: Tree
    meter: Meter
    """Of this transcript; what is above it counts too."""
    role_models: RoleModels
    gate: ApprovalGate | None = None
    """Where turns of roles that want it wait for a person."""
    key: str | None = None
    """The reference answer where the workflow has `sees_key`, shown to roles that are declared to see it."""
    log: Log | None = None
    on_step: Callable[[StepEvent], None] | None = None
    alike: Alike = quickly
    """Which answers are the same."""
    turns: int = 0
    """Turns asked for so far."""
    concurrency: int = 16
    """Turns in flight at once."""
    shots: Mapping[str, str] = field(default_factory=dict)
    """Worked examples that roles are shown, by role."""
    tool_runner: ToolRunner = field(init=False)
    """Runs the workflow's own tool calls."""
    _busy: bool = field(default=False, init=False)
    _started: float = field(default_factory=time.monotonic, init=False)
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """Make room for the turns and the tools."""
        self._places = asyncio.Semaphore(self.concurrency)
        self.tool_runner = ToolRunner(self.role_models.tools, self.role_models.sandbox, self.tree, self.meter)

    async def ask(self, role: Role[T], *, after: int = ROOT, draw: int = 0, **fields: object) -> Turn[T]:
        """One turn of `role`. Raises `OutOfBudget`; what breaks only this turn gives the role's default."""
        (turn,) = await self.together([Call(role=role, fields=fields, after=after, draw=draw)])
        return turn

    async def together(self, calls: Sequence[Call[T]]) -> list[Turn[T]]:
        """Turns that do not depend on each other, side by side; in the order of `calls`. Raises as `ask`."""
        first = self._begin(len(calls))
        calls = [replace(call, role=shown(call.role, self.shots)) for call in calls]
        try:
            works = enumerate(zip(calls, self._shares(calls), strict=True), start=first)
            trees = await _all(self._solve(call, number, meter) for number, (call, meter) in works)
        finally:
            self._busy = False
        turns = [self._join(call, tree) for call, tree in zip(calls, trees, strict=True)]
        if any(len(tree.nodes) == 1 for tree in trees):
            reason = self.spent() or next(tree.ended for tree in trees if len(tree.nodes) == 1).removeprefix("budget: ")
            raise OutOfBudget(reason, [turn for turn, tree in zip(turns, trees, strict=True) if len(tree.nodes) > 1])
        return turns if self.gate is None else [await self._decided(call, turn) for call, turn in zip(calls, turns, strict=True)]

    async def call(
        self, tool: str, arguments: str, *, after: int = ROOT, role: str = "", timeout_s: float | None = None
    ) -> Turn[Observation]:
        """One tool call of the workflow's own: a node of its own, made on behalf of `role`; `arguments` is a JSON object.

        An unknown tool, a timeout, a tool that broke: the observation tells. All calls share one session, opened when first needed. Raises
        `OutOfBudget`.
        """
        number = self._begin(1)
        log = TurnLog(self.log, number, self.meter) if self.log is not None else None
        try:
            asked = ToolCall(name=tool, arguments=arguments)
            with spending(self.left()):
                outcome = await self.tool_runner.use(asked, log, after=after, move=role or tool, timeout_s=timeout_s)
        finally:
            self._busy = False
        node = self.tree.add(after, outcome.step, stop=outcome.stop, error=outcome.error, move=outcome.move)
        self.tool_runner.keep(node)
        if self.on_step is not None:
            self.on_step(StepEvent(self.problem, self.tree, node))
        (seen,) = outcome.step.observations
        return Turn(role=node.move, node=node.index, text=seen.text, value=seen, readable=node.error is None, error=node.error)

    def spent(self) -> str | None:
        """The limit that is reached, None while there is room for a turn."""
        nodes = self.meter.budget.nodes
        if nodes is not None and len(self.tree.nodes) > nodes:
            return "nodes"
        return self.meter.exhausted(elapsed_s=time.monotonic() - self._started)

    async def spelt(self, answers: Iterable[str | None]) -> list[str | None]:
        """The answers with equal ones spelt the same, for whoever counts them."""
        return await Spelling(self.problem, self.alike).all(answers)

    def given(self, node: int, text: str) -> None:
        """Have the answer to the problem read in a text that no policy sampled and that node `node` holds."""
        self.tree.answers[node] = answer_in(text, self.problem) or ""

    def left(self) -> int | None:
        """Tokens that may still be sampled, what is in flight taken off; None without a limit."""
        left = self.meter.left("tokens_out")
        return None if left is None else max(0, int(left))

    def offer(self, turn: Turn[Any]) -> None:
        """What is the answer unless a better one is offered."""
        self.tree.chosen = turn.node

    def rate(self, turn: Turn[Any], value: float, note: str = "") -> None:
        """Keep what was said about a turn: a value, words."""
        self.tree.values[turn.node] = value
        if note:
            self.note(turn, note)

    def note(self, turn: Turn[Any], words: str) -> None:
        """Keep words about a turn, behind those that are there."""
        self.tree.notes[turn.node] = "; ".join(filter(None, (self.tree.notes.get(turn.node), words)))

    def _begin(self, count: int) -> int:
        """The number of the first of `count` turns that begin now."""
        if self._busy:
            raise RuntimeError("turns are asked for one after the other or in one call of `together`, else their order is chance")
        reason = self.spent()
        if reason is not None:
            raise OutOfBudget(reason)
        first, self.turns, self._busy = self.turns, self.turns + count, True
        return first

    async def _decided(self, call: Call[T], turn: Turn[T]) -> Turn[T]:
        """A turn once a person is content with it. Raises `Paused` and `Terminated`."""
        if self.gate is None or not call.role.approve:
            return turn
        asked = call.role.messages(self._fields(call))[-1].content
        decision = await self.gate.decide(call.role.name, asked, turn.text)
        if decision.action is Action.MODIFY:
            step = Step(spans=(Span(Source.FORCED, decision.text),), finish=Finish.STOP, opening=Opening(messages=(), prompt=()))
            stop = StopReason.ANSWERED if call.role.answers else StopReason.OPEN
            node = self.tree.add(turn.node, step, stop=stop, move=PERSON)
            self.given(node.index, decision.text)
            return self._read(call.role, decision.text, decision.text, node.index, None)
        if decision.action is Action.REJECT:
            objection = f"{asked}\n\nAn earlier attempt was rejected:\n{turn.text}\n\nThe objection: {decision.text or 'none was given'}"
            again = replace(call, role=replace(call.role, template="{_asked}"), fields={"_asked": objection}, after=turn.node)
            return (await self.together([again]))[0]
        return turn

    def _fields(self, call: Call[Any]) -> dict[str, object]:
        """What a role's template may be filled with."""
        rewrite = self.role_models.shown.get(call.role.name, str)
        fields = {name: rewrite(value) if isinstance(value, str) else value for name, value in call.fields.items()}
        known: dict[str, object] = {"problem": self.problem.prompt, **fields}
        if call.role.sees_key and self.key is not None:
            known["key"] = self.key
        return known

    def _shares(self, calls: Sequence[Call[Any]]) -> list[Meter]:
        """What each of several turns may spend: equal parts of the tokens that are left, for no more turns than can take a whole step.

        The parts are settled before any turn begins, so that none of them depends on which turn is faster.
        """
        left = self.left()
        if left is None:
            return [self.meter] * len(calls)
        steps = (self.role_models.agent_for(call.role).step_tokens or 1 for call in calls)
        most = max(1, min(len(calls), -(-left // max(1, *steps))))
        return [Meter(Budget(tokens_out=left // most if place < most else 0), above=self.meter) for place in range(len(calls))]

    async def _solve(self, call: Call[T], number: int, meter: Meter) -> Tree:
        """The turn as a tree of its own."""
        asked = Problem(prompt=call.role.messages(self._fields(call))[-1].content, kind=self.problem.kind)
        log = TurnLog(self.log, number, self.meter) if self.log is not None else None
        seed = derive_seed(self.tree.seed, number, call.role.name, call.draw)
        async with self._places:
            return await self.role_models.agent_for(call.role).solve(asked, SolveContext(seed=seed, meter=meter, log=log))

    def _join(self, call: Call[T], part: Tree) -> Turn[T]:
        """Hang a turn's tree below the node that it answers."""
        role, tree, places = call.role, self.tree, {ROOT: call.after}
        messages = role.messages(self._fields(call))
        for node in part.nodes[1:]:
            step, stop = node.step, node.stop
            assert step is not None
            if node.parent == ROOT:
                step = replace(step, opening=Opening(messages=messages, prompt=part.prompt))
            if not role.answers and stop is not StopReason.ERROR:
                # How its turn ended stands in the step; the problem's path goes on.
                stop = StopReason.OPEN
            sample = call.draw if node.parent == ROOT and node.sample == 0 else node.sample
            new = tree.add(places[node.parent], step, stop=stop, sample=sample, error=node.error, prior=node.prior, move=role.name)
            places[node.index] = new.index
            if node.index in part.values:
                tree.values[new.index] = part.values[node.index]
            if node.index in part.answers:
                tree.answers[new.index] = part.answers[node.index]
            if node.index in part.notes:
                tree.notes[new.index] = part.notes[node.index]
            if self.on_step is not None:
                self.on_step(StepEvent(self.problem, tree, new))
        tree.judging = tree.judging + part.judging
        if part.chosen == ROOT:
            return Turn(role=role.name, node=call.after, text="", value=role.default, readable=False)
        path = part.trajectory(part.chosen)
        cut = bool(path.steps) and path.steps[-1].finish is Finish.LENGTH
        return self._read(role, path.response, path.own_text, places[part.chosen], path.error, cut=cut)

    def _read(self, role: Role[T], text: str, own: str, node: int, error: Failure | None, *, cut: bool = False) -> Turn[T]:
        """What a turn says, thought over: a reply as a whole is `text`, anything in particular is looked for in its `own` words.

        `cut`: its token limit ended it.
        """
        said = text if role.read is whole else own
        try:
            if error is not None:
                raise Unreadable(error.message)
            if cut and role.decides:
                raise Unreadable("the limit cut the verdict")
            return Turn(role=role.name, node=node, text=text, value=role.read(said.rpartition("</think>")[2]), cut=cut)
        except Unreadable as reason:
            self.tree.notes[node] = f"default taken: {reason}"
            return Turn(role=role.name, node=node, text=text, value=role.default, readable=False, error=error, cut=cut)


async def _all(works: Iterable[Coroutine[Any, Any, Tree]]) -> list[Tree]:
    """All results in order; when one fails the others are cancelled and awaited, and its error is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
