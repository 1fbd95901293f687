"""Near-duplicates: 5-gram Jaccard similarity, found through MinHash bands, confirmed exactly.

Each trajectory costs one pass over its ids and a 500-byte sketch; only pairs that share a band are compared, so the
work grows with the number of trajectories, not of pairs. Sketches find candidates (Broder 1997); whether two are
near-duplicates is decided on the exact sets, so there are no false alarms.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Grams = npt.NDArray[np.uint64]
Sketch = npt.NDArray[np.uint32]

_BANDS, _ROWS = 25, 5
_WORTH_CHECKING = 0.15
"""A sketch of 125 hashes misjudges a similarity of 0.8 by 0.036 (one sigma); pairs estimated further below the threshold are skipped."""


Item = TypeVar("Item")


def _constants(count: int, salt: int) -> Grams:
    """Odd 64-bit multipliers from splitmix64, the same on every machine."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) | np.uint64(1)


_MIX = _constants(5, 1)
_A = _constants(_BANDS * _ROWS, 1000)[:, None]
_B = _constants(_BANDS * _ROWS, 2000)[:, None]


def grams(ids: Sequence[int]) -> Grams:
    """The set of 5-grams of `ids` as sorted 64-bit hashes; a shorter sequence is one gram, an empty one none."""
    x = np.asarray(ids, dtype=np.uint64)
    width = min(5, len(x))
    if width == 0:
        return x
    total = np.zeros(len(x) - width + 1, dtype=np.uint64)
    for place in range(width):
        total += (x[place : place + len(total)] + np.uint64(1)) * _MIX[place]
    return np.unique(total ^ (total >> np.uint64(29)))


def jaccard(a: Grams, b: Grams) -> float:
    """Intersection over union of two gram sets, in [0, 1]; two empty sets are alike."""
    if not a.size and not b.size:
        return 1.0
    shared = np.intersect1d(a, b, assume_unique=True).size
    return shared / (a.size + b.size - shared)


def sketch(found: Grams) -> Sketch:
    """MinHash sketch `[125]` of a gram set, multiply-shift hashing (Dietzfelbinger et al. 1997)."""
    if not found.size:
        return np.zeros(_BANDS * _ROWS, dtype=np.uint32)
    hashed = (found[None, :] * _A + _B) >> np.uint64(32)
    lowest: Sketch = hashed.min(axis=1).astype(np.uint32)
    return lowest


def drop_near_duplicates(
    items: Iterable[Item], threshold: float, *, scope: Callable[[Item], str], load: Callable[[Item], Sequence[int]]
) -> list[Item]:
    """Items that resemble no earlier kept one of their scope by `threshold` or more, in the given order.

    Items of one scope must come together. `load` gives an item's ids; only the sketches of one scope are held.
    """
    kept: list[Item] = []
    for _, group in groupby(items, key=scope):
        members = list(group)
        kept += _distinct(members, threshold, load) if len(members) > 1 else members
    return kept


def _distinct(items: list[Item], threshold: float, load: Callable[[Item], Sequence[int]]) -> list[Item]:
    kept: list[tuple[Item, Sketch]] = []
    bands: dict[tuple[int, bytes], list[int]] = {}
    for item in items:
        found = grams(load(item))
        own = sketch(found)
        keys = [(band, row.tobytes()) for band, row in enumerate(own.reshape(_BANDS, _ROWS))]
        rivals = sorted({index for key in keys for index in bands.get(key, ())})
        close = (index for index in rivals if float((own == kept[index][1]).mean()) >= threshold - _WORTH_CHECKING)
        if any(jaccard(found, grams(load(kept[index][0]))) >= threshold for index in close):
            continue
        for key in keys:
            bands.setdefault(key, []).append(len(kept))
        kept.append((item, own))
    return [item for item, _ in kept]
