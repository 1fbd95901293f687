"""HALO (Hou et al. 2025, arXiv 2505.13516): a refined prompt, a plan of subtasks, roles for each, and a tree search over who speaks next.

A subtask costs 1 model call for the plan, 1 + 3 per role for the roles, 3 per role for each expansion (answer, judgement, score), and 3 for
each answer of a simulation: with the defaults at most 476, mostly far fewer. Roles of one expansion work side by side.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tirage.core.budget import OutOfBudget
from tirage.core.seeds import derive_seed
from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT
from tirage.search.role_search import RoleSearch
from tirage.systems.halo.roles import DESIGNER, DRAFTERS, PARSER, PLANNER, SOLVER
from tirage.systems.halo.subtask import Done, SubtaskWork
from tirage.systems.parts import AgentParts
from tirage.systems.spec import SystemSpec
from tirage.verification.ballot import classes, equal
from tirage.verification.bleu import bleu
from tirage.verification.extract import CHOICE_POLICY, TEXT_POLICY, Method, extract
from tirage.verification.reading import answer_of
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.turns import Call, WorkflowRun

ALIKE = 0.7
"""BLEU from which two programs or texts count as the same answer."""
POLICIES: Mapping[str, tuple[Method, ...]] = {"choice": CHOICE_POLICY, "code": ("fenced", "whole"), "text": TEXT_POLICY}
"""Where an answer is looked for, by the kind of problem; where the kind is not named, as whoever grades it."""
BY_LIKENESS = ("code", "text")
"""Kinds of problems whose answers agree by likeness, not by the verifier's equivalence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halo(Workflow):
    """The workflow."""

    roles: int = 3
    """Of one subtask, at most."""
    subtasks: int = 5
    """At most."""
    depth: int = 5
    """Answers that may build on one another within a subtask."""
    attempts: int = 5
    """Simulations from one node, until one succeeds."""
    iterations: int = 10
    """Expansions within a subtask, at most; the source has no such limit and goes on until it comes upon an end."""
    c: float = 1.4
    """Weight of exploration."""
    tools: tuple[str, ...] = ()
    """What the designed roles may use."""
    manual: str = ""
    """How tools are called: put behind the system prompt of each designed role."""

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to do."""
        for name in ("roles", "subtasks", "depth", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"halo needs {name} >= 1, got {getattr(self, name)}")
        if self.attempts < 0 or self.c < 0:
            raise ValueError(f"halo needs attempts >= 0 and c >= 0, got attempts={self.attempts}, c={self.c}")

    @property
    def id(self) -> str:
        """With the numbers."""
        return f"halo-{self.roles}-{self.subtasks}-{self.depth}-{self.attempts}-{self.iterations}-c{self.c:g}"

    async def run(self, flow: WorkflowRun) -> None:
        """Refine, then subtask by subtask until the planner stops or the answers agree."""
        try:
            await self._play(flow)
        except OutOfBudget:
            if flow.tree.chosen == ROOT:
                values, nodes = flow.tree.values, flow.tree.nodes
                # Nothing was judged to do: the best score of what was said.
                tried = [node.index for node in nodes if node.stop is StopReason.ANSWERED]
                flow.tree.chosen = max(tried, key=lambda index: values.get(index, 0.0), default=ROOT)
            raise

    async def _play(self, flow: WorkflowRun) -> None:
        query, after = await self._refine(flow)
        done: list[Done] = []
        while len(done) < self.subtasks:
            plan = await flow.ask(PLANNER, after=after, query=query, history=_told(done), left=self.subtasks - len(done))
            if plan.value.stops or (done and not plan.value.subtask):
                if done:
                    flow.offer(done[-1].turn)
                else:
                    flow.tree.ended = "the planner stopped before the first subtask"
                return
            subtask = plan.value.subtask or query
            roles = await self._design(flow, plan.node, query, subtask)
            work = SubtaskWork(
                flow=flow,
                search=RoleSearch(flow.tree, plan.node, c=self.c, depth=self.depth),
                roles=roles,
                query=query,
                subtask=subtask,
                attempts=self.attempts,
                iterations=self.iterations,
                draw=random.Random(derive_seed(flow.tree.seed, "halo", len(done))),
            )
            done.append(await work.perform())
            if done[-1].success:
                flow.offer(done[-1].turn)
            if (place := agreed(await _answers(flow, done), _same(flow))) is not None:
                flow.note(done[place].turn, f"early stop: the answers to {len(done)} subtasks agree")
                flow.offer(done[place].turn)
                return
            after = done[-1].turn.node
        flow.tree.ended = f"limit: {self.subtasks} subtasks"
        flow.offer(done[favoured(await _answers(flow, done), _same(flow))].turn)

    async def _refine(self, flow: WorkflowRun) -> tuple[str, int]:
        """The request as a prompt made for it, and its node."""
        parsed = await flow.ask(PARSER)
        details = "".join(f"\n- {detail}" for detail in parsed.value.key_details)
        brief = (
            f"Write a prompt by which a language model will work on a request.\n\nRequest:\n{flow.problem.prompt}\n\n"
            f"Task type: {parsed.value.task_type}\nIntent: {parsed.value.core_intent}\nDetails:{details or ' none'}"
        )
        ((prompt, node),) = await self._write(flow, parsed.node, [(brief, flow.problem.prompt)])
        return prompt, node

    async def _design(self, flow: WorkflowRun, after: int, query: str, subtask: str) -> list[Role[str]]:
        """The roles of a subtask with their system prompts."""
        team = await flow.ask(DESIGNER, after=after, query=query, subtask=subtask, most=self.roles)
        designed = team.value.roles[: self.roles]
        briefs = [
            f"Write the system prompt of the expert {role.name}. {role.purpose}\n\nTask:\n{query}\n\nSubtask that it works on:\n{subtask}"
            for role in designed
        ]
        firsts = [f"You are {role.name}. {role.purpose}".strip() for role in designed]
        prompts = await self._write(flow, team.node, list(zip(briefs, firsts, strict=True)))
        manual = f"\n\n{self.manual}" if self.manual and self.tools else ""
        return [
            replace(SOLVER, name=role.name, system=prompt + manual, tools=self.tools)
            for role, (prompt, _) in zip(designed, prompts, strict=True)
        ]

    async def _write(self, flow: WorkflowRun, after: int, works: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
        """Prompts by their briefs, all side by side, each begun with what it is when no reply can be read; with their last nodes."""
        found = [(first, after) for _, first in works]
        for role in DRAFTERS:
            calls = [
                Call(role=role, fields={"brief": brief, "draft": draft}, after=node)
                for (brief, _), (draft, node) in zip(works, found, strict=True)
            ]
            turns = await flow.together(calls)
            found = [(turn.value.prompt or draft, turn.node) for turn, (draft, _) in zip(turns, found, strict=True)]
        return found


def agreed(answers: Sequence[str | None], same: Callable[[str, str], bool] = equal) -> int | None:
    """Index of the last answer of the largest class where that holds at least two thirds of the answers; None where none does.

    An answer counts as agreeing with itself, None is no answer; a single answer agrees with nobody.
    """
    numbers = classes(answers, same)
    count = sum(number >= 0 for number in numbers)
    place = favoured(answers, same)
    return place if count > 1 and 3 * numbers.count(numbers[place]) >= 2 * count else None


def favoured(answers: Sequence[str | None], same: Callable[[str, str], bool] = equal) -> int:
    """Index of the last answer of the largest class, ties to the class that was heard last; the last index without any answer."""
    numbers = classes(answers, same)
    return max(range(len(numbers)), key=lambda place: (numbers[place] >= 0, numbers.count(numbers[place]), place))


async def _answers(flow: WorkflowRun, done: Sequence[Done]) -> list[str | None]:
    """Of each subtask; equal ones are spelt the same, where there is an equivalence."""
    policy, paths = POLICIES.get(flow.problem.kind), [flow.tree.trajectory(item.turn.node) for item in done]
    answers = [answer_of(path, flow.problem) if policy is None else extract(path.own_text, policy).answer for path in paths]
    return answers if flow.problem.kind in BY_LIKENESS else await flow.spelt(answers)


def _same(flow: WorkflowRun) -> Callable[[str, str], bool]:
    """Whether two answers to a problem of this kind agree."""
    return (lambda answer, first: bleu(answer, first) >= ALIKE) if flow.problem.kind in BY_LIKENESS else equal


def _told(done: Sequence[Done]) -> str:
    """The history as the planner reads it."""
    told = [f"Subtask: {item.subtask}\nAnswer ({'success' if item.success else 'fail'}): {item.turn.value}" for item in done]
    return "\n\n".join(told) or "nothing"


def halo(
    parts: AgentParts, *, roles: int = 3, subtasks: int = 5, depth: int = 5, attempts: int = 5, iterations: int = 10, c: float = 1.4
) -> WorkflowAgent:
    """HALO (arXiv 2505.13516); the options are `Halo`'s. Raises ValueError for an invalid one."""
    workflow = Halo(
        roles=roles,
        subtasks=subtasks,
        depth=depth,
        attempts=attempts,
        iterations=iterations,
        c=c,
        tools=tuple(parts.tools),
        manual=parts.system or "",
    )
    return parts.workflow(workflow)


SPEC = SystemSpec(
    name="halo",
    paper="2505.13516",
    summary="HALO: a plan of subtasks, roles invented for each, and a tree search over which role speaks next",
    build=halo,
    needs_instructions=True,
    shots=("planner", "parser", "templater", "optimiser", "writer", "designer", "judge", "scorer"),
)
