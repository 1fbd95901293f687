"""Debate over a question with a known answer: one side defends it, the other an answer of its own, a judge who knows neither decides.

Only the defender is given the key; what it says of it the others hear as a claim. Nobody is told which model speaks.

Debate-driven evaluation (arXiv 2507.17747). Whoever has only learnt the key by heart defends it badly; so a benchmark says more about
models that debate it than about models that answer it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

from tirage.agents.replies import Unreadable
from tirage.core.problem import Problem
from tirage.core.tree import ROOT, Tree
from tirage.core.verdict import Preference
from tirage.judging.judges import PairJudge
from tirage.verification.ballot import classes
from tirage.verification.equality.equivalence import parse_quantity
from tirage.verification.extract import CHOICE_POLICY, MATH_POLICY, TEXT_POLICY, extract
from tirage.workflows.agent import Workflow
from tirage.workflows.role_judges import read_choice
from tirage.workflows.roles import Role
from tirage.workflows.turns import Turn, WorkflowRun

DebateSide = Literal["pro", "con"]
VOID = "void: the challenger proposed the official answer"
CUT = "void: the judge's last ruling was cut at its limit"
FORCED = "forced: the judge would not decide at the last round, so the answer that was challenged stands"
NO_ANSWER = "void: the problem has no reference answer"
_SECTION = re.compile(r"^[\s#*]*(Position|Evidence|Rebuttal)[\s*]*:[*]*", re.IGNORECASE | re.MULTILINE)
_OPTION = re.compile(r"^[ \t]*\(?([A-J])[).:][ \t]+(\S.*)$", re.MULTILINE)
_ROUND = re.compile(r"^Round \d+$", re.MULTILINE)
_HEADING = re.compile(r"^(?=\W*(?:Round \d+|Debater [AB])\b)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a debater says in one round."""

    position: str
    """The answer that is defended."""
    evidence: str = ""
    rebuttal: str = ""
    """Of what the other side has said."""

    def __str__(self) -> str:
        """The sections that are there."""
        sections = (("Position", self.position), ("Evidence", self.evidence), ("Rebuttal", self.rebuttal))
        return "\n".join(f"{name}: {text}" for name, text in sections if text)


def read_statement(text: str) -> Statement:
    """Reads the sections of a reply. Raises `Unreadable` without a position."""
    parts = _SECTION.split(_aloud(text))
    found = {name.lower(): said.strip() for name, said in zip(parts[1::2], parts[2::2], strict=True)}
    if not found.get("position"):
        raise Unreadable("there is no 'Position:'")
    return Statement(**found)


def _aloud(text: str) -> str:
    """What is said, without what was thought before it."""
    return text.rpartition("</think>")[2].strip()


_FORM = (
    'Write three sections, each beginning on a line of its own: "Position:" with the answer in a few words, "Evidence:" with the reasons '
    'for it, "Rebuttal:" with what is wrong in the other side\'s last statement. Do not say who you are.'
)
_SO_FAR = "Question:\n{problem}\n\nThe debate so far:\n{debate}\n\n"
UNSAID = Statement(position="")
PRO: Role[Statement] = Role(
    name="pro",
    system="You are Debater A in a debate before a judge.",
    template=_SO_FAR + "You defend this answer: {key}\nArgue from the matter itself; never say that the answer was given to you.\n" + _FORM,
    read=read_statement,
    default=UNSAID,
    sees_key=True,
)
CON: Role[Statement] = Role(
    name="con",
    system="You are Debater B in a debate before a judge.",
    template=_SO_FAR + "You hold that Debater A's answer is not the right one. {task}\n" + _FORM,
    read=read_statement,
    default=UNSAID,
)
PROPOSE = "Propose a different answer to the question and defend it."
GO_ON = "Defend your answer: {position}"
JUDGE: Role[Preference] = Role(
    name="judge",
    system="You judge a debate. Only the soundness of the arguments counts, not length, tone, or who speaks first.",
    template="Question:\n{problem}\n\n{debate}\n\nWhose answer is right? Say briefly why, then end with one line: "
    '"Verdict: A", "Verdict: B", or "Verdict: continue" if you need another round.',
    read=read_choice("continue"),
    default="tie",
    decides=True,
    temperature=0.0,
)
LAST: Role[Preference] = replace(
    JUDGE,
    template="Question:\n{problem}\n\n{debate}\n\nThis was the last round and you have to decide whose answer is right. Say briefly why, "
    'then end with one line: "Verdict: A" or "Verdict: B".',
    read=read_choice(),
)


