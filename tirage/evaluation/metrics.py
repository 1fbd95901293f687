"""Metrics over outcomes.

Ungraded outcomes (`correct is None`) are left out of every share and counted apart: a verifier that crashed says nothing about the policy.
`ungraded_as_wrong=True` counts them as wrong instead, the lower bound. Every problem weighs the same, however many samples it has; with one
sample per problem that is the plain share.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tirage.evaluation.outcomes import Outcome, by_problem
from tirage.verification.answer_keys import AnswerKey
from tirage.verification.ballot import classes

MAX_POOL = 1000
"""Most samples per problem for which the counts of subsets fit a float (comb(1000, 500) is about 1e299)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of correct outcomes, mean over problems."""

    value: float | None
    """In [0, 1]; None when nothing is graded."""
    problems: int
    """Problems that entered."""
    samples: int
    """Outcomes that entered."""
    correct: int
    """Correct ones among them."""
    ungraded: int
    """Outcomes nobody could grade, whether or not they entered as wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtK:
    """An unbiased estimate for k draws per problem."""

    name: str
    """`pass@8`, `maj@8`, `best@8`."""
    k: int
    value: float | None
    """Mean over problems, in [0, 1]; None when no problem has k samples."""
    problems: int
    short: int
    """Problems with fewer than k usable samples, left out."""


def graded(outcomes: Iterable[Outcome], *, ungraded_as_wrong: bool = False) -> dict[str, list[tuple[Outcome, bool]]]:
    """Outcomes that count, with their truth value, by problem; problems with none are absent."""
    groups: dict[str, list[tuple[Outcome, bool]]] = {}
    for outcome in outcomes:
        if outcome.correct is None and not ungraded_as_wrong:
            continue
        groups.setdefault(outcome.problem_id, []).append((outcome, bool(outcome.correct)))
    return groups


def correctness(outcomes: Iterable[Outcome], *, ungraded_as_wrong: bool = False) -> list[list[float]]:
    """0/1 values by problem, as the intervals want them."""
    return [[float(right) for _, right in group] for group in graded(outcomes, ungraded_as_wrong=ungraded_as_wrong).values()]


def accuracy(outcomes: Sequence[Outcome], *, ungraded_as_wrong: bool = False) -> Accuracy:
    """Mean over problems of the share of correct samples."""
    clusters = correctness(outcomes, ungraded_as_wrong=ungraded_as_wrong)
    return Accuracy(
        value=math.fsum(math.fsum(cluster) / len(cluster) for cluster in clusters) / len(clusters) if clusters else None,
        problems=len(clusters),
        samples=sum(len(cluster) for cluster in clusters),
        correct=int(sum(sum(cluster) for cluster in clusters)),
        ungraded=sum(outcome.correct is None for outcome in outcomes),
    )


def pass_probability(n: int, correct: int, k: int) -> float:
    """Chance that k of n samples, drawn without replacement, hold a correct one.

    1 - C(n-c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374, eq. 1), as 1 minus the product of 1 - k/i over i in n-c+1..n, which
    never overflows. Raises ValueError unless 0 <= correct <= n and 1 <= k <= n.
    """
    _check_draw(n, k)
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n} samples is impossible")
    if n - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - correct + 1, n + 1))


def majority_curve(votes: Sequence[tuple[int, float]], silent: int, most: int) -> npt.NDArray[np.float64]:
    """Expected credit of the majority answer of k samples drawn without replacement, for k = 0..most. Exact: a sum over all subsets.

    Ties are broken evenly among the tied classes. That is what "the answer that came first" gives on average: in a random order, tied
    classes are equally likely to come first.

    For each winning count t, the product over classes of (sum_{c<t} C(n_j, c) x^c + y C(n_j, t) x^t) lists the subsets in which no class
    exceeds t: the power of x is the number of samples, that of y the number of classes at the top.

    Args:
        votes: Per answer class its size (> 0) and its credit in [0, 1]: 1 for the right answer.
        silent: Samples without an answer. They are drawn like the others and do not vote; if all k are silent the credit is 0.
        most: Largest number of samples drawn.

    Returns:
        Shape `[most + 1]`; entry 0 is 0.

    Raises:
        ValueError: Unless 1 <= most <= n <= MAX_POOL.
    """
    total = silent + sum(size for size, _ in votes)
    _check_draw(total, most)
    if total > MAX_POOL:
        raise ValueError(f"{total} samples of one problem; maj@k is exact up to {MAX_POOL}: give a part of the pool")
    # The curve does not depend on the order of classes, and problems of a kind often share their counts.
    return _majority_curve(tuple(sorted(votes)), silent, most)


