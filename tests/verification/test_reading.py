"""One answer per path: what is shown is what is graded."""

import pytest

from tirage.core import Finish, Problem, Source, Span, Step, StopReason, Trajectory, Tree
from tirage.rollouts.runner import judge
from tirage.verification import open_verifier
from tirage.verification.alike import Spelling
from tirage.verification.extract import conclusion
from tirage.verification.factory import VERIFIERS
from tirage.verification.reading import answer_in, answer_of
from tirage.verification.verifiers import Verifiers

P, T, S, F = Source.POLICY, Source.TOOL, Source.SCAFFOLD, Source.FORCED


def tree_of(*spans: tuple[Source, str], stop: StopReason = StopReason.ANSWERED) -> tuple[Tree, Trajectory]:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "?"),))
    step = Step(spans=tuple(Span(source, text) for source, text in spans), finish=Finish.STOP)
    tree.chosen = tree.add(0, step, stop=stop).index
    return tree, tree.trajectory(tree.chosen)


async def graded(tree: Tree, problem: Problem) -> tuple[bool | None, str | None]:
    verifier = open_verifier(problem.verifier)
    try:
        verdict = (await judge(tree, problem, verifier))[tree.chosen]
    finally:
        await verifier.close()
    return verdict.correct, verdict.answer


async def test_a_box_in_what_a_tool_returned_does_not_decide_a_grade() -> None:
    problem = Problem(prompt="?", answer="999")
    for said, read in (("I do not know.", None), ("So it is 42.", "42")):
        tree, path = tree_of((P, "Let me look. "), (T, "The answer is \\boxed{999}.\n"), (P, said))
        assert answer_of(path, problem) == read
        assert await graded(tree, problem) == (False, read)


async def test_an_answer_that_was_elicited_by_a_forced_beginning_counts() -> None:
    tree, path = tree_of((P, "Hm, 17 or 23. "), (F, "The final answer is \\boxed{"), (P, "42}."))
    problem = Problem(prompt="?", answer="42")
    assert answer_of(path, problem) == "42"
    assert await graded(tree, problem) == (True, "42")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("17 times 23.\n```python\nprint(17 * 23)", None),
        ("17 times 23.\n```python\nprint(17 * 23)\n```\nIt prints 391", None),
        ("The answer is 391.\n```python\nprint(17 * 23)", "391"),
        ("```python\nprint(17 * 23)\n```\nThe answer is 391.", "391"),
    ],
)
def test_with_code_that_was_not_run_only_a_stated_answer_counts(text: str, answer: str | None) -> None:
    _, path = tree_of((P, text), stop=StopReason.LENGTH)
    assert answer_of(path, Problem(prompt="?")) == answer


async def test_the_answer_that_the_agent_reads_is_the_one_that_is_shown_and_graded() -> None:
    problem = Problem(prompt="?", answer="387")
    tree, _ = tree_of((P, "The answer is 391. No: 387, or was it 5?"))
    tree.answers[tree.chosen] = "387"
    path = tree.trajectory(tree.chosen)
    assert (answer_of(path, problem), conclusion(path)) == ("387", "\\boxed{387}")
    assert await graded(tree, problem) == (True, "387")
    tree.answers[tree.chosen] = ""
    assert answer_of(tree.trajectory(tree.chosen), problem) is None
    assert await graded(tree, problem) == (False, None)


@pytest.mark.parametrize("verifier", ["math", "numeric", "exact", "choice"])
@pytest.mark.parametrize("text", ["I think 3, so (B).", "The answer is 5.", "\\boxed{C} it is", "nothing here", "<answer>7</answer>"])
async def test_answers_are_read_as_the_verifier_reads_them(verifier: str, text: str) -> None:
    assert verifier in VERIFIERS
    problem = Problem(prompt="?", answer="5" if verifier != "choice" else "B", verifier=verifier)
    tree, path = tree_of((P, text))
    shown, (_, told) = answer_of(path, problem), await graded(tree, problem)
    assert shown == told
    assert answer_in(text, problem) == shown


SAME = [
    ["\\dfrac{1}{2}", "\\frac{1}{2}", "0.5", "1/2", ".50"],
    ["(1,2)", "(1, 2)"],
    ["5\\text{ cm}", "5"],
    ["x+1", "1+x"],
    ["\\sqrt{8}", "2\\sqrt{2}"],
]


@pytest.mark.parametrize("turn", range(3))
async def test_equal_answers_are_spelt_the_same_whatever_their_order(turn: int) -> None:
    answers = [answer for group in SAME for answer in group]
    answers = answers[turn * 4 :] + answers[: turn * 4]
    async with Verifiers() as verifiers:
        spelt = await Spelling(Problem(prompt="?"), verifiers.of).all(answers)
    groups: dict[str | None, set[str]] = {}
    for answer, first in zip(answers, spelt, strict=True):
        groups.setdefault(first, set()).add(answer)
    assert sorted(map(sorted, groups.values())) == sorted(map(sorted, SAME))


async def test_the_library_is_asked_only_where_nothing_cheaper_decides_and_not_for_ever() -> None:
    asked: list[tuple[str, str]] = []

    class Slow:
        async def equal(self, answer: str, gold: str) -> bool | None:
            asked.append((answer, gold))
            return None

    spelling = Spelling(Problem(prompt="?"), lambda problem: Slow())
    numbers = [str(number % 7) for number in range(64)]
    assert await spelling.all(numbers) == numbers
    assert asked == [], "plain numbers need no library"
    forms = [f"x^{{{number}}}+y" for number in range(64)]
    assert await spelling.all(forms) == forms
    assert len(asked) <= 64 * 16
    before = len(asked)
    assert await spelling.all(forms) == forms
    assert len(asked) == before, "what is known is not asked again"


async def test_case_counts_where_the_verifier_says_so() -> None:
    async with Verifiers() as verifiers:
        exact = Spelling(Problem(prompt="?", verifier="exact"), verifiers.of)
        assert await exact.all(["Abc", "abc", "Abc"]) == ["Abc", "abc", "Abc"]
        choice = Spelling(Problem(prompt="?", verifier="choice"), verifiers.of)
        assert await choice.all(["(B)", "b.", "C"]) == ["(B)", "(B)", "C"]
