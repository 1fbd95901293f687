"""Texts to vectors. The built-in one needs no model: words and word pairs hashed with signs (Weinberger et al. 2009, arXiv 0902.2206)."""

import re
import zlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tirage.core.errors import ConfigError

PAIRS = 0.3
"""Weight of a pair of neighbours against a word."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
_PAIR, _LOW, _HALF = np.uint64(1_000_003), np.uint64(0xFFFFFFFF), np.uint64(32)
_WORD = re.compile(r"\w+")
Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def id(self) -> str:
        """What made the vectors; stored with a collection and compared on opening."""
        ...

    @property
    def name(self) -> str:
        """What to give the command line for it: `hash`, `minilm`, `folder:PATH`, `http://HOST:PORT/v1#NAME`, `litellm/NAME`, a place."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """[texts, dimension], float32, each row of length 1 or all 0. `query`: the texts are questions, for models that tell them apart."""
        ...


class NamedEmbedder:
    """An embedder under the name by which its user opened it, which a collection keeps."""

    def __init__(self, embedder: Embedder, name: str) -> None:
        """`name`: what to give the command line for it."""
        self.name = name
        self.id = embedder.id
        self.dimension = embedder.dimension
        self._embedder = embedder

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """As the embedder does. Raises `ConfigError` for vectors of another shape than it promises."""
        vectors = np.asarray(self._embedder.embed(texts, query=query), dtype=np.float32)
        if vectors.shape != (len(texts), self.dimension):
            raise ConfigError(
                f"embedder {self.name!r} gave {vectors.shape} for {len(texts)} texts of {self.dimension} dimensions; correct it"
            )
        return vectors


class HashingEmbedder:
    """Signed hashing of words and pairs of neighbours, weighted 1 + ln(count): no model, no download, the same everywhere."""

    name = "hash"

    def __init__(self, dimension: int = 384) -> None:
        """Raises ValueError below 8 dimensions."""
        if dimension < 8:
            raise ValueError(f"a hashing embedder needs at least 8 dimensions, got {dimension}")
        self.dimension = dimension
        self.id = f"hashing-{dimension}/1"

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """phi_j(x) = sum over features f with h(f) = j of sign(f) (1 + ln count(f)), then scaled to length 1 (eq. 2 of the paper)."""
        lists = [_WORD.findall(text.lower()) for text in texts]
        words = np.fromiter((zlib.crc32(word.encode("utf-8", "surrogatepass")) for found in lists for word in found), np.uint64)
        rows = np.repeat(np.arange(len(lists), dtype=np.uint64), [len(found) for found in lists])
        same = rows[1:] == rows[:-1]
        pairs = (words[:-1] * _PAIR + words[1:])[same] & _LOW
        sums = np.zeros(len(texts) * self.dimension)
        for codes, owners, weight in ((words, rows, 1.0), (pairs, rows[1:][same], PAIRS)):
            features, counts = np.unique((owners << _HALF) | codes, return_counts=True)
            # A checksum spreads badly by itself; the upper bits of a product spread well (Dietzfelbinger et al. 1997).
            mixed = ((features & _LOW) * _ODD) >> _HALF
            values = np.where(mixed & np.uint64(1), weight, -weight) * (1.0 + np.log(counts))
            places = (features >> _HALF) * np.uint64(self.dimension) + (mixed >> np.uint64(1)) % np.uint64(self.dimension)
            sums += np.bincount(places.astype(np.int64), values, len(sums))
        vectors = sums.reshape(len(texts), self.dimension)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(lengths, lengths, 1.0)).astype(np.float32)
