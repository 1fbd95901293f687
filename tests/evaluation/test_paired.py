from fractions import Fraction

import numpy as np
import pytest

from tirage.evaluation import Outcome, compare_paired, mcnemar_exact, sign_flip
from tirage.evaluation import paired as paired_module
from tirage.evaluation.paired import difference_interval


def test_mcnemar_by_hand():
    assert mcnemar_exact(8, 2) == 112 / 1024  # 2 (1 + 10 + 45) / 2^10
    assert mcnemar_exact(2, 8) == 112 / 1024
    assert mcnemar_exact(5, 0) == 2 / 32
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(0, 0) == 1.0
    assert 0.0 < mcnemar_exact(1000, 20) < 1e-200
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 2)


@pytest.mark.parametrize(("wins", "losses"), [(1, 0), (7, 3), (40, 22), (0, 11)])
def test_mcnemar_agrees_with_scipy(wins: int, losses: int):
    stats = pytest.importorskip("scipy.stats")
    assert mcnemar_exact(wins, losses) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, rel=1e-9)


def test_sign_flip_by_hand():
    # Sums of +-1/2 +-1/2 +-1/4: four of the eight are at least 3/4 away from zero.
    assert sign_flip([Fraction(1, 2), Fraction(1, 2), Fraction(1, 4)]) == (0.25, True)
    assert sign_flip([Fraction(1, 2), Fraction(1, 2), Fraction(-1, 4)]) == (0.5, True)
    assert sign_flip([Fraction(0)] * 5) == (1.0, True)
    assert sign_flip([]) == (1.0, True)


def test_sign_flip_on_single_samples_is_mcnemar():
    differences = [Fraction(1)] * 14 + [Fraction(-1)] * 5 + [Fraction(0)] * 30
    assert sign_flip(differences)[0] == pytest.approx(mcnemar_exact(14, 5), rel=1e-9)


def test_sign_flip_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(5)
    differences = [Fraction(int(value), 4) for value in generator.integers(-2, 4, size=12)]
    floats = np.array([float(value) for value in differences])
    theirs = stats.permutation_test((floats,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False)
    assert sign_flip(differences) == (pytest.approx(theirs.pvalue, abs=1e-9), True)


def test_sampled_test_is_close_to_the_exact_one(monkeypatch):
    differences = [Fraction(1, 8)] * 30 + [Fraction(-3, 8)] * 6
    exact, flag = sign_flip(differences)
    assert flag
    monkeypatch.setattr(paired_module, "_MAX_GRID", 0)
    sampled, flag = sign_flip(differences, seed=1)
    assert not flag
    assert sampled == pytest.approx(exact, abs=0.02)
    assert sign_flip(differences, seed=1)[0] == sampled
    assert sign_flip([Fraction(1, 8)] * 200)[0] == pytest.approx(1 / 20_001)  # never zero


def test_single_samples_use_mcnemar(outcomes):
    before = outcomes([[False]] * 8 + [[True]] * 2 + [[True]] * 10)
    after = outcomes([[True]] * 8 + [[False]] * 2 + [[True]] * 10)
    measured = compare_paired(before, after, names=("before", "after"))
    assert (measured.test, measured.p_value) == ("mcnemar-exact", 112 / 1024)
    assert (measured.pairs, measured.wins, measured.losses, measured.ties) == (20, 8, 2, 10)
    assert (measured.first_mean, measured.second_mean) == (0.6, 0.9)
    assert measured.difference == pytest.approx(0.3)
    assert measured.interval is not None
    # Standard error sqrt((10/20 - 0.09) / 20) = 0.143, so about 0.3 +- 0.28.
    assert measured.interval.low == pytest.approx(0.02, abs=0.06)
    assert measured.interval.high == pytest.approx(0.58, abs=0.06)


def test_several_samples_use_the_sign_flip_test(outcomes):
    before = outcomes([[False, True], [False, False], [True, True], [False]])
    after = outcomes([[True, True], [True, False], [True, False], [True]])
    measured = compare_paired(before, after)
    assert measured.test == "sign-flip-exact"
    assert (measured.wins, measured.losses, measured.ties) == (3, 1, 0)
    assert measured.difference == pytest.approx((0.5 + 0.5 - 0.5 + 1.0) / 4)
    # Steps 1, 1, 1, 2 in halves, observed sum 3: sums with |s| >= 3 are 5 (1), 3 (3), and their mirror: 8 of 16.
    assert measured.p_value == 0.5


def test_unmatched_and_ungraded_problems_are_told_apart():
    def row(problem: str, correct: bool | None) -> Outcome:
        return Outcome(problem_id=problem, correct=correct)

    before = [row("a", True), row("b", None), row("c", False), row("x", True)]
    after = [row("a", True), row("b", True), row("c", True), row("z", True), row("y", None)]
    measured = compare_paired(before, after)
    assert (measured.pairs, measured.ungraded) == (2, 1)
    assert (measured.only_first, measured.only_second) == (("x",), ("y", "z"))
    assert compare_paired(before, after, ungraded_as_wrong=True).pairs == 3


def test_no_pairs_is_unknown_not_zero():
    measured = compare_paired([Outcome(problem_id="a", correct=True)], [Outcome(problem_id="b", correct=True)])
    assert (measured.pairs, measured.difference, measured.interval, measured.p_value) == (0, None, None, None)


def test_equal_differences_keep_some_doubt():
    same = difference_interval([0.0] * 10)
    assert (same.low, same.high) == (pytest.approx(-0.277533, abs=1e-6), pytest.approx(0.277533, abs=1e-6))
    won = difference_interval([1.0] * 10)
    assert (won.low, won.high) == (pytest.approx(1 - 2 * 0.277533, abs=1e-6), 1.0)
