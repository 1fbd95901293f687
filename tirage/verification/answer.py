"""Verifiers that compare a final answer with the problem's reference: math, exact, numeric, choice."""

from dataclasses import dataclass
from fractions import Fraction

from tirage.core.problem import Problem
from tirage.core.verdict import Verdict
from tirage.verification.equivalence import Quantity, algebraic, close, normalise, parse_quantity, quick_equal
from tirage.verification.extract import CHOICE_POLICY, MATH_POLICY, TEXT_POLICY, Extraction, Method, extract
from tirage.verification.workers import WorkerPool

_LONGEST = 2000
"""Answers this much longer than their reference are not worth the algebra."""


def judge(name: str, found: Extraction, correct: bool | None, detail: str = "") -> Verdict:
    """The verdict on an extracted answer; the score is 1 or 0, none when ungraded."""
    score = None if correct is None else float(correct)
    return Verdict(correct=correct, score=score, verifier=name, answer=found.answer, extraction=found.how, detail=detail)


def prejudge(name: str, problem: Problem, found: Extraction) -> Verdict | None:
    """The verdict that needs no comparison: no reference, or no answer. None when there is something to compare."""
    if problem.answer is None:
        return judge(name, found, None, f"problem {problem.id} has no reference answer")
    if found.answer is None:
        return judge(name, found, False, "no final answer found")
    return None


class MathVerifier:
    """Mathematical equality: numbers at once, the rest by math-verify in a worker process with a time limit."""

    name = "math/1"

    def __init__(self, *, policy: tuple[Method, ...] = MATH_POLICY, workers: WorkerPool | None = None) -> None:
        """`workers` is closed with the verifier."""
        self._policy = policy
        self._workers = workers or WorkerPool("math")

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the final answer of `response`; see `Verifier.verify`."""
        found = extract(response, self._policy)
        verdict = prejudge(self.name, problem, found)
        if verdict is not None:
            return verdict
        assert found.answer is not None
        correct, detail = await self.compare(found.answer, problem.answer or "")
        return judge(self.name, found, correct, detail)

    async def equal(self, answer: str, gold: str) -> bool | None:
        """Whether two final answers are equal; see `Equivalence.equal`."""
        return (await self.compare(answer, gold))[0]

    async def compare(self, answer: str, gold: str) -> tuple[bool | None, str]:
        """Whether two final answers are equal, and for an undecided pair (None) why nobody could say."""
        quick = quick_equal(answer, gold)
        if quick is not None:
            return quick, ""
        if len(answer) > _LONGEST + 4 * len(gold):
            return False, f"the answer has {len(answer)} characters, which is no final answer to {gold[:40]!r}"
        reply = await self._workers.ask({"answer": algebraic(answer), "gold": algebraic(gold)})
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
        return "exact/1"

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the final answer of `response`; see `Verifier.verify`."""
        found = extract(response, self.policy)
        verdict = prejudge(self.name, problem, found)
        if verdict is not None:
            return verdict
        return judge(self.name, found, await self.equal(found.answer or "", problem.answer or ""))

    async def equal(self, answer: str, gold: str) -> bool:
        """The same text; see `Equivalence.equal`."""
        answer, gold = " ".join(answer.split()), " ".join(gold.split())
        if self.ignore_case:
            answer, gold = answer.casefold(), gold.casefold()
        return answer == gold or normalise(answer) == normalise(gold)

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True, slots=True)
class NumericVerifier:
    """A number within a tolerance of the reference: |a - g| <= max(absolute, relative * |g|)."""

    relative: float = 1e-4
    absolute: float = 0.0
    policy: tuple[Method, ...] = MATH_POLICY

    @property
    def name(self) -> str:
        """Name and version."""
        return "numeric/1"

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the final answer of `response`; see `Verifier.verify`."""
        found = extract(response, self.policy)
        verdict = prejudge(self.name, problem, found)
        if verdict is not None:
            return verdict
        gold, given = parse_quantity(problem.answer or ""), parse_quantity(found.answer or "")
        if gold is None:
            return judge(
                self.name, found, None, f"the reference {problem.answer!r} of problem {problem.id} is not a number; use verifier math"
            )
        if given is None:
            return judge(self.name, found, False, "the answer is not a number")
        return judge(self.name, found, self._near(given, gold))

    async def equal(self, answer: str, gold: str) -> bool | None:
        """Within the tolerance; None when either is no number. See `Equivalence.equal`."""
        given, wanted = parse_quantity(answer), parse_quantity(gold)
        return None if given is None or wanted is None else self._near(given, wanted)

    def _near(self, given: Quantity, gold: Quantity) -> bool:
        limit = max(Fraction(self.absolute), Fraction(self.relative) * abs(gold.value))
        return abs(given.value - gold.value) <= limit or close(given, gold)

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True, slots=True)
class ChoiceVerifier:
    """One letter out of several; `(b)`, `B.` and `**B**` are the same choice."""

    policy: tuple[Method, ...] = CHOICE_POLICY

    @property
    def name(self) -> str:
        """Name and version."""
        return "choice/1"

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the letter that `response` ends on; see `Verifier.verify`."""
        found = extract(response, self.policy)
        verdict = prejudge(self.name, problem, found)
        if verdict is not None:
            return verdict
        gold, given = letter(problem.answer or ""), letter(found.answer or "")
        if gold is None:
            return judge(self.name, found, None, f"the reference {problem.answer!r} of problem {problem.id} is not a choice letter")
        return judge(self.name, Extraction(given, found.how), given == gold)

    async def equal(self, answer: str, gold: str) -> bool | None:
        """The same letter; None when either names none. See `Equivalence.equal`."""
        given, wanted = letter(answer), letter(gold)
        return None if given is None or wanted is None else given == wanted

    async def close(self) -> None:
        """Nothing to end."""


def letter(text: str) -> str | None:
    """The choice letter a short text stands for, in upper case; None when it names none."""
    bare = normalise(text).strip("()[]{}.:*_ \"'")
    if len(bare) == 1 and bare.isalpha():
        return bare.upper()
    return extract(text, ("choice",)).answer