def majority_credit(votes: Sequence[tuple[int, float]], silent: int, k: int) -> float:
    """One point of `majority_curve`."""
    return float(majority_curve(votes, silent, k)[k])


def best_probability(ranked: Sequence[float], k: int) -> float:
    """Expected credit of the highest-scored of k samples drawn without replacement (RM@N, arXiv 2409.12122).

    Args:
        ranked: Credit of each sample in [0, 1], the highest score first.
        k: Number drawn. Sample i (from 0) is the best drawn one in C(n-1-i, k-1) of the C(n, k) subsets.
    """
    n = len(ranked)
    _check_draw(n, k)
    return math.fsum(worth * math.comb(n - 1 - i, k - 1) for i, worth in enumerate(ranked)) / math.comb(n, k)


def pass_at_k(outcomes: Iterable[Outcome], k: int, *, ungraded_as_wrong: bool = False) -> AtK:
    """Unbiased pass@k, mean over problems with at least k usable samples."""
    values, short = [], 0
    for group in graded(outcomes, ungraded_as_wrong=ungraded_as_wrong).values():
        if len(group) < k:
            short += 1
            continue
        values.append(pass_probability(len(group), sum(right for _, right in group), k))
    return _at_k("pass", k, values, short)


def maj_at_k(outcomes: Iterable[Outcome], k: int, *, key: AnswerKey | None = None, ungraded_as_wrong: bool = False) -> AtK:
    """Unbiased maj@k: exact expectation over all k-subsets; ties split evenly, see `majority_curve`.

    Answers with the same `key` are one class; without a key those that mean the same, see `ballot.classes`, and those that the verifier
    found equal to the reference. Where the verifier tells members of a class apart, the class earns the share of its correct
    members.
    """
    return maj_at_many(outcomes, [k], key=key, ungraded_as_wrong=ungraded_as_wrong)[0]


def maj_at_many(
    outcomes: Iterable[Outcome], ks: Sequence[int], *, key: AnswerKey | None = None, ungraded_as_wrong: bool = False
) -> list[AtK]:
    """`maj_at_k` for several k at the price of the largest."""
    values: dict[int, list[float]] = {k: [] for k in ks}
    short: Counter[int] = Counter()
    for group in graded(outcomes, ungraded_as_wrong=ungraded_as_wrong).values():
        usable = [k for k in ks if k <= len(group)]
        short.update(k for k in ks if k > len(group))
        if not usable:
            continue
        votes, silent = _votes(group, key)
        curve = majority_curve(votes, silent, max(usable))
        for k in usable:
            values[k].append(float(curve[k]))
    return [_at_k("maj", k, values[k], short[k]) for k in ks]


def best_at_k(outcomes: Iterable[Outcome], scores: Sequence[float], k: int, *, ungraded_as_wrong: bool = False) -> AtK:
    """Unbiased best-of-k by a caller's scores, one per outcome in order; equal scores go to the earlier outcome."""
    listed = list(outcomes)
    if len(scores) != len(listed):
        raise ValueError(f"{len(scores)} scores for {len(listed)} outcomes; give one each")
    rated: dict[str, list[tuple[float, bool]]] = {}
    for outcome, score in zip(listed, scores, strict=True):
        if outcome.correct is not None or ungraded_as_wrong:
            rated.setdefault(outcome.problem_id, []).append((score, bool(outcome.correct)))
    values, short = [], 0
    for group in rated.values():
        if len(group) < k:
            short += 1
            continue
        values.append(best_probability([float(right) for _, right in sorted(group, key=lambda item: -item[0])], k))
    return _at_k("best", k, values, short)


