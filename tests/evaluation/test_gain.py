import pytest

from tirage.evaluation import Outcome, split_gain
from tirage.evaluation.gain import doubts, halves


def group(*cells: tuple[bool, int, int]) -> list[Outcome]:
    """Cells of (tool used, right, wrong)."""
    return [
        Outcome(problem_id=f"{tool}{index}", correct=index < right, used_tool=tool)
        for tool, right, wrong in cells
        for index in range(right + wrong)
    ]


def test_pure_habit():
    gain = split_gain(group((True, 2, 0), (False, 0, 8)), group((True, 8, 0), (False, 0, 2)))
    assert gain is not None
    assert (gain.total, gain.habit, gain.skill) == (pytest.approx(0.6), pytest.approx(0.6), pytest.approx(0.0))
    assert gain.smallest == 2
    assert halves(gain) == ("–†", "–†")
    assert "too few to tell habit from skill" in doubts([gain])


def test_mixed_by_hand():
    # before: r .2, t .5, n .1; after: r .6, t .8, n .1 -> habit .4 (.65 - .1) = .22, skill .3 * .4 = .12.
    before, after = group((True, 10, 10), (False, 8, 72)), group((True, 48, 12), (False, 4, 36))
    gain = split_gain(before, after, ("before", "after"))
    assert gain is not None
    assert (gain.habit, gain.skill) == (pytest.approx(0.22), pytest.approx(0.12))
    assert gain.total == pytest.approx(gain.habit + gain.skill)
    assert halves(gain) == ("+22.0", "+12.0")
    assert doubts([gain]) == ""


def test_a_never_seen_stratum_is_named_and_credits_habit():
    gain = split_gain(group((False, 0, 10)), group((True, 9, 1)), ("before", "after"))
    assert gain is not None
    assert (gain.habit, gain.skill) == (pytest.approx(0.9), pytest.approx(0.0))
    assert gain.assumed == ("before with the tool", "after without the tool")
    assert halves(gain) == ("+90.0*", "0.0*")
    assert "before with the tool" in doubts([gain])


def test_nothing_graded_cannot_be_split():
    assert split_gain([Outcome(problem_id="a", correct=None)], group((True, 1, 0))) is None
