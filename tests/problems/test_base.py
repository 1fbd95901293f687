import pytest

from tirage.core.problem import Problem
from tirage.problems.base import ProblemSet, interleave, is_heldout


def numbered(count: int, **extra: object) -> ProblemSet:
    return ProblemSet("numbers", tuple(Problem(prompt=f"What is {n} + 1?", answer=str(n + 1), **extra) for n in range(count)))  # type: ignore[arg-type]


def test_indexing_gives_a_problem_and_slicing_a_set():
    problems = numbered(10)
    assert problems[3].answer == "4"
    assert isinstance(problems[2:5], ProblemSet)
    assert [p.answer for p in problems[2:5]] == ["3", "4", "5"]
    assert problems[2:5].name == "numbers"


def test_fingerprint_follows_content_and_order_only():
    problems = numbered(5)
    assert problems.fingerprint == numbered(5).fingerprint
    assert problems.fingerprint == problems.marked("train").fingerprint
    assert problems.fingerprint != problems[::-1].fingerprint
    assert problems.fingerprint != problems[:4].fingerprint
    assert len(problems.fingerprint) == 16


def test_split_is_a_partition_that_later_problems_do_not_disturb():
    small, large = numbered(200), numbered(400)
    first, rest = small.split(0.3, seed=7)
    assert len(first) + len(rest) == 200
    assert {p.id for p in first}.isdisjoint(p.id for p in rest)
    assert 40 <= len(first) <= 80
    assert {p.id for p in first} <= {p.id for p in large.split(0.3, seed=7)[0]}
    assert first.fingerprint != small.split(0.3, seed=8)[0].fingerprint
    assert [len(part) for part in small.split(0.0)] == [0, 200]
    assert [len(part) for part in small.split(1.0)] == [200, 0]


def test_split_refuses_a_share_outside_the_unit_interval():
    with pytest.raises(ValueError, match=r"share=1\.2"):
        numbered(3).split(1.2)


def test_marks_filters_and_families():
    problems = ProblemSet("mixed", (*numbered(2, metadata={"family": "a"}), *numbered(4, metadata={"family": "b"})[2:].marked("train")))
    assert len(problems.of_split("train")) == 2
    assert {name: len(group) for name, group in problems.by_family().items()} == {"a": 2, "b": 2}
    assert len(problems.filter(lambda p: p.answer == "1")) == 1


def test_distinct_keeps_the_first_of_equal_ids():
    problem = Problem(prompt="q", answer="1", source="first")
    again = Problem(prompt="q", answer="1", source="second")
    kept = ProblemSet("twice", (problem, again)).distinct()
    assert [p.source for p in kept] == ["first"]


def test_interleave_takes_turns_until_all_are_used_up():
    a, b = numbered(3), numbered(13)[10:11]
    assert [p.answer for p in interleave([a, b])] == ["1", "11", "2", "3"]


def test_heldout_side_is_a_fixed_fifth_of_the_texts():
    share = sum(is_heldout(f"What is {a} + {b}?") for a in range(100) for b in range(100)) / 10_000
    assert 0.19 < share < 0.21
    assert is_heldout("What is  3 + 4?\n") == is_heldout("what is 3 + 4?")
    # The embedded model was trained without these: a changed rule would leak held-out questions into its past.
    assert [n for n in range(20) if is_heldout(f"What is {n} + 1?")] == [5, 6, 13, 14, 18]
