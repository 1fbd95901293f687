import pytest

from tirage.core.problem import Problem
from tirage.verification.answer import ChoiceVerifier
from tirage.verification.choice import letter, letters


@pytest.mark.parametrize(
    ("response", "given"),
    [
        (r"\boxed{B. Hepatitis A}", "B"),
        (r"\boxed{B: Vitamin C}", "B"),
        (r"\boxed{b}", "B"),
        ("The answer is B, because A and C are wrong.", "B"),
        ("The answer is (B) Group A strain", "B"),
        ("The answer is B) Plan C", "B"),
        ("Answer: Option B (Appendix C)", "B"),
        ("The best answer is B over C", "B"),
        ("The correct answer is B, not C.", "B"),
        ("Therefore it is **B) Schedule D**.", "B"),
        ("**B. Vitamin E**", "B"),
        ("b. 12", "B"),
        ("b)", "B"),
        ("b", "B"),
        ("I choose B over A", "B"),
        ("Both A and C are wrong, so B.", "B"),
        ("The answer is not A but B.", "B"),
        ("A is correct", "A"),
        ('{"answer": "B"}', "B"),
        ("We get \\boxed{E=mc^2}, so it is small.\n\n**Answer: B**", "B"),
        ("```python\nprint('A')\n```\nThe answer is B", "B"),
        ("A or B", "A and B"),
        ("The answer is A or B.", "A and B"),
        ("B, C", "B and C"),
        ("B/C", "B and C"),
        ("A, C and D are all wrong.", None),
        ("The answer is Bob", None),
        ("none", None),
    ],
)
async def test_the_option_a_response_states(response, given):
    verdict = await ChoiceVerifier().verify(Problem(prompt="?", answer="B", verifier="choice"), response)
    assert (verdict.answer, verdict.correct) == (given, given == "B")


def test_short_texts():
    assert [letter(text) for text in ("(c)", "B.", "**A**", "(B) blue", "", "A or C")] == ["C", "B", "A", "B", None, None]
    assert letters("C and A") == ("A", "C")
