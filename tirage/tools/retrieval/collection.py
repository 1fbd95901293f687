"""A collection: chunks in one SQLite file, found by keywords (exact BM25), by vectors (exact cosine), or by the mean of both.

The mean is a convex combination of scores (Bruch et al. 2022, arXiv 2210.11934) with weights 1/2, each scaled by what it can reach at
most: a cosine by 1, BM25 by its bound for the query, so that a chunk's part is the share of the query's weight that it covers. A question
in other words than the passages' covers little, and the vectors decide; by ranks alone a shared `what is the` counts like a name.

Beside the file lies a folder with a copy of the vectors that is mapped into memory; it is derived and can be deleted.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import numpy as np

from tirage.core.errors import ConfigError, DataError
from tirage.tools.retrieval.base import POOL, Hit, Reranker, RetrievalMode
from tirage.tools.retrieval.blocks import Blocks, Folder
from tirage.tools.retrieval.chunks import Chunk, batches, plain, writable
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder, Vectors
from tirage.tools.retrieval.keywords import LAYOUT, Impact, Numbers, Scores, add_postings, best, find_words, score_words
from tirage.tools.retrieval.rerankers import reorder

FORMAT = "2"
_LAYOUT = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, document TEXT NOT NULL,
  place INTEGER NOT NULL, length INTEGER NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_document ON chunks (document);
CREATE INDEX IF NOT EXISTS lengths ON chunks (number, length);
{LAYOUT}"""
WAIT_S = 60.0
"""For another process that is writing."""
REMEDIES = {
    sqlite3.SQLITE_BUSY: f"another process has been writing to it for {WAIT_S:g} s; do the same again when it is done",
    sqlite3.SQLITE_READONLY: "add to a copy that you may write, or get leave to write this one",
    sqlite3.SQLITE_FULL: "make room on the disk and do the same again: what was stored before is kept",
}
"""By SQLite's primary result code."""
RRF_K = 60
"""Of reciprocal rank fusion."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a search reads of all chunks, for one content of the file."""

    mark: str
    numbers: Numbers
    """[chunks], in the order of their ids: the same content, the same order, however it came about."""
    lengths: Scores
    """[numbers that there ever were], words of each chunk; 0 for one that is gone, whose postings may still be there."""
    vectors: Blocks
    """In the order of `numbers`."""
    kept: dict[str, Impact] = field(default_factory=dict)


