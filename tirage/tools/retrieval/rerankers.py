"""Rerankers: the best chunks of a search judged once more, one by one, against the query."""

import math
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tirage.core.errors import ConfigError, MissingExtra
from tirage.tools.retrieval.base import Hit, Reranker
from tirage.tools.retrieval.keywords import find_words

BATCH = 16
PAIRS = 0.5
"""Weight of a pair of neighbours of the query that stands in the text as it is, against one of its words."""


def reorder(query: str, hits: list[Hit], reranker: Reranker) -> list[Hit]:
    """The hits by the reranker's scores, which they then carry; equals keep their order."""
    scores = reranker.score(query, [hit.chunk.text for hit in hits]) if hits else []
    judged = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(judged, key=lambda hit: -hit.score)


class LexicalReranker:
    """No model: how much of the query a text covers, its rarer words counting more, and how much of its wording."""

    def score(self, query: str, texts: list[str]) -> list[float]:
        """Sum of ln(1 + texts / texts with it) over the query's words, and of `PAIRS` times it over its pairs, that stand in the text."""
        asked = find_words(query)
        wanted: set[tuple[str, ...]] = {*((word,) for word in asked), *pairwise(asked)}
        held = []
        for text in texts:
            words = find_words(text)
            held.append(wanted & {*((word,) for word in words), *pairwise(words)})
        weights = {
            part: (1.0 if len(part) == 1 else PAIRS) * math.log1p(len(texts) / sum(part in has for has in held))
            for part in set().union(*held)
        }
        return [math.fsum(weights[part] for part in has) for has in held]


class CrossEncoder:
    """A sequence classifier with one label that reads query and text together, from a folder."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` when the folder holds none, `MissingExtra` without transformers."""
        if not (path / "config.json").is_file():
            raise ConfigError(f"reranker {path}: no folder with a config.json; give `lexical`, or the folder of a cross-encoder")
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            raise MissingExtra("transformers", "retrieval") from error
        self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        self._model = AutoModelForSequenceClassification.from_pretrained(path, local_files_only=True).eval()
        if self._model.config.num_labels != 1:
            raise ConfigError(f"reranker {path} has {self._model.config.num_labels} labels; a cross-encoder for reranking has one")
        # A fast tokenizer is not safe for several threads.
        self._lock = threading.Lock()
        self._longest = min(int(self._model.config.max_position_embeddings), 512)

    def score(self, query: str, texts: list[str]) -> list[float]:
        """The model's logit for each pair."""
        import torch

        scores: list[float] = []
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            with self._lock:
                pairs = self._tokenizer(
                    [query] * len(part), part, padding=True, truncation="longest_first", max_length=self._longest, return_tensors="pt"
                )
            with torch.inference_mode():
                scores += self._model(**pairs).logits[:, 0].float().tolist()
        return scores
