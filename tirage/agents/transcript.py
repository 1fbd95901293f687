"""A problem as several roles work on it: every turn is a node of one tree, on one budget, in one log.

A turn is a conversation of its own (`Step.opening`), hung below the turn that it answers. Turns that may run side by side are asked for
`together` and join the tree in the order of asking, so the same seed gives the same tree however they are timed.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from tirage.agents.approval import Action, Desk, Terminated
from tirage.agents.explorer import Agent
from tirage.agents.growth import Log, StepEvent
from tirage.agents.log_share import Share
from tirage.agents.roles import Role, Unreadable
from tirage.agents.workbench import Workbench
from tirage.core.budget import Budget, Meter
from tirage.core.message import Observation, ToolCall
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Opening, Source, Span, Step
from tirage.core.trajectory import Failure, StopReason, Trajectory
from tirage.core.tree import ROOT, Tree
from tirage.sandbox.base import Sandbox
from tirage.tools.base import Tool

T = TypeVar("T")
PERSON = "person"
"""The move of a node that a person wrote."""


class OutOfBudget(Exception):
    """A limit is reached; the message names it. `Workflow.solve` turns it into `Tree.ended`."""

    def __init__(self, reason: str, turns: "Sequence[Turn[Any]]" = ()) -> None:
        """`turns`: those asked for together that were still taken."""
        super().__init__(reason)
        self.turns = turns


class Company(Protocol):
    """Who plays the roles; `Cast` is one."""

    @property
    def id(self) -> str:
        """Everything that makes it what it is."""
        ...

    @property
    def tools(self) -> Mapping[str, Tool]:
        """By name."""
        ...

    @property
    def sandbox(self) -> Sandbox | None:
        """Where tools run that need a session."""
        ...

    def player(self, role: Role[Any]) -> Agent:
        """The agent that takes a turn of `role`; it puts the role's system message before what it is asked."""
        ...

    @property
    def shown(self) -> Mapping[str, Callable[[str], str]]:
        """By role name: how the texts are rewritten that a play gives the role, such as the answers that it judges."""
        ...


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
class Transcript:
    """One problem's turns so far, and the means to take more. A turn is asked for while none is in flight."""

    problem: Problem
    """Without its reference answer."""
    tree: Tree
    meter: Meter
    """Of this transcript; what is above it counts too."""
    company: Company
    desk: Desk | None = None
    """Where turns of roles that want it wait for a person."""
    key: str | None = None
    """The reference answer where the play has `sees_key`, shown to roles that are declared to see it."""
    log: Log | None = None
    on_step: Callable[[StepEvent], None] | None = None
    turns: int = 0
    """Turns asked for so far."""
    concurrency: int = 16
    """Turns in flight at once."""
    bench: Workbench = field(init=False)
    """Runs the play's own tool calls."""
    _busy: bool = field(default=False, init=False)
    _started: float = field(default_factory=time.monotonic, init=False)
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """Make room for the turns and the tools."""
        self._places = asyncio.Semaphore(self.concurrency)
        self.bench = Workbench(self.company.tools, self.company.sandbox, self.tree, self.meter)

    async def ask(self, role: Role[T], *, after: int = ROOT, draw: int = 0, **fields: object) -> Turn[T]:
        """One turn of `role`. Raises `OutOfBudget`; what breaks only this turn gives the role's default."""
        (turn,) = await self.together([Call(role=role, fields=fields, after=after, draw=draw)])
        return turn

    async def together(self, calls: Sequence[Call[T]]) -> list[Turn[T]]:
        """Turns that do not depend on each other, side by side; in the order of `calls`. Raises as `ask`."""
        first = self._begin(len(calls))
        try:
            trees = await _all(self._solve(call, first + place) for place, call in enumerate(calls))
        finally:
            self._busy = False
        turns = [self._join(call, tree) for call, tree in zip(calls, trees, strict=True)]
        if any(len(tree.nodes) == 1 for tree in trees):
            reason = self.spent() or next(tree.ended for tree in trees if len(tree.nodes) == 1).removeprefix("budget: ")
            raise OutOfBudget(reason, [turn for turn, tree in zip(turns, trees, strict=True) if len(tree.nodes) > 1])
        return turns if self.desk is None else [await self._decided(call, turn) for call, turn in zip(calls, turns, strict=True)]

    async def call(
        self, tool: str, arguments: str, *, after: int = ROOT, role: str = "", timeout_s: float | None = None
    ) -> Turn[Observation]:
        """One tool call of the play's own: a node of its own, made on behalf of `role`; `arguments` is a JSON object.

        An unknown tool, a timeout, a tool that broke: the observation tells. All calls share one session, opened when first needed. Raises
        `OutOfBudget`.
        """
        number = self._begin(1)
        log = Share(self.log, number, self.meter) if self.log is not None else None
        try:
            settled = await self.bench.use(
                ToolCall(name=tool, arguments=arguments), log, after=after, move=role or tool, timeout_s=timeout_s
            )
        finally:
            self._busy = False
        node = self.tree.add(after, settled.step, stop=settled.stop, error=settled.error, move=settled.move)
        self.bench.keep(node)
        if self.on_step is not None:
            self.on_step(StepEvent(self.problem, self.tree, node))
        (seen,) = settled.step.observations
        return Turn(role=node.move, node=node.index, text=seen.text, value=seen, readable=node.error is None, error=node.error)

    def spent(self) -> str | None:
        """The limit that is reached, None while there is room for a turn."""
        nodes = self.meter.budget.nodes
        if nodes is not None and len(self.tree.nodes) > nodes:
            return "nodes"
        return self.meter.exhausted(elapsed_s=time.monotonic() - self._started)

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
        if self.desk is None or not call.role.approve:
            return turn
        asked = call.role.messages(self._fields(call))[-1].content
        decision = await self.desk.decide(call.role.name, asked, turn.text)
        if decision.action is Action.MODIFY:
            step = Step(spans=(Span(Source.FORCED, decision.text),), finish=Finish.STOP, opening=Opening(messages=(), prompt=()))
            stop = StopReason.ANSWERED if call.role.answers else StopReason.OPEN
            node = self.tree.add(turn.node, step, stop=stop, move=PERSON)
            return self._read(call.role, self.tree.trajectory(node.index), node.index)
        if decision.action is Action.REJECT:
            objection = f"{asked}\n\nAn earlier attempt was rejected:\n{turn.text}\n\nThe objection: {decision.text or 'none was given'}"
            again = replace(call, role=replace(call.role, template="{_asked}"), fields={"_asked": objection}, after=turn.node)
            return (await self.together([again]))[0]
        return turn

    def _fields(self, call: Call[Any]) -> dict[str, object]:
        """What a role's template may be filled with."""
        rewrite = self.company.shown.get(call.role.name, str)
        fields = {name: rewrite(value) if isinstance(value, str) else value for name, value in call.fields.items()}
        known: dict[str, object] = {"problem": self.problem.prompt, **fields}
        if call.role.sees_key and self.key is not None:
            known["key"] = self.key
        return known

    async def _solve(self, call: Call[T], number: int) -> Tree:
        """The turn as a tree of its own."""
        asked = Problem(prompt=call.role.messages(self._fields(call))[-1].content, kind=self.problem.kind)
        log = Share(self.log, number, self.meter) if self.log is not None else None
        seed = derive_seed(self.tree.seed, number, call.role.name, call.draw)
        async with self._places:
            return await self.company.player(call.role).solve(asked, seed=seed, meter=self.meter, log=log)

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
            if node.index in part.notes:
                tree.notes[new.index] = part.notes[node.index]
            if self.on_step is not None:
                self.on_step(StepEvent(self.problem, tree, new))
        tree.judging = tree.judging + part.judging
        if part.chosen == ROOT:
            return Turn(role=role.name, node=call.after, text="", value=role.default, readable=False)
        path = part.trajectory(part.chosen)
        return self._read(role, path, places[part.chosen])

    def _read(self, role: Role[T], path: Trajectory, node: int) -> Turn[T]:
        """What a turn says, after it was thought over."""
        text, cut = path.response, bool(path.steps) and path.steps[-1].finish is Finish.LENGTH
        try:
            if path.error is not None:
                raise Unreadable(path.error.message)
            if cut and role.decides:
                raise Unreadable("the limit cut the verdict")
            return Turn(role=role.name, node=node, text=text, value=role.read(text.rpartition("</think>")[2]), cut=cut)
        except Unreadable as reason:
            self.tree.notes[node] = f"default taken: {reason}"
            return Turn(role=role.name, node=node, text=text, value=role.default, readable=False, error=path.error, cut=cut)


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