class Collection:
    """One collection, opened for reading and adding, from any thread. One writer at a time."""

    def __init__(self, path: Path, embedder: Embedder | None = None) -> None:
        """Create or open the file at `path`; one that cannot be written is opened for searching.

        Raises `ConfigError` when its vectors are another embedder's, `DataError` when it is no collection.
        """
        self.path = path
        self.embedder: Embedder = embedder or HashingEmbedder()
        self._lock = threading.RLock()
        self._loaded: _Loaded | None = None
        mine = f"{self.embedder.id}, {self.embedder.dimension} dimensions"
        try:
            self._db = _connect(path)
            self._check("format", FORMAT, "it was made by another version; index its documents again into another file")
            self._check("embedder", mine, "open it with the embedder that it has, or index its documents again into another file")
            self._check("opens with", self.embedder.name, "")
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path} is no collection ({error}); give another file, or delete it and index again") from error
        made = hashlib.blake2b(mine.encode(), digest_size=8).hexdigest()
        self._blocks = Folder(path=path.with_name(f"{path.name}.vectors"), embedder=made, dimension=self.embedder.dimension)

    def _check(self, name: str, mine: str, remedy: str) -> None:
        """Write down what a new collection is, or compare it where there is a `remedy`."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if row is None:
            self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, mine))
        elif remedy and row[0] != mine:
            self._db.close()
            raise ConfigError(f"collection {self.path} has {name} {row[0]!r}, not {mine!r}; {remedy}")

    def close(self) -> None:
        """Let go of the file; idempotent."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of chunks."""
        return self._count("chunks")

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self._count("documents")

    def _count(self, table: str) -> int:
        with self._lock:
            return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    @property
    def fingerprint(self) -> str:
        """16 hex digits over embedder and chunks, whatever the order in which they came: the same content, the same fingerprint."""
        with self._lock:
            row = self._db.execute("SELECT value FROM meta WHERE name = 'content'").fetchone()
        return hashlib.blake2b(f"{self.embedder.id} {row[0] if row else 0}".encode(), digest_size=8).hexdigest()

    def add(self, documents: Iterable[tuple[str, str]], *, size: int = 800, overlap: int = 80) -> Iterator[int]:
        """Add documents (name, text), replacing those of the same name whose text has changed.

        Yields the number of documents seen after each batch; what was yielded for is on disk.
        """
        for seen, whole, chunks in batches(documents, self._hash, size=size, overlap=overlap):
            self._store(whole, chunks)
            yield seen

    def _hash(self, name: str) -> str | None:
        with self._lock:
            row = self._db.execute("SELECT hash FROM documents WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _store(self, documents: Mapping[str, str], chunks: Sequence[Chunk]) -> None:
        if not documents:
            return
        vectors = self.embedder.embed([chunk.text for chunk in chunks]).astype(np.float16)
        words = [find_words(chunk.text) for chunk in chunks]
        with self._transaction():
            for name in documents:
                self._drop(name)
            first = self._next()
            rows = (
                (first + row, chunk.id, chunk.document, chunk.place, len(words[row]), plain(chunk.text), vectors[row].tobytes())
                for row, chunk in enumerate(chunks)
            )
            self._db.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            add_postings(self._db, dict(enumerate(words, start=first)))
            self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?)", documents.items())
            self._mix(chunk.id for chunk in chunks)

    def _next(self) -> int:
        """A number that no chunk ever had: postings of deleted chunks stay behind, and must not become another's."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
        return int(row[0]) + 1 if row else 0

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute(f"BEGIN {kind}")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.DatabaseError):
                    remedy = REMEDIES.get(error.sqlite_errorcode & 0xFF, "fix that and do the same again: what was stored before is kept")
                    raise DataError(f"collection {self.path}: {error}; {remedy}") from error
                raise

    def remove(self, name: str) -> bool:
        """Delete a document; False when there is none of this name."""
        kept = writable(name)
        with self._transaction():
            self._drop(kept)
            return self._db.execute("DELETE FROM documents WHERE name = ?", (kept,)).rowcount > 0

    def _drop(self, name: str) -> None:
        rows = self._db.execute("DELETE FROM chunks WHERE document = ? RETURNING id", (name,)).fetchall()
        if rows:
            self._mix(row[0] for row in rows)

    def _mix(self, ids: Iterable[str]) -> None:
        """Exclusive or of all chunk ids: adding and deleting are the same, and the order does not matter."""
        row = self._db.execute("SELECT value FROM meta WHERE name = 'content'").fetchone()
        content = int(row[0], 16) if row else 0
        for chunk in ids:
            content ^= int(chunk, 16)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('content', ?)", (f"{content:016x}",))

    def search(self, query: str, k: int = 5, *, mode: RetrievalMode = "hybrid", rerank: Reranker | None = None) -> list[Hit]:
        """The `k` best chunks; empty for a query without a word. Any text is a query: nothing in it is taken for an operator.

        `rerank` orders the best `POOL` chunks again.
        """
        if k < 1:
            raise ValueError(f"a search needs k >= 1, got {k}")
        words = find_words(query) if mode != "vectors" else None
        # Not under the lock: a model or a server takes its time.
        wanted = self.embedder.embed([query], query=True)[0] if mode != "keywords" else None
        # One view of the file, though another process may be writing.
        with self._transaction("DEFERRED"):
            scores = self._scores(words, wanted, loaded := self._load(), by_rank=mode == "ranks")
            found = best(scores, k if rerank is None else max(k, POOL))
            hits = [Hit(chunk=self._chunk(int(loaded.numbers[place])), score=score) for place, score in found]
        return hits if rerank is None else reorder(query, hits, rerank)[:k]

    def _scores(self, words: Sequence[str] | None, wanted: Vectors | None, loaded: _Loaded, *, by_rank: bool) -> Scores:
        """[chunks], in the order of `loaded.numbers`: by words, by a vector, or by both; what is not above 0 is not found."""
        alike: Scores = loaded.vectors.scores(wanted) if wanted is not None else np.zeros(0, np.float32)
        if words is None:
            return alike
        scores, bound = score_words(self._db, words, loaded.lengths, loaded.kept)
        covered = scores[loaded.numbers]
        if wanted is None:
            return covered
        return reciprocal_ranks(covered, alike) if by_rank else (np.maximum(alike, 0) + covered / (bound or 1)) / 2

    def _load(self) -> _Loaded:
        """Ids, numbers and lengths of all chunks, and their vectors from the blocks beside the file."""
        mark = self.fingerprint
        if self._loaded is None or self._loaded.mark != mark:
            # Two indexes are read, not the rows with their texts; each as one text, which is faster than as rows.
            hexed, at = self._db.execute("SELECT group_concat(id, ''), group_concat(number) FROM chunks").fetchone()
            counted, sizes = self._db.execute("SELECT group_concat(number), group_concat(length) FROM chunks").fetchone()
            ids = np.frombuffer(bytes.fromhex(hexed or ""), ">u8").astype(np.uint64)
            order = np.argsort(ids)
            ids, numbers = ids[order], _integers(at)[order]
            lengths = np.zeros(self._next(), np.float32)
            lengths[_integers(counted)] = _integers(sizes)
            self._loaded = _Loaded(mark, numbers, lengths, self._blocks.load(ids, lambda places: self._read(numbers[places])))
        return self._loaded

    def _read(self, numbers: Numbers) -> Vectors:
        """[numbers, dimension], the vectors of these chunks."""
        order = np.argsort(numbers)
        rising = numbers[order]
        vectors = np.zeros((len(numbers), self.embedder.dimension), np.float16)
        found = self._db.execute(
            "SELECT number, vector FROM chunks WHERE number BETWEEN ? AND ? ORDER BY number", (int(rising[0]), int(rising[-1]))
        )
        done = 0
        while rows := found.fetchmany(4096):
            wanted = np.isin([row[0] for row in rows], rising[done : done + len(rows)])
            blobs = b"".join([row[1] for row, there in zip(rows, wanted, strict=True) if there])
            part = np.frombuffer(blobs, np.float16).reshape(-1, self.embedder.dimension)
            vectors[order[done : done + len(part)]] = part
            done += len(part)
        return vectors.astype(np.float32, order="F")

    def _chunk(self, number: int) -> Chunk:
        row = self._db.execute("SELECT id, document, place, text FROM chunks WHERE number = ?", (number,)).fetchone()
        return Chunk(id=row[0], document=row[1], place=row[2], text=row[3])


def _connect(path: Path) -> sqlite3.Connection:
    """The database, made where there is none; for reading alone where it cannot be written. Raises `DataError` for a place that is none."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; a collection is a file, or a folder of LanceDB's that ends in .lance")
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {path.parent} for the collection {path.name}; make it first")
    readable = f"file:{quote(str(path.absolute()))}?mode=ro"
    # The last one is for a folder in which the files that share a log cannot be made.
    for place in (str(path), readable, f"{readable}&immutable=1"):
        db = sqlite3.connect(place, WAIT_S, isolation_level=None, check_same_thread=False, uri=place != str(path))
        try:
            db.execute("PRAGMA mmap_size=1073741824")
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
            if tables and "meta" not in tables:
                db.close()
                raise DataError(f"{path} is a database of something else; give another file")
            if not tables:
                db.executescript(f"PRAGMA journal_mode=WAL; BEGIN IMMEDIATE; {_LAYOUT} COMMIT;")
            db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.OperationalError as error:
            db.close()
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or "immutable" in place:
                raise
        else:
            return db
    raise AssertionError("the last place is opened or raises")


def _integers(text: str | None) -> Numbers:
    """Numbers between commas; none for no text."""
    return np.fromstring(text or "", np.int64, sep=",")


def reciprocal_ranks(*rankings: Scores) -> Scores:
    """Reciprocal rank fusion, sum of 1 / (k + rank) with k = 60 (Cormack et al. 2009); what a ranking scores 0 or less it does not rank."""
    fused: Scores = np.zeros_like(rankings[0], np.float32)
    for scores in rankings:
        order = np.argsort(-scores, kind="stable")[: int((scores > 0).sum())]
        fused[order] += 1 / (RRF_K + 1 + np.arange(len(order), dtype=np.float32))
    return fused


def embedder_name(path: Path) -> str | None:
    """The name of the embedder that the collection at `path` was made with; None when there is none yet, or the file is something else."""
    if not path.exists():
        return None
    try:
        with closing(_connect(path)) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'opens with'").fetchone()
    except sqlite3.DatabaseError:
        return None
    return str(row[0]) if row else None
