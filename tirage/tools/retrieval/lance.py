"""The same port on LanceDB: a folder or an object store, for collections that outgrow one file. Fused by LanceDB's reciprocal ranks."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tirage.core.errors import ConfigError, MissingExtra
from tirage.tools.retrieval.base import POOL, Hit, Reranker, RetrievalMode
from tirage.tools.retrieval.chunks import Chunk, batches, plain, writable
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder
from tirage.tools.retrieval.keywords import find_words
from tirage.tools.retrieval.rerankers import reorder

_NAME, _ID = b"tirage.embedder.name", b"tirage.embedder.id"


class LanceCollection:
    """A collection in a LanceDB table; vectors are searched exactly until somebody makes an index on them."""

    def __init__(self, uri: str, embedder: Embedder | None = None) -> None:
        """Create or open the database at `uri`, a folder or an address that LanceDB knows.

        Raises `ConfigError` when its vectors are another embedder's, `MissingExtra` without LanceDB.
        """
        try:
            import lancedb
        except ImportError as error:
            raise MissingExtra("lancedb", "lance") from error
        self.uri = uri
        self.embedder: Embedder = embedder or HashingEmbedder()
        mine = f"{self.embedder.id}, {self.embedder.dimension} dimensions"
        self._table = _open(lancedb.connect(uri), self.embedder, mine)
        found = (self._table.schema.metadata or {}).get(_ID, b"").decode()
        if found != mine:
            remedy = "open it with the embedder that it has, or index its documents again into another folder"
            raise ConfigError(f"collection {uri} has embedder {found!r}, not {mine!r}; {remedy}")
        rows = self._table.search().select(["id", "document", "hash"]).to_arrow().to_pylist()
        self._hashes: dict[str, str] = {row["document"]: row["hash"] for row in rows}
        self._content = 0
        self._mix(row["id"] for row in rows)

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of chunks."""
        return int(self._table.count_rows())

    @property
    def documents(self) -> int:
        """Number of documents with text."""
        return len(self._hashes)

    @property
    def fingerprint(self) -> str:
        """As `Collection.fingerprint`: equal for equal content, in this store or in that."""
        return hashlib.blake2b(f"{self.embedder.id} {self._content:016x}".encode(), digest_size=8).hexdigest()

    def _mix(self, ids: Iterable[str]) -> None:
        for chunk in ids:
            self._content ^= int(chunk, 16)

    def add(self, documents: Iterable[tuple[str, str]], *, size: int = 800, overlap: int = 80) -> Iterator[int]:
        """As the port says. Large batches: each is a version of the table."""
        for seen, whole, chunks in batches(documents, self._hashes.get, size=size, overlap=overlap, most=4096):
            self._store(whole, chunks)
            yield seen
        self._table.optimize()

    def _store(self, documents: Mapping[str, str], chunks: Sequence[Chunk]) -> None:
        for name in documents:
            self.remove(name)
        if not chunks:
            return
        vectors = self.embedder.embed([chunk.text for chunk in chunks])
        rows = [
            {
                "id": chunk.id,
                "document": chunk.document,
                "place": chunk.place,
                "hash": documents[chunk.document],
                "text": plain(chunk.text),
                "vector": vector,
            }
            for chunk, vector in zip(chunks, vectors, strict=True)
        ]
        self._table.add(rows)
        self._hashes |= {chunk.document: documents[chunk.document] for chunk in chunks}
        self._mix(chunk.id for chunk in chunks)

    def remove(self, name: str) -> bool:
        """As the port says."""
        kept = writable(name)
        if self._hashes.pop(kept, None) is None:
            return False
        quoted = kept.replace("'", "''")
        rows = self._table.search().where(f"document = '{quoted}'").select(["id"]).to_arrow().to_pylist()
        self._table.delete(f"document = '{quoted}'")
        self._mix(row["id"] for row in rows)
        return True

    def search(self, query: str, k: int = 5, *, mode: RetrievalMode = "hybrid", rerank: Reranker | None = None) -> list[Hit]:
        """As the port says; a keyword search's scores are LanceDB's BM25, a fused one's its reciprocal ranks."""
        if k < 1:
            raise ValueError(f"a search needs k >= 1, got {k}")
        (wanted,) = self.embedder.embed([query], query=True)
        words = " ".join(find_words(plain(query)))
        rows = self._rows(words, wanted if wanted.any() else None, mode, k if rerank is None else max(k, POOL))
        hits = [
            Hit(chunk=Chunk(id=row["id"], document=row["document"], place=row["place"], text=row["text"]), score=score)
            for row, score in sorted(rows, key=lambda found: (-found[1], found[0]["id"]))
            if score > 0
        ]
        return hits if rerank is None else reorder(query, hits, rerank)[:k]

    def _rows(self, words: str, wanted: Any, mode: RetrievalMode, most: int) -> list[tuple[dict[str, Any], float]]:
        """Rows with their scores."""
        from lancedb.query import MatchQuery

        if (mode != "vectors" and not words) or (mode != "keywords" and wanted is None):
            return []
        if mode == "keywords":
            found = self._table.search(MatchQuery(words, "text"), query_type="fts").limit(most).to_list()
            return [(row, float(row["_score"])) for row in found]
        if mode == "vectors":
            found = self._table.search(wanted).distance_type("cosine").limit(most).to_list()
            return [(row, 1.0 - float(row["_distance"])) for row in found]
        both = self._table.search(query_type="hybrid").vector(wanted).text(MatchQuery(words, "text")).distance_type("cosine")
        return [(row, float(row["_relevance_score"])) for row in both.limit(most).to_list()]


def _open(database: Any, embedder: Embedder, mine: str) -> Any:
    """The table of chunks, made with its keyword index when it is not there."""
    import pyarrow as pa
    from lancedb.index import FTS

    if "chunks" in database.list_tables().tables:
        return database.open_table("chunks")
    text = [pa.field(name, pa.string()) for name in ("id", "document", "hash", "text")]
    fields = [*text, pa.field("place", pa.int64()), pa.field("vector", pa.list_(pa.float32(), embedder.dimension))]
    table = database.create_table("chunks", schema=pa.schema(fields, metadata={_ID: mine.encode(), _NAME: embedder.name.encode()}))
    table.create_index("text", config=FTS())
    return table


def lance_embedder_name(uri: str) -> str | None:
    """The name of the embedder that the collection at `uri` was made with; None when there is none yet."""
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtra("lancedb", "lance") from error
    database = lancedb.connect(uri)
    if "chunks" not in database.list_tables().tables:
        return None
    name = (database.open_table("chunks").schema.metadata or {}).get(_NAME)
    return name.decode() if name else None