class Play(Protocol):
    """A workflow: which role is asked what, and which turn is the answer."""

    # A play may have an attribute `sees_key`: True hands it the reference answer. Without it nothing in it can reach one.

    @property
    def id(self) -> str:
        """Its name with what makes it what it is."""
        ...

    async def play(self, script: Transcript) -> None:
        """Take turns, and `offer` the answer as soon as there is one. `OutOfBudget` is let through."""
        ...


class Workflow:
    """The agent that performs a play; fits the `Agent` port."""

    def __init__(self, play: Play, company: Company, *, budget: Budget | None = None, desk: Desk | None = None) -> None:
        """`budget`: of each problem by itself; `desk`: where turns wait for a person, of one run."""
        self.desk = desk
        self.play = play
        self.company = company
        self.budget = budget or Budget()

    async def solve(
        self,
        problem: Problem,
        *,
        seed: int,
        meter: Meter | None = None,
        on_step: Callable[[StepEvent], None] | None = None,
        log: Log | None = None,
    ) -> Tree:
        """Perform the play; at a limit the best answer so far is the tree's. Raises what `stepper.FATAL` names, and `Paused`."""
        tree = Tree(problem_id=problem.id, policy_id=f"{self.play.id}|{self.company.id}", seed=seed, prompt=())
        script = Transcript(
            problem=problem.asked,
            tree=tree,
            meter=Meter(self.budget, above=meter),
            company=self.company,
            desk=self.desk,
            key=problem.answer if getattr(self.play, "sees_key", False) else None,
            log=log,
            on_step=on_step,
        )
        try:
            await self.play.play(script)
        except OutOfBudget as reason:
            tree.ended = f"budget: {reason}"
        except Terminated as reason:
            tree.ended = str(reason)
        finally:
            await script.bench.close()
        return tree
