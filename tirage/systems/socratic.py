"""Socratic Questioning (Qi et al. 2023, arXiv 2305.14999, algorithm 1): ask yourself what you would have to know, answer that, try again.

A question that is not answered with confidence raises sub-questions; their answers come back as hints. All questions of one level are
asked side by side. Depths and turns count from 1.
"""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import PositiveInt

from tirage.agents.replies import numbered, whole
from tirage.core.budget import Budget
from tirage.core.tree import ROOT
from tirage.systems.options import workflow_of
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.verification.ballot import winners
from tirage.verification.extract import final_answer, final_match
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.turns import Call, WorkflowRun

ConfidenceLevel = Literal["high", "middle", "low"]
BUDGET = Budget(model_calls=60)
"""Of a problem, where no other is given: the method's own bound is far above what it mostly needs."""
_CONFIDENCE = re.compile(r"confidence\b\W*(\w*)", re.IGNORECASE)
_USED = re.compile(r"used hints?\b([^\n]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswererReply:
    """An answerer's reply."""

    text: str
    answer: str | None
    """None: the reply holds no answer; it has no vote."""
    used: tuple[int, ...] = ()
    """Numbers of the hints that it says it used, from 1."""
    confidence: ConfidenceLevel


def read_said(text: str) -> AnswererReply:
    """The last answer, hint numbers and confidence in a reply: `low` without a confidence, `middle` for one that is none of the three."""
    text = whole(text)
    found, used = final_match(_CONFIDENCE, text), final_match(_USED, text)
    level: ConfidenceLevel = "low"
    if found is not None:
        word = found[1].lower()
        level = "high" if word == "high" else "low" if word == "low" else "middle"
    numbers = tuple(int(number) for number in re.findall(r"\d+", used[1])) if used is not None else ()
    return AnswererReply(text=text, answer=final_answer(text), used=numbers, confidence=level)


ANSWERER = Role(
    name="answerer",
    template=prompt("socratic", "answerer"),
    read=read_said,
    default=AnswererReply(text="", answer=None, confidence="low"),
)
RAISER: Role[tuple[str, ...]] = Role(
    name="raiser",
    template=prompt("socratic", "raiser"),
    read=numbered(5),
    default=(),
)
EDITOR = Role(
    name="editor",
    template=prompt("socratic", "editor"),
    read=whole,
    default="",
)


@dataclass(slots=True, kw_only=True)
class Question:
    """A question while it is worked on."""

    text: str
    depth: int
    turn: int
    node: int
    """Where its latest turn ends in the tree."""
    hints: list[str] = field(default_factory=list)
    said: AnswererReply = ANSWERER.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Socratic(Workflow):
    """The workflow."""

    questions: PositiveInt = 5
    """Sub-questions of one question in one turn, at most."""
    max_turn: PositiveInt = 3
    """The turn in which a question raises no more; a sub-question begins with its parent's turn."""
    max_depth: PositiveInt = 3
    """The depth at which a question raises no more; the problem is at depth 1."""
    tools: tuple[str, ...] = ()
    """Which tools the answerer may use."""

    @property
    def id(self) -> str:
        """With the numbers."""
        return f"socratic-{self.questions}-{self.max_turn}-{self.max_depth}"

    @property
    def most_calls(self) -> int:
        """Model calls at most, with an answerer without tools that is never sure."""

        def below(depth: int, turn: int) -> int:
            rounds = range(turn, self.max_turn) if depth < self.max_depth else range(0)
            return 1 + sum(2 + self.questions * (below(depth + 1, now) + 1) for now in rounds)

        last = max(2, self.max_turn) if self.max_depth > 1 else 2
        return 1 + sum(1 + self.questions * (below(2, now) + 1 + now) for now in range(1, last))

    async def run(self, flow: WorkflowRun) -> None:
        """Resolve the problem; its best answer so far is offered after each turn."""
        await self._resolve(flow, [Question(text=flow.problem.prompt, depth=1, turn=1, node=ROOT)])

    async def _resolve(self, flow: WorkflowRun, questions: list[Question]) -> None:
        """Answer questions that do not depend on each other."""
        while questions:
            await self._answer(flow, questions)
            questions = [question for question in questions if not self._is_done(question)]
            parts = await self._raise(flow, questions) if questions else []
            asked = [part for mine in parts for part in mine]
            if asked:
                await self._resolve(flow, asked)
                await self._learn(flow, questions, parts)
            # Without a sub-question there is nothing to be learnt.
            questions = [question for question, mine in zip(questions, parts, strict=True) if mine]

    def _is_done(self, question: Question) -> bool:
        """Sure, or not to raise any more; but the problem itself raises at least once."""
        leaf = question.turn >= self.max_turn or question.depth >= self.max_depth
        return (question.said.confidence == "high" or leaf) and (bool(question.hints) or question.depth > 1)

    async def _answer(self, flow: WorkflowRun, questions: Sequence[Question]) -> None:
        """A turn of each; the problem is answered once for each hint alone, and the plurality wins with its most frequent confidence."""
        role = replace(ANSWERER, tools=self.tools, answers=questions[0].depth == 1)
        if questions[0].depth > 1:
            turns = await flow.together([Call(role=role, fields=_fields(flow, item), after=item.node) for item in questions])
            for question, turn in zip(questions, turns, strict=True):
                question.said, question.node = turn.value, turn.node
        else:
            (root,) = questions
            shown = [_fields(flow, root, [hint]) for hint in root.hints] or [_fields(flow, root)]
            turns = await flow.together([Call(role=role, fields=item, after=root.node, draw=draw) for draw, item in enumerate(shown)])
            best = [turns[place] for place in winners(await flow.spelt(turn.value.answer for turn in turns)) or range(len(turns))]
            root.node = best[0].node
            root.said = replace(best[0].value, confidence=statistics.mode(turn.value.confidence for turn in best))
            flow.offer(best[0])
            questions = [root] * len(turns)
        for question, turn in zip(questions, turns, strict=True):
            flow.note(turn, f"depth {question.depth}, turn {question.turn}: confidence {turn.value.confidence}")

    async def _raise(self, flow: WorkflowRun, questions: Sequence[Question]) -> list[list[Question]]:
        """The sub-questions of each."""
        role = replace(RAISER, read=numbered(self.questions))
        fields = [{**_fields(flow, question), "most": self.questions} for question in questions]
        calls = [Call(role=role, fields=shown, after=question.node) for question, shown in zip(questions, fields, strict=True)]
        turns = await flow.together(calls)
        return [
            [Question(text=text, depth=question.depth + 1, turn=question.turn, node=turn.node) for text in turn.value]
            for question, turn in zip(questions, turns, strict=True)
        ]

    async def _learn(self, flow: WorkflowRun, questions: Sequence[Question], parts: Sequence[Sequence[Question]]) -> None:
        """Turn the sub-questions with their answers into hints, and go on to the next turn."""
        asked = [part for mine in parts for part in mine]
        pairs = [{"question": part.text, "answer": part.said.answer or part.said.text} for part in asked]
        edits = await flow.together([Call(role=EDITOR, fields=pair, after=part.node) for pair, part in zip(pairs, asked, strict=True)])
        hints = iter(zip(pairs, edits, strict=True))
        for question, mine in zip(questions, parts, strict=True):
            for _ in mine:
                pair, turn = next(hints)
                question.hints.append(turn.value or f"{pair['question']} {pair['answer']}")
                question.node = turn.node
            question.turn += 1


def build(parts: AgentParts, **options: Any) -> WorkflowAgent:
    """The agent, on 60 model calls where the parts sets no limit. `options` are fields of `Socratic`; raises `ConfigError` for another."""
    return parts.workflow(workflow_of(Socratic, options), budget=BUDGET)


def _fields(flow: WorkflowRun, question: Question, hints: Sequence[str] | None = None) -> dict[str, object]:
    """What a role reads of a question: sub-questions in the context of the problem, `hints` instead of all of its own."""
    shown = question.hints if hints is None else hints
    context = f"Context: {flow.problem.prompt}\n\n" if question.depth > 1 else ""
    told = "".join(f"Hint {number}: {hint}\n" for number, hint in enumerate(shown, start=1))
    return {"context": context, "question": question.text, "hints": told}


SPEC = SystemSpec(
    name="socratic",
    paper="2305.14999",
    summary="Socratic Questioning: sub-questions, whose answers are hints",
    build=build,
    workflow=Socratic,
    options=("questions", "max_turn", "max_depth", "tools"),
    shots=("answerer", "raiser", "editor"),
    needs_instructions=True,
)
