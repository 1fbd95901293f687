"""Verifiers that compare a final answer with the problem's reference: math, exact, numeric, choice."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fractions import Fraction

from tirage.core.problem import Problem
from tirage.core.verdict import Verdict
from tirage.verification.choice import letters
from tirage.verification.equality.equivalence import Quantity, close, normalise, parse_quantity, quick_equal
from tirage.verification.extract import CHOICE_POLICY, MATH_POLICY, TEXT_POLICY, Extraction, Method, extract
from tirage.verification.grading.workers import WorkerPool
from tirage.verification.statements import stated

Compare = Callable[[str, str], Awaitable[tuple[bool | None, str]]]
"""An answer and a reference in; whether they are equal (None: nobody can say), and a note, out."""
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}(?:\s|$)")
_LONGEST = 2000
"""Answers this much longer than their reference are not worth the algebra."""


def judge(name: str, found: Extraction, correct: bool | None, detail: str = "") -> Verdict:
    """The verdict on an extracted answer; the score is 1 or 0, none when ungraded."""
    score = None if correct is None else float(correct)
    return Verdict(correct=correct, score=score, verifier=name, answer=found.answer, extraction=found.how, detail=detail)


async def judge_answer(name: str, problem: Problem, found: Extraction, compare: Compare) -> Verdict:
    """Compare an extracted answer with every accepted reference: right when it equals one, wrong when it equals none of them."""
    if problem.answer is None:
        return judge(name, found, None, f"problem {problem.id} has no reference answer")
    if found.answer is None:
        return judge(name, found, False, "no final answer found")
    notes: list[str] = []
    open_question = False
    for gold in problem.accepted:
        verdict, note = await compare(found.answer, gold)
        if verdict:
            return judge(name, found, True)
        open_question |= verdict is None
        notes += [note] if note else []
    return judge(name, found, None if open_question else False, "; ".join(dict.fromkeys(notes)))


class MathVerifier:
    """Mathematical equality: numbers and units at once, the rest by algebra in a worker process with a time limit."""

    name = "math/2"

    def __init__(self, *, policy: tuple[Method, ...] = MATH_POLICY, workers: WorkerPool | None = None) -> None:
        """`workers` is closed with the verifier."""
        self._policy = policy
        self._workers = workers or WorkerPool("math")

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the final answer of `response`; see `Verifier.verify`."""
        return await judge_answer(self.name, problem, extract(response, self._policy), self.compare)

    async def equal(self, answer: str, gold: str) -> bool | None:
        """Whether two final answers are equal; see `Equivalence.equal`."""
        return (await self.compare(answer, gold))[0]

    async def compare(self, answer: str, gold: str) -> tuple[bool | None, str]:
        """Whether two final answers are equal, and for an undecided pair (None) why nobody could say."""
        quick = quick_equal(answer, gold)
        if quick is None and _PROSE.search(answer):
            answer = stated(answer, strict=True)
            quick = quick_equal(answer, gold)
        if quick is not None:
            return quick, ""
        if len(answer) > _LONGEST + 4 * len(gold):
            return False, f"the answer has {len(answer)} characters, which is no final answer to {gold[:40]!r}"
        reply = await self._workers.ask({"answer": answer, "gold": gold})
        return (None, reply.failure) if reply.failure else (bool(reply.value), "")

    async def close(self) -> None:
        """End the workers."""
        await self._workers.close()


@dataclass(frozen=True, slots=True)
class ExactVerifier:
    """The same text, up to white space and meaningless notation; case counts unless `ignore_case`."""

    ignore_case: bool = False
    policy: tuple[Method, ...] = TEXT_POLICY

    @property
    def name(self) -> str:
        """Name and version."""
        return "exact/2"

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the final answer of `response`; see `Verifier.verify`."""
        return await judge_answer(self.name, problem, extract(response, self.policy), self._compare)

    async def equal(self, answer: str, gold: str) -> bool:
        """The same text; see `Equivalence.equal`."""
        answer, gold = " ".join(answer.split()), " ".join(gold.split())
        if self.ignore_case:
            answer, gold = answer.casefold(), gold.casefold()
        return answer == gold or normalise(answer) == normalise(gold)

    async def _compare(self, answer: str, gold: str) -> tuple[bool, str]:
        return await self.equal(answer, gold), ""

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True, slots=True)
class NumericVerifier:
    """A number within a tolerance of the reference: |a - g| <= max(absolute, relative * |g|), in the reference's unit."""

    relative: float = 1e-4
    absolute: float = 0.0
    policy: tuple[Method, ...] = MATH_POLICY

    @property
    def name(self) -> str:
        """Name and version."""
        return "numeric/2"

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the final answer of `response`; see `Verifier.verify`."""
        return await judge_answer(self.name, problem, extract(response, self.policy), self._compare)

    async def equal(self, answer: str, gold: str) -> bool | None:
        """Within the tolerance; None when either is no number. See `Equivalence.equal`."""
        given, wanted = parse_quantity(answer), parse_quantity(gold)
        return None if given is None or wanted is None else self._near(given, wanted)

    async def _compare(self, answer: str, gold: str) -> tuple[bool | None, str]:
        wanted, given = parse_quantity(gold), parse_quantity(answer) or parse_quantity(stated(answer, strict=True))
        if wanted is None:
            return None, f"the reference {gold!r} is not a number; use verifier math"
        return (False, "the answer is not a number") if given is None else (self._near(given, wanted), "")

    def _near(self, given: Quantity, gold: Quantity) -> bool:
        if close(given, gold):
            return True
        value = given.value
        if given.unit is not None and gold.unit is not None:
            if not given.unit.fits(gold.unit):
                return False
            value = value * given.unit.factor / gold.unit.factor if given.unit.dimension == gold.unit.dimension else value
        return abs(value - gold.value) <= max(Fraction(self.absolute), Fraction(self.relative) * abs(gold.value))

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True, slots=True)
class ChoiceVerifier:
    """One letter out of several; `(b)`, `B.`, `**B**` and `B, not C` are the same choice; `A or B` is none."""

    policy: tuple[Method, ...] = CHOICE_POLICY

    @property
    def name(self) -> str:
        """Name and version."""
        return "choice/2"

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the letter that `response` states; see `Verifier.verify`."""
        return await judge_answer(self.name, problem, extract(response, self.policy), self._compare)

    async def equal(self, answer: str, gold: str) -> bool | None:
        """The same letters; None when either names none. See `Equivalence.equal`."""
        given, wanted = letters(answer), letters(gold)
        return given == wanted if given and wanted else None

    async def _compare(self, answer: str, gold: str) -> tuple[bool | None, str]:
        wanted = letters(gold)
        return (letters(answer) == wanted, "") if wanted else (None, f"the reference {gold!r} is not a choice letter")

    async def close(self) -> None:
        """Nothing to end."""
