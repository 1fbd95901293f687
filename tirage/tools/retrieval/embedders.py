"""Texts to vectors. The built-in one needs no model: words and word pairs hashed with signs (Weinberger et al. 2009, arXiv 0902.2206)."""

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

PAIRS = 0.3
"""Weight of a pair of neighbours against a word."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
_WORD = re.compile(r"\w+")
Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def id(self) -> str:
        """What made the vectors; stored with a collection and compared on opening."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """[texts, dimension], float32, each row of length 1 or all 0."""
        ...


class HashingEmbedder:
    """Signed hashing of words and pairs of neighbours, weighted 1 + ln(count): no model, no download, the same everywhere."""

    def __init__(self, dimension: int = 384) -> None:
        """Raises ValueError below 8 dimensions."""
        if dimension < 8:
            raise ValueError(f"a hashing embedder needs at least 8 dimensions, got {dimension}")
        self.dimension = dimension
        self.id = f"hashing-{dimension}/1"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """phi_j(x) = sum over features f with h(f) = j of sign(f) (1 + ln count(f)), then scaled to length 1 (eq. 2 of the paper)."""
        found = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            words = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text.lower())]
            counts = Counter(words)
            pairs = Counter((first * 1_000_003 + second) & 0xFFFFFFFF for first, second in pairwise(words))
            if not counts:
                continue
            size = len(counts) + len(pairs)
            codes = np.fromiter((*counts, *pairs), np.uint64, size)
            weights = np.fromiter((1.0 + math.log(count) for count in (*counts.values(), *pairs.values())), np.float64, size)
            weights[len(counts) :] *= PAIRS
            # A checksum spreads badly by itself; the upper bits of a product spread well (Dietzfelbinger et al. 1997).
            mixed = (codes * _ODD) >> np.uint64(32)
            signs = np.where(mixed & np.uint64(1), 1.0, -1.0)
            vector = np.bincount(((mixed >> np.uint64(1)) % np.uint64(self.dimension)).astype(np.int64), weights * signs, self.dimension)
            length = float(np.linalg.norm(vector))
            if length:
                found[row] = vector / length
        return found
