"""Words to collections of documents and to what judges their chunks."""

from pathlib import Path

from tirage.core.errors import DataError
from tirage.core.extension import refuse_foreign
from tirage.runtime.opening.embedders import open_embedder
from tirage.tools.retrieval import Collection
from tirage.tools.retrieval.base import Reranker, Store
from tirage.tools.retrieval.collection import embedder_name
from tirage.tools.retrieval.rerankers import CrossEncoder, LexicalReranker


def open_collection(path: Path, embedder: str | None = None) -> Store:
    """The collection at `path`, made where there is none, with its own embedder or the one that is named.

    Raises `ConfigError` for another embedder than it has, `DataError` for what is none, and what opening an embedder raises.
    """
    if path.suffix == ".lance":
        from tirage.tools.retrieval.lance import LanceCollection, lance_embedder_name

        return LanceCollection(str(path), open_embedder(embedder or _named(path, lance_embedder_name(str(path)))))
    return Collection(path, open_embedder(embedder or _named(path, embedder_name(path))))


def _named(path: Path, name: str | None) -> str:
    """The embedder that a collection names. A collection may come from anybody: code that it names is not run."""
    if name is not None:
        remedy = f"give it yourself: --embedder {name}, or embedder: {name} of the tool in the configuration"
        refuse_foreign(name, f"the collection {path}", remedy)
    return name or "hash"


def existing_collection(path: Path, embedder: str | None = None) -> Store:
    """The same where there is one. Raises `DataError` where there is none."""
    if not path.exists():
        raise DataError(f"there is no collection {path}; make one with: tirage index add {path} FOLDER")
    return open_collection(path, embedder)


def open_reranker(name: str | None) -> Reranker | None:
    """`lexical`, or the folder of a cross-encoder; None for none."""
    if name is None:
        return None
    return LexicalReranker() if name == "lexical" else CrossEncoder(Path(name))
