"""The retrieval port: what a search tool asks, whatever keeps the chunks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from tirage.tools.retrieval.chunks import Chunk
from tirage.tools.retrieval.embedders import Embedder

RetrievalMode = Literal["hybrid", "ranks", "keywords", "vectors"]
"""hybrid: keywords and vectors fused by score; ranks: the same fused by reciprocal rank; or one of them alone."""
POOL = 100
"""Chunks that a reranker judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that was found."""

    chunk: Chunk
    score: float
    """Of the ranking that was asked: fused, BM25, cosine, or the reranker's; larger is better."""


class Retriever(Protocol):
    """Something that finds chunks."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits: the same content and embedder, the same fingerprint."""
        ...

    def search(self, query: str, k: int = 5, *, mode: RetrievalMode = "hybrid", rerank: "Reranker | None" = None) -> list[Hit]:
        """The `k` best chunks, best first; any text is a query. May be called from several threads."""
        ...


class Store(Retriever, Protocol):
    """A retriever that documents can be added to and taken from."""

    @property
    def embedder(self) -> Embedder:
        """What makes its vectors."""
        ...

    @property
    def documents(self) -> int:
        """Number of documents."""
        ...

    def __len__(self) -> int:
        """Number of chunks."""
        ...

    def add(self, documents: Iterable[tuple[str, str]], *, size: int = 800, overlap: int = 80) -> Iterator[int]:
        """Add documents (name, text), replacing changed ones; yields the number seen after each batch, when it is on disk."""
        ...

    def remove(self, name: str) -> bool:
        """Delete a document; False when there is none of this name."""
        ...

    def close(self) -> None:
        """Let go of the files; idempotent."""
        ...


class Reranker(Protocol):
    """Judges texts against a query more closely than a ranking over all chunks can."""

    def score(self, query: str, texts: list[str]) -> list[float]:
        """One score per text, larger is better."""
        ...