@dataclass(slots=True)
class _JudgeTurns:
    """The judge's seat in a debate, as a pair judge: every ruling is a turn of the transcript. A tie asks for another round."""

    flow: WorkflowRun
    role: Role[Preference]
    after: int
    rulings: int = 0
    broken: Turn[Preference] | None = None
    cut: bool = False
    """Whether a ruling was cut before it was one."""

    async def prefer(self, question: str, first: str, second: str, seed: int) -> Preference:
        turn = await self.flow.ask(self.role, after=self.after, draw=self.rulings, debate=interleave(first, second))
        self.rulings += 1
        self.broken = turn if turn.error is not None else self.broken
        self.cut = self.cut or turn.cut
        return turn.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Debate(Workflow):
    """The workflow. Roles are `pro`, `con` and `judge`; the tree's answer is the winner's last statement, none while nobody has won."""

    least: int = 2
    """Rounds before the judge is asked."""
    most: int = 5
    """Rounds after which the judge has to decide."""
    sees_key = True
    review: Callable[[PairJudge], PairJudge] | None = None
    """Wrappers around the judge, such as `BothOrders`; it compares the two sides' statements of all rounds."""

    def __post_init__(self) -> None:
        """Raises ValueError unless 1 <= least <= most."""
        if not 1 <= self.least <= self.most:
            raise ValueError(f"a debate has 1 <= least <= most rounds, not least={self.least}, most={self.most}")

    @property
    def id(self) -> str:
        """Its rounds and its judge's wrapper."""
        review = f",{getattr(self.review, '__name__', 'reviewed')}" if self.review is not None else ""
        return f"debate({self.least},{self.most}{review})"

    async def run(self, flow: WorkflowRun) -> None:
        """Round after round until the judge decides. A challenger that proposes the official answer makes the debate void."""
        if flow.key is None:
            flow.tree.ended = NO_ANSWER
            return
        said: tuple[list[Statement], list[Statement]] = ([], [])
        node, proposed = ROOT, ""
        for number in range(1, self.most + 1):
            pro = await flow.ask(PRO, after=node, debate=_shown(said))
            if _is_broken(flow, pro):
                return
            said[0].append(_statement(pro))
            con = await flow.ask(CON, after=pro.node, debate=_shown(said), task=GO_ON.format(position=proposed) if proposed else PROPOSE)
            if _is_broken(flow, con):
                return
            said[1].append(_statement(con))
            node = con.node
            if not proposed and same(proposed := said[1][-1].position, flow.key):
                flow.tree.ended = VOID
                return
            if number >= self.least and await self._is_decided(flow, pro, con, said, last=number == self.most):
                return

    async def _is_decided(
        self,
        flow: WorkflowRun,
        pro: Turn[Statement],
        con: Turn[Statement],
        said: tuple[Sequence[Statement], Sequence[Statement]],
        *,
        last: bool,
    ) -> bool:
        """Ask the judge, and keep who won; False for another round. Where the last ruling is a tie, the burden is on the challenger."""
        seat = _JudgeTurns(flow, LAST if last else JUDGE, con.node)
        judge = seat if self.review is None else self.review(seat)
        choice = await judge.prefer(flow.problem.prompt, _case(said[0]), _case(said[1]), flow.tree.seed)
        if seat.broken is not None:
            return _is_broken(flow, seat.broken)
        if choice == "tie" and not last:
            return False
        if choice == "tie" and seat.cut:
            flow.tree.ended = CUT
            return True
        winner, loser = (con, pro) if choice == "second" else (pro, con)
        flow.rate(winner, 1.0, FORCED if choice == "tie" else "")
        flow.rate(loser, 0.0)
        flow.offer(winner)
        return True


def _is_broken(flow: WorkflowRun, turn: Turn[Any]) -> bool:
    """Whether something broke around a turn, which ends the debate: a judge that cannot be reached has not ruled."""
    if turn.error is not None:
        flow.offer(turn)
        flow.tree.ended = f"{turn.error.boundary} failed: {turn.error.message}"
    return turn.error is not None


def _statement(turn: Turn[Statement]) -> Statement:
    """What was said; without sections all of it is evidence."""
    return turn.value if turn.readable else replace(turn.value, evidence=_aloud(turn.text))


def _case(statements: Sequence[Statement]) -> str:
    """One side's statements, in which nobody can begin a round or speak for the other side."""
    quoted = (_HEADING.sub("| ", str(statement)) for statement in statements)
    return "\n\n".join(f"Round {number}\n{statement}" for number, statement in enumerate(quoted, start=1))


def _shown(said: tuple[Sequence[Statement], Sequence[Statement]]) -> str:
    return interleave(*map(_case, said)) or "Nothing has been said."


def interleave(first: str, second: str) -> str:
    """Two sides' statements in the order of speaking, under neutral names."""
    sides = ([part.strip() for part in _ROUND.split(case) if part.strip()] for case in (first, second))
    rounds = enumerate(zip_longest(*sides), start=1)
    lines = (f"Round {n}, Debater {name}:\n{said}" for n, both in rounds for name, said in zip("AB", both, strict=True) if said)
    return "\n\n".join(lines)


def same(position: str, key: str) -> bool:
    """Whether a position is the key: as a number or a choice where the key is one, else as a text."""
    policy = MATH_POLICY if parse_quantity(key) is not None else CHOICE_POLICY if len(key.strip("() .")) == 1 else TEXT_POLICY
    return len(set(classes([extract(position, policy).answer, extract(key, policy).answer]))) == 1


def without_options(problem: Problem) -> Problem:
    """A multiple-choice problem as an open question: its options go, its answer is the text of the right one.

    A problem whose answer is no letter of an option stays as it is.
    """
    options = dict(_OPTION.findall(problem.prompt))
    letter = (problem.answer or "").strip("() .")
    if letter not in options:
        return problem
    prompt = re.sub(r"\n{2,}", "\n\n", _OPTION.sub("", problem.prompt)).strip()
    return replace(problem, prompt=prompt, answer=options[letter].strip(), kind="text")


@dataclass(frozen=True, slots=True, kw_only=True)
class DebateEnding:
    """How a debate ended."""

    winner: DebateSide | None
    """None: void, broken, or cut off before a decision."""
    rounds: int
    void: bool = False
    forced: bool = False
    """The judge would not decide at the last round."""


def read_ending(tree: Tree) -> DebateEnding:
    """What became of a debate, from its tree."""
    names: dict[str, DebateSide] = {PRO.name: "pro", CON.name: "con"}
    moved = [node.move for node in tree.nodes[1:] if node.step is not None and node.step.opening is not None]
    return DebateEnding(
        winner=names[tree.nodes[tree.chosen].move] if tree.chosen != ROOT and not tree.ended else None,
        rounds=moved.count(CON.name),
        void=tree.ended in (VOID, CUT, NO_ANSWER),
        forced=FORCED in tree.notes.get(tree.chosen, ""),
    )
