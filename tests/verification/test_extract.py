import pytest

from tirage.core import Finish, Source, Span, Step, StopReason, Trajectory
from tirage.verification.extract import CHOICE_POLICY, MATH_POLICY, TEXT_POLICY, boxed, conclusion, extract


@pytest.mark.parametrize(
    ("text", "answer", "how"),
    [
        (r"so \boxed{1} no, \boxed{\frac{3}{4}}.", r"\frac{3}{4}", "boxed"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", "boxed"),
        (r"\boxed {7}", "7", "boxed"),
        (r"\boxed 8 is it", "8", "boxed"),
        (r"\fbox{9}", "9", "boxed"),
        (r"line break \\\boxed{3}", "3", "boxed"),
        (r"\boxed{5} and cut off \boxed{6", "5", "boxed"),
        (r"print({'a': 1) \boxed{5}", "5", "boxed"),
        (r"\boxed{} so the answer is 4.", "4", "phrase"),
        ("<answer> 12 </answer> done", "12", "tag"),
        ("The answer is 3. Or rather: the final answer is **42**.", "42", "phrase"),
        ("The answer to the first question is $18 per day. She is rich.", "$18 per day", "phrase"),
        ("Answer:\n\n  7 apples\nthanks", "7 apples", "phrase"),
        ("2 + 2 = <<2+2=4>>4\nA: 4", "4", "phrase"),
        ("#1: 7\nQ2: [EOQ]\nAns: Paris", "Paris", "phrase"),
        ("reasoning\n#### 1,234", "1,234", "phrase"),
        (r"the answer is \(x^2\).", "x^2", "phrase"),
        ("it costs $3, then -4, so 1,250.50 in all", "1,250.50", "last-number"),
        ("from 10-3 we get", "3", "last-number"),
        ("so x = -3", "-3", "last-number"),
        ("that is 3/4 of it", "3/4", "last-number"),
        ("about .5 maybe", ".5", "last-number"),
        (r"\boxed{2}, \boxed{6} and \boxed{8}", "2, 6, 8", "boxed"),
        (r"$\boxed{(1,2)} \quad \text{and} \quad \boxed{(3,4)}$", "(1,2), (3,4)", "boxed"),
        (r"The area is \boxed{12} and its root \boxed{4}", "4", "boxed"),
        (r"\boxed{3}, and again \boxed{3}", "3", "boxed"),
        ('{"answer": 42, "confidence": 0.7}', "42", "phrase"),
        ("{'final_answer': '42', 'confidence': 70}", "42", "phrase"),
        ('{"answer": [4, 5]}', "4, 5", "phrase"),
        ("**Final Answer:**\n\n$$\n\\frac{5}{7}\n$$", r"\frac{5}{7}", "phrase"),
        ("The answer is:\n\n\\[\n\\frac{5}{7}\n\\]", r"\frac{5}{7}", "phrase"),
        ("### Final Answer:\n\\begin{align*}\nx &= 2 + 3 \\\\\n&= 5\n\\end{align*}", "5", "phrase"),
        ("First 3. Then the result is 793546072.", "793546072", "result"),
        ("so the point is $(7,6)$", "(7,6)", "last-number"),
        ("so it is $x = \\frac{1}{2}$.", r"\frac{1}{2}", "last-number"),
        ("it costs $7 and $9", "$9", "last-number"),
        ("Six people come.", "6", "last-number"),
        ("six", None, "none"),
        ("Six of seven people come.", None, "none"),
        ("no idea", None, "none"),
        ("", None, "none"),
    ],
)
def test_mathematics_order(text, answer, how):
    found = extract(text, MATH_POLICY)
    assert (found.answer, found.how) == (answer, how)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("(A) is wrong, so (C)", "C"),
        ("I think B. A good choice", "B"),
        ("The answer is (D).", "D"),
        (r"\boxed{B}", "B"),
        ("it's I who say so", None),
        ("Option E", "E"),
    ],
)
def test_choices(text, answer):
    assert extract(text, CHOICE_POLICY).answer == answer


def test_fenced_takes_the_last_complete_block():
    text = "```python\nprint(1)\n```\nthen\n```output\n1\n```\nand ```inline```\n```\nopen"
    assert extract(text, ("fenced",)).answer == "1"
    assert extract("```\n```", ("fenced",)).answer is None
    assert extract("no fence", ("fenced",)).answer is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("```python\nprint(5)\n```", None),
        ("It is 7.\n```output\n5\n```", "7"),
        ("It is 7.\n``` python\nprint(5)", "7"),
        ("It is 7.\n~~~~\n\\boxed{5}\n~~~~", "7"),
        ("It is 7.\n```\nThe answer is 5\n```", "7"),
        ("The answer is:\n```\n5\n```", "5"),
        ("It is `5`", "5"),
    ],
)
def test_a_block_of_code_holds_no_answer(text, answer):
    assert extract(text, MATH_POLICY).answer == answer


def test_whole_is_everything_stripped():
    assert extract(" a\nb \n", TEXT_POLICY).answer == "a\nb"
    assert extract(" \n ", TEXT_POLICY).answer is None


def test_a_policy_is_tried_in_its_own_order():
    assert extract(r"the answer is 3 \boxed{4}", ("phrase", "boxed")).how == "phrase"


HARD = {
    "open boxes": "\\boxed{" * 140_000,
    "nested boxes": "\\boxed{" * 120_000 + "}" * 120_000,
    "box and spaces": "\\boxed" + " " * 1_000_000,
    "backslashes": "\\" * 1_000_000,
    "digits": "1" * 1_000_000,
    "commas": "1," * 500_000,
    "answers": "answer " * 140_000,
    "answer to": "answer to " * 100_000,
    "answer and spaces": "answer" + " " * 1_000_000,
    "fences": "```\n" * 250_000,
    "letters": "A " * 500_000,
    "tags": "<answer>" * 125_000,
    "line ends": "\n" * 1_000_000,
    "dollars": "$" * 1_000_000,
}


@pytest.mark.no_cover  # tracing costs more than the work
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", HARD)
def test_a_megabyte_of_anything_is_no_trouble(name):
    """Anything quadratic would take hours here and run into the time limit; linear code takes well under a second."""
    for method in ("boxed", "tag", "phrase", "fenced", "last-number", "choice"):
        found = extract(HARD[name], (method,))
        assert found.how == (method if found.answer else "none")


def test_deep_nesting_gives_the_outermost_box():
    text = "\\boxed{" * 1000 + "5" + "}" * 1000
    assert boxed(text) == "\\boxed{" * 999 + "5" + "}" * 999


@pytest.mark.parametrize(
    ("stop", "text", "answered"),
    [
        (StopReason.ANSWERED, "it makes 42", True),
        (StopReason.LENGTH, "it makes 42", True),
        (StopReason.CALLS, "```output\n42\n```", False),
        (StopReason.CALLS, "The answer is 42. Let me check.\n```output\n42\n```", True),
        (StopReason.MALFORMED, "```python\nprint(42)", False),
        (StopReason.MALFORMED, "\\boxed{42}\n```python", True),
        (StopReason.GAVE_UP, "\\boxed{42} is wrong, I give up", False),
    ],
)
def test_a_path_that_broke_off_answers_only_what_it_stated(stop: StopReason, text: str, answered: bool) -> None:
    step = Step(spans=(Span(Source.POLICY, text),), finish=Finish.STOP)
    path = Trajectory(problem_id="p", policy_id="m", seed=0, prompt=(), steps=(step,), stop=stop)
    assert conclusion(path) == (text if answered else "")