def share(flags: Iterable[bool]) -> float | None:
    """Share of true values; None without any."""
    listed = list(flags)
    return sum(listed) / len(listed) if listed else None


def tool_rate(outcomes: Sequence[Outcome]) -> float | None:
    """Share of outcomes whose chosen path ran a tool; None without outcomes."""
    return share(outcome.used_tool for outcome in outcomes)


def verified_yield(outcomes: Sequence[Outcome]) -> float | None:
    """Verified correct outcomes per sample drawn; ungraded ones are drawn and not verified. None without outcomes."""
    return share(outcome.correct is True for outcome in outcomes)


def per_problem(outcomes: Sequence[Outcome], field: str) -> float | None:
    """Sum of a numeric field (`tokens_out`, `wall_s`) divided by the number of distinct problems; None without outcomes."""
    if not outcomes:
        return None
    return math.fsum(getattr(outcome, field) for outcome in outcomes) / len(by_problem(outcomes))


def _votes(group: Sequence[tuple[Outcome, bool]], key: AnswerKey | None) -> tuple[list[tuple[int, float]], int]:
    """Size and credit of each answer class, and the number of samples without an answer."""
    sizes: Counter[object] = Counter()
    right: Counter[object] = Counter()
    named: Sequence[object]
    if key is None:
        named = classes([None if item.answer is None else item.vote or item.answer for item, _ in group])
    else:
        named = [None if item.answer is None else key(item.answer) for item, _ in group]
    for (outcome, correct), name in zip(group, named, strict=True):
        if outcome.answer is not None:
            sizes[name] += 1
            right[name] += correct
    return [(size, right[name] / size) for name, size in sizes.items()], len(group) - sizes.total()


@lru_cache(maxsize=4096)
def _majority_curve(votes: tuple[tuple[int, float], ...], silent: int, most: int) -> npt.NDArray[np.float64]:
    tops = min(most, max((size for size, _ in votes), default=0))
    ranks = min(most, len(votes))
    # ways[t - 1, r, s]: subsets of s samples with r classes at the top count t and none above; gain weighs each by the summed credit of
    # the classes at the top.
    ways = np.zeros((tops, ranks + 1, most + 1))
    for count in range(min(silent, most) + 1):
        ways[:, 0, count] = math.comb(silent, count)
    gain = np.zeros_like(ways)
    for size, worth in votes:
        ways, gain = _add_class(ways, gain, size, worth)
    subsets = np.array([float(math.comb(silent + sum(size for size, _ in votes), k)) for k in range(most + 1)])
    shares = gain[:, 1:, :] / np.arange(1, ranks + 1)[None, :, None]
    curve: npt.NDArray[np.float64] = shares.sum(axis=(0, 1)) / subsets
    curve.setflags(write=False)
    return curve


def _add_class(
    ways: npt.NDArray[np.float64], gain: npt.NDArray[np.float64], size: int, worth: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Multiply one class into the listing of subsets, for all top counts at once."""
    more_ways, more_gain = np.zeros_like(ways), np.zeros_like(gain)
    tops, _, width = ways.shape
    for count in range(min(size, width - 1) + 1):
        chosen = float(math.comb(size, count))
        # Index t - 1 >= count is a top above this count: the class is drawn `count` times and stays below the top.
        more_ways[count:, :, count:] += chosen * ways[count:, :, : width - count]
        more_gain[count:, :, count:] += chosen * gain[count:, :, : width - count]
        if 1 <= count <= tops:
            below, credit = ways[count - 1, :-1, : width - count], gain[count - 1, :-1, : width - count]
            more_ways[count - 1, 1:, count:] += chosen * below
            more_gain[count - 1, 1:, count:] += chosen * (credit + worth * below)
    return more_ways, more_gain


def _check_draw(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"cannot draw k={k} of {n} samples; k must be in 1..{n}")


def _at_k(name: str, k: int, values: list[float], short: int) -> AtK:
    if k < 1:
        raise ValueError(f"k={k}: draw at least one sample")
    return AtK(name=f"{name}@{k}", k=k, value=math.fsum(values) / len(values) if values else None, problems=len(values), short=short)
