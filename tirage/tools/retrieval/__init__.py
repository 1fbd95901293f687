"""Retrieval without a server: one SQLite file per collection, keywords and vectors fused."""

from tirage.tools.retrieval.base import Hit, Reranker, Retriever, Store
from tirage.tools.retrieval.collection import Collection
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder
from tirage.tools.retrieval.tool import SearchTool

__all__ = ["Collection", "Embedder", "HashingEmbedder", "Hit", "Reranker", "Retriever", "SearchTool", "Store"]
