"""Paired comparison: two conditions on the same problems, so that the problems' difficulty cancels."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from tirage.evaluation.intervals import Interval, clustered_bootstrap, is_degenerate, wilson
from tirage.evaluation.metrics import graded
from tirage.evaluation.outcomes import Outcome, by_problem

_MAX_GRID = 2_000_000
"""Largest grid of sums for which the sign-flip distribution is counted exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What changed from `first` to `second` on the problems both measured. All shares are means over those problems."""

    first: str
    second: str
    pairs: int
    """Problems graded in both."""
    first_mean: float | None
    """None without pairs, like all derived values."""
    second_mean: float | None
    difference: float | None
    """`second_mean - first_mean`."""
    interval: Interval | None
    """Of the difference."""
    p_value: float | None
    """Two-sided, of "no difference"."""
    test: str
    """`mcnemar-exact`, `sign-flip-exact` or `sign-flip-sampled`."""
    wins: int
    """Problems on which `second` is better."""
    losses: int
    ties: int
    ungraded: int
    """Problems present in both with no graded sample in at least one."""
    only_first: tuple[str, ...]
    """Ids of problems that only `first` has, sorted."""
    only_second: tuple[str, ...]


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact McNemar test (McNemar 1947; binomial form): min(1, 2 P[X <= min(wins, losses)]), X ~ Bin(wins + losses, 1/2).

    1.0 without any discordant pair.
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"counts cannot be negative: wins={wins}, losses={losses}")
    total = wins + losses
    tail, term = 0, 1
    for i in range(min(wins, losses) + 1):
        tail += term
        term = term * (total - i) // (i + 1)
    return float(min(Fraction(1), Fraction(2 * tail, 2**total)))


def sign_flip(differences: Sequence[Fraction], *, resamples: int = 20_000, seed: int = 0) -> tuple[float, bool]:
    """Two-sided paired permutation test: how often random signs give a sum at least as far from 0 (Fisher 1935, sec. 21).

    The distribution of the signed sum is counted exactly on the grid of the common denominator; on 0/1 data it is the exact McNemar test.
    Where that grid is too large, `resamples` sign vectors are drawn and p = (hits + 1) / (resamples + 1).

    Returns:
        The p value and whether it is exact.
    """
    nonzero = [abs(value) for value in differences if value]
    if not nonzero:
        return 1.0, True
    scale = math.lcm(*(value.denominator for value in nonzero))
    steps = [int(value * scale) for value in nonzero]
    observed = abs(int(sum(differences) * scale))
    if (2 * sum(steps) + 1) * len(steps) <= _MAX_GRID * 50 and 2 * sum(steps) + 1 <= _MAX_GRID:
        return _exact_tail(steps, observed), True
    return _sampled_tail(np.array([float(value) for value in nonzero]), observed / scale, resamples, seed), False


def compare_paired(
    first: Iterable[Outcome],
    second: Iterable[Outcome],
    *,
    names: tuple[str, str] = ("first", "second"),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    ungraded_as_wrong: bool = False,
) -> Paired:
    """Compare two conditions problem by problem.

    A problem's value is its share of correct graded samples. One sample on each side everywhere: exact McNemar test. Otherwise: sign-flip
    test on the differences. The interval is the clustered BCa bootstrap of the mean difference, see `difference_interval`.
    """
    before, after = list(first), list(second)
    known = by_problem(before).keys(), by_problem(after).keys()
    both = [problem for problem in known[0] if problem in known[1]]
    left = graded(before, ungraded_as_wrong=ungraded_as_wrong)
    right = graded(after, ungraded_as_wrong=ungraded_as_wrong)
    pairs = [problem for problem in both if problem in left and problem in right]
    means = [(_mean(left, problem), _mean(right, problem)) for problem in pairs]
    differences = [new - old for old, new in means]
    wins, losses = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    if all(len(left[problem]) == len(right[problem]) == 1 for problem in pairs):
        p_value, test = mcnemar_exact(wins, losses), "mcnemar-exact"
    else:
        p_value, exact = sign_flip(differences, seed=seed)
        test = "sign-flip-exact" if exact else "sign-flip-sampled"
    count = len(pairs)
    return Paired(
        first=names[0],
        second=names[1],
        pairs=count,
        first_mean=float(sum((old for old, _ in means), Fraction()) / count) if count else None,
        second_mean=float(sum((new for _, new in means), Fraction()) / count) if count else None,
        difference=float(sum(differences, Fraction()) / count) if count else None,
        interval=difference_interval([float(value) for value in differences], level=level, resamples=resamples, seed=seed)
        if count
        else None,
        p_value=p_value if count else None,
        test=test,
        wins=wins,
        losses=losses,
        ties=count - wins - losses,
        ungraded=len(both) - count,
        only_first=tuple(sorted(known[0] - known[1])),
        only_second=tuple(sorted(known[1] - known[0])),
    )


def difference_interval(differences: Sequence[float], *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Bootstrap interval of the mean of per-problem differences, each in [-1, 1]; at least one is needed.

    When all differences are equal, resampling shows no spread, though n problems cannot rule out a rare other one. Then at most the share
    u = the Wilson upper end for 0 of n may differ, by as much as the range allows: [d - u (1 + d), d + u (1 - d)].
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) and is_degenerate(values):
        rare = wilson(0, len(values), level=level).high
        same = float(values[0])
        return Interval(low=same - rare * (1 + same), high=same + rare * (1 - same), level=level, method="wilson-bound")
    return clustered_bootstrap([[value] for value in differences], level=level, resamples=resamples, seed=seed)


def _mean(groups: Mapping[str, list[tuple[Outcome, bool]]], problem: str) -> Fraction:
    group = groups[problem]
    return Fraction(sum(right for _, right in group), len(group))


def _exact_tail(steps: Sequence[int], observed: int) -> float:
    """P(|sum of +-steps| >= observed) with even signs; one shifted addition per step over the grid of sums."""
    reach = sum(steps)
    chance = np.zeros(2 * reach + 1)
    chance[reach] = 1.0
    for step in steps:
        moved = np.zeros_like(chance)
        moved[step:] += 0.5 * chance[: len(chance) - step]
        moved[: len(chance) - step] += 0.5 * chance[step:]
        chance = moved
    sums = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chance[sums >= observed].sum()))


def _sampled_tail(steps: npt.NDArray[np.float64], observed: float, resamples: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    hits, rows = 0, max(1, 4_000_000 // len(steps))
    for start in range(0, resamples, rows):
        signs = generator.integers(0, 2, size=(min(rows, resamples - start), len(steps)), dtype=np.int8) * 2 - 1
        hits += int((np.abs(signs @ steps) >= observed - 1e-9).sum())
    return (hits + 1) / (resamples + 1)
