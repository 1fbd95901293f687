"""A collection: chunks in one SQLite file, found by keywords (BM25 of FTS5) and by vectors (exact), fused by reciprocal rank.

Cormack et al. 2009 (SIGIR): RRF(d) = sum over rankings of 1 / (k + rank(d)), k = 60. Beside the file lies a copy of all vectors that is
mapped into memory; it is derived and can be deleted.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from tirage.core.errors import ConfigError, DataError
from tirage.tools.retrieval.chunks import Chunk, split
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder, Vectors

K = 60
"""Constant of reciprocal rank fusion."""
POOL = 100
"""Chunks that each ranking contributes at most."""
BATCH = 512
FORMAT = "1"
Mode = Literal["hybrid", "keywords", "vectors"]
_WORD = re.compile(r"\w+")
_LAYOUT = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, document TEXT NOT NULL, place INTEGER NOT NULL,
  text TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_document ON chunks (document);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5
  (text, content='chunks', content_rowid='number', tokenize='unicode61 remove_diacritics 2');
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that was found."""

    chunk: Chunk
    score: float
    """Of the ranking that was asked: fused, BM25 (larger is better) or cosine."""


class Collection:
    """One collection, opened for reading and adding. One writer at a time."""

    def __init__(self, path: Path, embedder: Embedder | None = None) -> None:
        """Create or open the file at `path`. Raises `ConfigError` when its vectors are another embedder's, `DataError` when it is none."""
        self.path = path
        self.embedder: Embedder = embedder or HashingEmbedder()
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _LAYOUT)
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path} is no collection ({error}); give another file, or delete it and index anew") from error
        self._check("format", FORMAT, "was made by another version; index its documents anew")
        self._check("embedder", self.embedder.id, "open it with that embedder, or index its documents anew into another file")
        self._cached: tuple[str, np.ndarray, Vectors] | None = None

    def _check(self, name: str, mine: str, remedy: str) -> None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if row is None:
            self._db.execute("INSERT INTO meta VALUES (?, ?)", (name, mine))
        elif row[0] != mine:
            raise ConfigError(f"collection {self.path} has {name} {row[0]!r}, not {mine!r}; {remedy}")

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of chunks."""
        return int(self._db.execute("SELECT count(*) FROM chunks").fetchone()[0])

    @property
    def documents(self) -> int:
        """Number of documents."""
        return int(self._db.execute("SELECT count(*) FROM documents").fetchone()[0])

    @property
    def fingerprint(self) -> str:
        """16 hex digits over embedder and chunks, whatever the order in which they came: the same content, the same fingerprint."""
        row = self._db.execute("SELECT value FROM meta WHERE name = 'content'").fetchone()
        return hashlib.blake2b(f"{self.embedder.id} {row[0] if row else 0}".encode(), digest_size=8).hexdigest()

    def add(self, documents: Iterable[tuple[str, str]], *, size: int = 800, overlap: int = 80) -> Iterator[int]:
        """Add documents (name, text), replacing those of the same name whose text has changed.

        Yields the number of documents seen after each batch; what was yielded for is on disk.
        """
        seen = 0
        batch: list[Chunk] = []
        whole: dict[str, str] = {}
        for name, text in documents:
            seen += 1
            if name in whole:
                # Named twice: the later text replaces the earlier one.
                self._store(whole, batch)
                batch, whole = [], {}
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
            known = self._db.execute("SELECT hash FROM documents WHERE name = ?", (name,)).fetchone()
            if known is None or known[0] != digest:
                batch += split(name, text, size=size, overlap=overlap)
                whole[name] = digest
            if len(batch) >= BATCH:
                self._store(whole, batch)
                batch, whole = [], {}
                yield seen
        self._store(whole, batch)
        yield seen

    def _store(self, documents: Mapping[str, str], chunks: Sequence[Chunk]) -> None:
        vectors = self.embedder.embed([chunk.text for chunk in chunks]).astype(np.float16)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for name in documents:
                self._drop(name)
            # The same piece twice in one document keeps its first place.
            rows = [(chunk.id, chunk.document, chunk.place, _plain(chunk.text), vectors[row].tobytes()) for row, chunk in enumerate(chunks)]
            self._db.executemany("INSERT OR IGNORE INTO chunks (id, document, place, text, vector) VALUES (?, ?, ?, ?, ?)", rows)
            names = list(documents)
            for start in range(0, len(names), 500):
                part = names[start : start + 500]
                marks = ",".join("?" * len(part))
                self._db.execute(f"INSERT INTO words (rowid, text) SELECT number, text FROM chunks WHERE document IN ({marks})", part)
            self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?)", documents.items())
            self._mix(chunk.id for chunk in chunks)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def remove(self, name: str) -> bool:
        """Delete a document; False when there is none of this name."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            there = self._db.execute("DELETE FROM documents WHERE name = ?", (name,)).rowcount > 0
            self._drop(name)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return there

    def _drop(self, name: str) -> None:
        rows = self._db.execute("SELECT number, id, text FROM chunks WHERE document = ?", (name,)).fetchall()
        if not rows:
            return
        self._db.executemany("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", [(number, text) for number, _, text in rows])
        self._db.execute("DELETE FROM chunks WHERE document = ?", (name,))
        self._mix(chunk for _, chunk, _ in rows)

    def _mix(self, ids: Iterable[str]) -> None:
        """Exclusive or of all chunk ids: adding and deleting are the same, and the order does not matter."""
        row = self._db.execute("SELECT value FROM meta WHERE name = 'content'").fetchone()
        content = int(row[0], 16) if row else 0
        for chunk in ids:
            content ^= int(chunk, 16)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('content', ?)", (f"{content:016x}",))

    def search(self, query: str, k: int = 5, *, mode: Mode = "hybrid") -> list[Hit]:
        """The `k` best chunks; empty for a query without a word. Any text is a query: nothing in it is taken for an operator."""
        if k < 1:
            raise ValueError(f"a search needs k >= 1, got {k}")
        rankings: list[list[tuple[int, float]]] = []
        if mode != "vectors":
            rankings.append(self._by_words(query, max(k, POOL)))
        if mode != "keywords":
            rankings.append(self._by_vectors(query, max(k, POOL)))
        scores: dict[int, float] = {}
        for ranking in rankings:
            for rank, (number, score) in enumerate(ranking, start=1):
                scores[number] = score if mode != "hybrid" else scores.get(number, 0.0) + 1 / (K + rank)
        best = sorted(scores, key=lambda number: (-scores[number], number))[:k]
        return [Hit(chunk=self._chunk(number), score=scores[number]) for number in best]

    def _by_words(self, query: str, most: int) -> list[tuple[int, float]]:
        words = dict.fromkeys(_WORD.findall(_plain(query)))
        if not words:
            return []
        quoted = " OR ".join(f'"{word}"' for word in words)
        rows = self._db.execute("SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? ORDER BY bm25(words) LIMIT ?", (quoted, most))
        return [(int(number), float(score)) for number, score in rows]

    def _by_vectors(self, query: str, most: int) -> list[tuple[int, float]]:
        numbers, vectors = self._vectors()
        (wanted,) = self.embedder.embed([query])
        if not len(numbers) or not wanted.any():
            return []
        scores = vectors @ wanted
        count = min(most, len(scores))
        places = np.argpartition(-scores, count - 1)[:count]
        places = places[np.lexsort((numbers[places], -scores[places]))]
        return [(int(numbers[place]), float(scores[place])) for place in places if scores[place] > 0]

    def _vectors(self) -> tuple[np.ndarray, Vectors]:
        """Chunk numbers and vectors, mapped from the copy beside the file, which is written anew when the content has changed."""
        mark = self.fingerprint
        if self._cached is None or self._cached[0] != mark:
            copy = self.path.with_name(f"{self.path.name}.{mark}.npy")
            numbers = np.array([row[0] for row in self._db.execute("SELECT number FROM chunks ORDER BY number")], np.int64)
            if not copy.exists():
                self._write_copy(copy, len(numbers))
            self._cached = (mark, numbers, np.load(copy, mmap_mode="r"))
        return self._cached[1], self._cached[2]

    def _write_copy(self, copy: Path, count: int) -> None:
        for old in self.path.parent.glob(f"{self.path.name}.*.npy"):
            old.unlink(missing_ok=True)
        rows = self._db.execute("SELECT vector FROM chunks ORDER BY number")
        data = np.zeros((count, self.embedder.dimension), np.float32)
        for place, (blob,) in enumerate(rows):
            data[place] = np.frombuffer(blob, np.float16)
        scratch = copy.with_suffix(".tmp.npy")
        np.save(scratch, data)
        scratch.replace(copy)

    def _chunk(self, number: int) -> Chunk:
        name, document, place, text = self._db.execute(
            "SELECT id, document, place, text FROM chunks WHERE number = ?", (number,)
        ).fetchone()
        return Chunk(id=name, document=document, place=place, text=text)


def _plain(text: str) -> str:
    """Half surrogate pairs, which SQLite cannot hold, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
