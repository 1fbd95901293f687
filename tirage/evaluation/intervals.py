"""Intervals: how far a measured mean can be from the true one.

A problem is the unit that is drawn at random; samples of one problem are not independent, so every resampling here draws problems.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

BootstrapMethod = Literal["percentile", "bca"]
_CHUNK = 4_000_000
"""Drawn indices held at a time: 32 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval; `low <= high`."""

    low: float
    high: float
    level: float = 0.95
    method: str = ""


def wilson(successes: float, n: int, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a share (Wilson 1927, JASA 22, eq. 2), clipped to [0, 1].

    Args:
        successes: In [0, n]; may be fractional.
        n: Number of independent trials. With 0 nothing is known and the interval is [0, 1].
        level: Coverage in (0, 1).

    Raises:
        ValueError: When `successes` is outside [0, n] or `level` outside (0, 1).
    """
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"wilson: {successes} successes of {n} trials is impossible")
    z = _quantile(level)
    if n == 0:
        return Interval(low=0.0, high=1.0, level=level, method="wilson")
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low=low, high=high, level=level, method="wilson")


def cluster_means(clusters: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """Mean of each cluster, shape `[clusters]`. Raises ValueError for an empty cluster, whose mean is undefined."""
    for index, cluster in enumerate(clusters):
        if not len(cluster):
            raise ValueError(f"cluster {index} is empty; leave problems without graded samples out")
    return np.array([math.fsum(cluster) / len(cluster) for cluster in clusters], dtype=np.float64)


def clustered_bootstrap(
    clusters: Sequence[Sequence[float]], *, level: float = 0.95, resamples: int = 10_000, seed: int = 0, method: BootstrapMethod = "bca"
) -> Interval:
    """Bootstrap interval of the mean over problems of the problem's mean; whole problems are drawn, with replacement.

    Args:
        clusters: One sequence of values per problem; lengths may differ, none is empty.
        level: Coverage in (0, 1).
        resamples: Number of bootstrap draws.
        seed: Same seed, same interval.
        method: `percentile`, or `bca`: bias-corrected and accelerated (Efron 1987, JASA 82, eq. 2.3).

    Returns:
        The interval; a single point when all problems have the same mean (`is_degenerate` tells), which says nothing about the truth.

    Raises:
        ValueError: Without any cluster, or with an empty one.
    """
    if not clusters:
        raise ValueError("clustered_bootstrap needs at least one problem")
    if resamples < 1:
        raise ValueError(f"resamples={resamples}: at least one is needed")
    values = cluster_means(clusters)
    tail = (1 - level) / 2
    _quantile(level)
    if is_degenerate(values):
        return Interval(low=float(values[0]), high=float(values[0]), level=level, method=method)
    means = _resampled_means(values, resamples, seed)
    lower, upper = (tail, 1 - tail) if method == "percentile" else _bca_tails(values, means, level)
    low, high = np.quantile(means, [lower, upper])
    return Interval(low=float(low), high=float(high), level=level, method=method)


def is_degenerate(values: npt.NDArray[np.float64]) -> bool:
    """True when all values are equal, so that resampling them cannot show any spread."""
    return bool(np.ptp(values) < 1e-12)


def mean_interval(clusters: Sequence[Sequence[float]], *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """The interval a report prints for a share: the right one for the data.

    One 0/1 value per problem: Wilson. Several: clustered BCa bootstrap. When all problems have the same mean, or fewer than five were
    measured, resampling understates the doubt, and Wilson on the number of *problems* is given: it takes the samples of a problem for
    one, the conservative end. Without any problem: [0, 1].
    """
    if not clusters:
        return wilson(0, 0, level=level)
    values = cluster_means(clusters)
    single = all(len(cluster) == 1 and cluster[0] in (0, 1) for cluster in clusters)
    if single or len(values) < 5 or is_degenerate(values):
        return wilson(min(max(float(values.sum()), 0.0), float(len(values))), len(values), level=level)
    return clustered_bootstrap(clusters, level=level, resamples=resamples, seed=seed)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level={level} is not a coverage; give e.g. 0.95")
    return NormalDist().inv_cdf(0.5 + level / 2)


def _resampled_means(values: npt.NDArray[np.float64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Means of `resamples` draws with replacement, shape `[resamples]`; drawn in chunks so that memory stays flat.

    Where problems share few distinct values, how often each is drawn is one multinomial draw: the same distribution at a cost that does
    not grow with the number of problems.
    """
    generator = np.random.default_rng(seed)
    distinct, counts = np.unique(values, return_counts=True)
    grouped = 4 * len(distinct) <= len(values)
    rows = max(1, _CHUNK // (len(distinct) if grouped else len(values)))
    parts = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        if grouped:
            drawn = generator.multinomial(len(values), counts / len(values), size=size)
            parts.append(drawn @ distinct / len(values))
        else:
            parts.append(values[generator.integers(0, len(values), size=(size, len(values)))].mean(axis=1))
    return np.concatenate(parts)


def _bca_tails(values: npt.NDArray[np.float64], means: npt.NDArray[np.float64], level: float) -> tuple[float, float]:
    """Corrected percentiles. The jackknife of a mean is closed: its deviations are those of the values, divided by n - 1."""
    normal = NormalDist()
    observed = float(values.mean())
    # Ties count half: the bootstrap distribution of 0/1 data is discrete.
    below = (float((means < observed - 1e-12).sum()) + 0.5 * float((np.abs(means - observed) <= 1e-12).sum())) / len(means)
    bias = normal.inv_cdf(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))
    # theta_(.) - theta_(i) = (x_i - mean) / (n - 1), hence the sign.
    deviations = (values - observed) / (len(values) - 1)
    spread = float((deviations**2).sum()) ** 1.5
    acceleration = float((deviations**3).sum()) / (6 * spread)
    tails = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + normal.inv_cdf(tail)
        tails.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    return tails[0], tails[1]
