"""What the policy said itself, and what it did not."""

import pytest

from tirage.core import Finish, Observation, ObservationStatus, Source, Span, Step, StopReason, Trajectory
from tirage.core.own_text import read_own

P, H, T, S, F = Source.POLICY, Source.HINT, Source.TOOL, Source.SCAFFOLD, Source.FORCED


def path(*steps: list[tuple[Source, str]], stop: StopReason = StopReason.ANSWERED) -> Trajectory:
    taken = tuple(Step(spans=tuple(Span(source, text) for source, text in step), finish=Finish.STOP) for step in steps)
    return Trajectory(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "\\boxed{0}"),), steps=taken, stop=stop)


@pytest.mark.parametrize(
    ("steps", "own"),
    [
        ([[(P, "It is 42.")]], "It is 42."),
        ([[(H, "Perhaps \\boxed{9}.\n"), (P, "No: 42.")]], "No: 42."),
        ([[(P, "It is 4"), (T, "1"), (P, "2.")]], "It is 4\n2."),
        ([[(P, "It is 4")], [(P, "2.")]], "It is 42."),
        ([[(F, "The final answer is \\boxed{"), (P, "42}.")]], "The final answer is \\boxed{42}."),
        ([[(F, "So: "), (F, "the answer is "), (P, "42")]], "So: the answer is 42"),
        ([[(F, "The answer is 9."), (H, "Or not?"), (P, "42")]], "42"),
        ([[(P, "Hm. "), (F, "No more calls are allowed: 9.")], [(P, "42")]], "Hm. \n42"),
        ([[(P, "42"), (S, "\nGo on.\n")], [(P, "!")]], "42\n!"),
        ([], ""),
    ],
)
def test_only_what_the_policy_wrote_counts_and_what_was_forced_right_before_it(steps: list[list[tuple[Source, str]]], own: str) -> None:
    assert path(*steps).own_text == own


def test_the_answer_that_a_tool_ends_the_path_with_is_the_policys() -> None:
    final = Observation(text="The answer is \\boxed{42}.", status=ObservationStatus.FINAL)
    other = Observation(text="The answer is \\boxed{9}.")
    spans = (Span(P, "I am done."), Span(T, other.text), Span(T, final.text))
    assert read_own((Step(spans=spans, finish=Finish.CALL, observations=(other, final)),)).text == f"I am done.\n{final.text}"


CODE = "```python\nprint(391)\n```\n"


@pytest.mark.parametrize(
    ("spans", "own", "unrun"),
    [
        # The policy opens the output itself, or the framework does; what is shown between fences is nobody's answer.
        ([(P, f"Look.\n{CODE}```output\n"), (T, "999\n"), (S, "```\n"), (P, "It is 391.")], f"Look.\n{CODE}\nIt is 391.", False),
        ([(P, CODE), (S, "```output\n"), (T, "999\n"), (S, "```\n"), (P, "It is 391.")], f"{CODE}It is 391.", False),
        ([(P, CODE), (T, "999\n"), (P, "It is 391.")], f"{CODE}It is 391.", False),
        # A tool that prints fences leaves none open.
        ([(P, CODE), (S, "```output\n"), (T, "```\nfoo\n```\nbar\n"), (S, "```\n"), (P, "It is 391.")], f"{CODE}It is 391.", False),
        ([(P, CODE), (T, "Read this:\n```python\nx = 999\n"), (P, "It is 391.")], f"{CODE}It is 391.", False),
        # A hint may open the fence.
        ([(H, "Try code.\n```python\n"), (P, "print(391)\n```\n"), (T, "391\n"), (P, "Yes.")], f"{CODE}Yes.", False),
        ([(H, "Try code.\n```python\n"), (P, "print(391)\n"), (S, "```\n"), (T, "391\n"), (P, "Yes.")], f"{CODE}Yes.", False),
        ([(H, f"Like this:\n{CODE}"), (P, "It is 5.")], "It is 5.", False),
        # Never run.
        ([(P, f"{CODE}It prints 391.")], f"{CODE}It prints 391.", True),
        ([(P, "Look.\n```python\nprint(391)")], "Look.\n```python\nprint(391)", True),
        ([(P, "Look.\n```\nprint(391)")], "Look.\n```\nprint(391)", True),
        ([(P, CODE), (T, "391\n"), (P, f"Again:\n{CODE}")], f"{CODE}Again:\n{CODE}", True),
        ([(P, "```{.python}\nprint(1)\n```")], "```{.python}\nprint(1)\n```", True),
        ([(P, "````python\n```\nprint(1)\n````\n"), (T, "1"), (P, "One.")], "````python\n```\nprint(1)\n````\nOne.", False),
        # What is not code need not run.
        ([(P, "The grid:\n```\n1 2\n3 4\n```\n")], "The grid:\n```\n1 2\n3 4\n```\n", False),
        ([(P, "It is `1`. ```no fence``` here.")], "It is `1`. ```no fence``` here.", False),
    ],
)
def test_fences_are_kept_where_the_code_is_the_policys(spans: list[tuple[Source, str]], own: str, unrun: bool) -> None:
    said = path(spans).own
    assert "\n".join(filter(None, said.text.split("\n"))) == "\n".join(filter(None, own.split("\n")))
    assert said.unrun is unrun


def test_reading_is_linear() -> None:
    said = read_own((Step(spans=(Span(P, "```python\nx\n```\n" * 20_000), Span(T, "```\n" * 20_000)), finish=Finish.STOP),))
    assert len(said.text) >= 300_000
