"""Rerankers: the best chunks of a search judged once more, one by one."""

from dataclasses import replace

from tirage.tools.retrieval.base import Hit, Reranker
from tirage.tools.retrieval.keywords import find_words


def reorder(query: str, hits: list[Hit], reranker: Reranker) -> list[Hit]:
    """The hits by the reranker's scores, which they then carry; equals keep their order."""
    scores = reranker.score(query, [hit.chunk.text for hit in hits]) if hits else []
    judged = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(judged, key=lambda hit: -hit.score)
