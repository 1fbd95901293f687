import asyncio
from typing import Any

import pytest

from tirage.core.problem import Problem
from tirage.verification.answer import ChoiceVerifier, ExactVerifier, MathVerifier, NumericVerifier
from tirage.verification.choice import letter
from tirage.verification.grading.workers import WorkerPool


def problem(answer: str | None, **extra: Any) -> Problem:
    return Problem(prompt="?", answer=answer, **extra)


@pytest.fixture(scope="module")
def math_verifier():
    verifier = MathVerifier(workers=WorkerPool("math", size=1, timeout_s=20.0))
    yield verifier
    asyncio.run(verifier.close())


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x^2+2x+1", "(x+1)^2"),
        (r"\{1,2\}", r"\{2,1\}"),
        ("5", "x=5"),
        (r"2\pi", "2pi"),
        (r"2\pi", "2π"),
        (r"\frac{\sqrt{2}}{2}", "sqrt(2)/2"),
        (r"3\sqrt{2}", r"\sqrt{18}"),
        ("e^x", "exp(x)"),
        ("x^2+2x", "x**2+2*x"),
        (r"90^\circ", "90"),
        ("10^{3}", "1000"),
        ("3+4i", "4i+3"),
        (r"(-\infty, 3]", r"(-\infty,3]"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ],
)
async def test_algebra_finds_them_equal(math_verifier, gold, answer):
    verdict = await math_verifier.verify(problem(gold), f"So it is \\boxed{{{answer}}}.")
    assert (verdict.correct, verdict.score, verdict.extraction) == (True, 1.0, "boxed")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "17, 18"),
        ("18", "17 or 18"),
        ("18", "18 or 17"),
        ("(1,2)", "(2,1)"),
        ("[1,2)", "[1,2]"),
        ("x", "y"),
        ("5", "1/0"),
        ("18", "__import__('os').getpid()"),
        ("x^2", "x^3"),
    ],
)
async def test_algebra_tells_them_apart(math_verifier, gold, answer):
    verdict = await math_verifier.verify(problem(gold), f"\\boxed{{{answer}}}")
    assert verdict.correct is False


async def test_a_missing_answer_is_wrong_and_a_missing_reference_ungraded(math_verifier):
    nothing = await math_verifier.verify(problem("5"), "I do not know")
    assert (nothing.correct, nothing.answer, nothing.extraction, nothing.detail) == (False, None, "none", "no final answer found")
    ungraded = await math_verifier.verify(problem(None), "5")
    assert (ungraded.correct, ungraded.score) == (None, None)
    assert "has no reference answer" in ungraded.detail


async def test_an_unreadable_reference_is_ungraded(math_verifier):
    verdict = await math_verifier.verify(problem("???"), r"\boxed{x+1}")
    assert verdict.correct is None
    assert "cannot be parsed" in verdict.detail


async def test_an_endless_answer_is_wrong_without_any_algebra(math_verifier):
    verdict = await math_verifier.verify(problem("x+1"), "\\boxed{" + "x+" * 100_000 + "1}")
    assert verdict.correct is False
    assert "has 200001 characters" in verdict.detail


async def test_exact_compares_text():
    exact = ExactVerifier()
    assert (await exact.verify(problem("a  b\nc"), "a b c")).correct
    assert (await exact.verify(problem("Yes"), "yes")).correct is False
    assert (await ExactVerifier(ignore_case=True).verify(problem("Yes"), "the answer is yes.")).correct
    assert exact.name == "exact/2"


async def test_numeric_tolerance_by_hand():
    loose = NumericVerifier(relative=0.01)
    assert (await loose.verify(problem("200"), "about 201.9")).correct
    assert (await loose.verify(problem("200"), "about 202.1")).correct is False
    assert (await NumericVerifier(relative=0.0, absolute=0.5).verify(problem("3"), "3.4")).correct
    assert (await loose.verify(problem("two"), "2")).correct is None
    assert (await loose.verify(problem("2"), r"\boxed{x}")).detail == "the answer is not a number"


@pytest.mark.parametrize(("response", "right"), [("Paris", True), ("the City of Light", True), ("Lyon", False)])
async def test_any_accepted_answer_will_do(response, right):
    listed = Problem(prompt="?", answer="Paris", verifier="exact", metadata={"accepted": ["Paris", "the City of Light"]})
    assert (await ExactVerifier().verify(listed, response)).correct is right
    assert listed.accepted == ("Paris", "the City of Light")
    assert listed.asked.accepted == ()


async def test_numeric_reads_units_and_no_variables():
    numeric = NumericVerifier(relative=0.01)
    assert (await numeric.verify(problem("2 hours"), "The answer is 121 minutes.")).correct
    assert (await numeric.verify(problem("2 hours"), "The answer is 2 minutes.")).correct is False
    assert (await numeric.verify(problem("7"), r"\boxed{7x}")).correct is False


async def test_choice_letters():
    choice = ChoiceVerifier()
    verdict = await choice.verify(problem("(b)", kind="choice"), "So the answer is **B**.")
    assert (verdict.correct, verdict.answer) == (True, "B")
    assert (await choice.verify(problem("B"), "C")).correct is False
    assert (await choice.verify(problem("seven"), "B")).correct is None
    assert [letter(text) for text in ("(c)", "B.", "**A**", "(B) blue", "")] == ["C", "B", "A", "B", None]
