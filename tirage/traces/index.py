"""TraceIndex: SQLite answers questions about a run. Derived from `traces.jsonl`, never the truth.

It is caught up from the byte it has reached, and rebuilt when it is missing, damaged, of another layout, or
when the file behind it was replaced. Deleting it loses nothing.
"""

import hashlib
import logging
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tirage.core.errors import ConfigError, DataError
from tirage.core.step import Source
from tirage.traces.base import INDEX
from tirage.traces.index_layout import COLUMNS, IndexWriter, Row, open_index, row_of
from tirage.traces.jsonl import TraceStore

_LOG = logging.getLogger(__name__)
_BATCH = 1000
_PRINT_BYTES = 512
_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which rollouts; None means any."""

    stage: str | None = None
    family: str | None = None
    tier: str | None = None
    problem_id: str | None = None
    model: str | None = None
    stop: str | None = None
    correct: bool | None = None
    """True or False: graded that way."""
    ungraded: bool | None = None
    used_tool: bool | None = None
    hinted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A span whose text matched."""

    key: str
    node: int
    """0 is the prompt."""
    source: Source
    start: int
    """Character of the span's text at which the first match starts."""
    text: str
    """The whole span."""
    match: str


class TraceIndex:
    """Questions about one run folder, answered without reading all of it."""

    def __init__(self, store: TraceStore) -> None:
        """Open or create the index beside `store`'s file; call `catch_up` before asking."""
        self.store = store
        self.path: Path | None = store.folder / INDEX
        self._db = self._connect()

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- building --------------------------------------------------------------------------------------------

    def catch_up(self, progress: Progress | None = None) -> int:
        """Add what the file has gained since; returns the number of rollouts added. Raises `DataError` for a bad line."""
        if not self._fits():
            self._rebuild()
        added = 0
        while True:
            count: int = self._guarded(self._add_batch)
            added += count
            if progress is not None:
                progress(self._reached(), self._size())
            if count < _BATCH:
                return added

    def _add_batch(self) -> int:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            reached = self._reached()
            number: int = self._db.execute("SELECT count(*) FROM rollouts").fetchone()[0]
            first = number
            writer = IndexWriter(self._db)
            for entry, rollout in self.store.located(reached):
                writer.add(number, rollout, entry.offset, entry.length)
                number += 1
                reached = entry.offset + entry.length
                if number - first == _BATCH:
                    break
            self._remember(reached)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return number - first

    def _connect(self) -> sqlite3.Connection:
        try:
            return open_index(str(self.path))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in _DAMAGE:
                _LOG.warning("%s is damaged (%s); rebuilding it", self.path, error)
                self._discard()
                return open_index(str(self.path))
            _LOG.warning("cannot write %s (%s); using an index in memory", self.path, error)
            self.path = None
            return open_index(":memory:")

    def _guarded(self, work: Callable[[], Any]) -> Any:
        """Run `work`; when the database turns out damaged, rebuild it and run it once more."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in _DAMAGE or self.path is None:
                raise DataError(f"{self.path}: {error}; delete the index, it is rebuilt from traces.jsonl") from error
            _LOG.warning("%s is damaged (%s); rebuilding it", self.path, error)
        self._rebuild()
        if work != self._add_batch:
            self.catch_up()
        return work()

    def _rebuild(self) -> None:
        self._db.close()
        if self.path is None:
            self._db = open_index(":memory:")
            return
        self._discard()
        self._db = self._connect()

    def _discard(self) -> None:
        if self.path is not None:
            for name in (self.path, self.path.with_name(self.path.name + "-journal")):
                name.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.store.path.stat().st_size if self.store.path.exists() else 0

    def _meta(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _reached(self) -> int:
        return int(self._meta("reached") or 0)

    def _remember(self, reached: int) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            [("reached", reached), ("print", self._print(reached))],
        )

    def _print(self, reached: int) -> str:
        """Digest of the first and last bytes that are indexed: tells a grown file from a replaced one."""
        digest = hashlib.sha256()
        if reached:
            with self.store.path.open("rb") as file:
                digest.update(file.read(min(_PRINT_BYTES, reached)))
                file.seek(max(0, reached - _PRINT_BYTES))
                digest.update(file.read(min(_PRINT_BYTES, reached)))
        return digest.hexdigest()

    def _fits(self) -> bool:
        """Whether what is indexed is a prefix of the file."""
        try:
            reached, mark = self._reached(), self._meta("print")
        except sqlite3.DatabaseError:
            return False
        return reached <= self._size() and (not reached or mark == self._print(reached))

    # -- asking ----------------------------------------------------------------------------------------------

    def rows(self, query: Query | None = None, *, limit: int | None = None) -> list[Row]:
        """Rollouts that match, in file order."""
        where, values = _where(query or Query())
        found = self._ask(f"SELECT * FROM rollouts{where} ORDER BY number LIMIT ?", [*values, -1 if limit is None else limit])
        return [row_of(values) for values in found]

    def count(self, query: Query | None = None) -> int:
        """How many match."""
        where, values = _where(query or Query())
        return int(self._ask(f"SELECT count(*) FROM rollouts{where}", values)[0][0])

    def at(self, number: int) -> Row:
        """The rollout at a place in the file, from 0; negative counts from the end. Raises `DataError` outside."""
        total = self.count()
        place = number + total if number < 0 else number
        found = self._ask("SELECT * FROM rollouts WHERE number = ?", [place])
        if not found:
            raise DataError(f"{self.store.path} has no rollout number {number}; it holds {total} (0 to {total - 1})")
        return row_of(found[0])

    def values(self, column: str) -> list[str]:
        """The different values of a column of `Row`, sorted."""
        if column not in COLUMNS:
            raise ValueError(f"no column {column!r}; columns: {', '.join(COLUMNS)}")
        return [value for (value,) in self._ask(f"SELECT DISTINCT {column} FROM rollouts ORDER BY 1", [])]

    def grep(self, pattern: str, *, source: Source | None = None, regex: bool = False, limit: int | None = None) -> list[Hit]:
        """Spans whose text contains `pattern`, in file order.

        Args:
            pattern: Text; the case of ASCII letters is ignored. Or, with `regex`, a Python regular expression.
            source: Only spans of this author.
            regex: Read `pattern` as a regular expression (looks at every text).
            limit: At most so many.

        Raises:
            ConfigError: `pattern` is empty or no regular expression.
        """
        try:
            finder = re.compile(pattern if regex else re.escape(pattern), re.NOFLAG if regex else re.IGNORECASE)
        except re.error as error:
            raise ConfigError(f"{pattern!r} is not a regular expression: {error}") from error
        if not pattern:
            raise ConfigError("the pattern is empty; give the text to look for")
        clauses, values = self._text_clause(pattern, regex)
        if source is not None:
            clauses.append("spans.source = ?")
            values.append(source.value)
        sql = f"""SELECT rollouts.key, spans.node, spans.source, texts.body FROM texts
            JOIN spans ON spans.text = texts.id JOIN rollouts ON rollouts.number = spans.rollout
            WHERE {" AND ".join(clauses)} ORDER BY spans.rollout, spans.node, spans.place LIMIT ?"""
        hits = []
        for key, node, author, body in self._ask(sql, [*values, -1 if limit is None else limit], finder):
            found = finder.search(body)
            if found is not None:
                hits.append(Hit(key=key, node=node, source=Source(author), start=found.start(), text=body, match=found[0]))
        return hits

    def _text_clause(self, pattern: str, regex: bool) -> tuple[list[str], list[Any]]:
        """Let the trigram index find candidates where it can; `matches` has the last word."""
        if regex or len(pattern) < 3 or not pattern.isascii() or not self._meta("trigrams"):
            return ["matches(texts.body)"], []
        # `_` and `%` in the pattern are wildcards here: more candidates, the same result.
        return ["texts.id IN (SELECT rowid FROM trigrams WHERE body LIKE ?)", "matches(texts.body)"], [f"%{pattern}%"]

    def _ask(self, sql: str, values: Sequence[Any], finder: re.Pattern[str] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query; in it, `matches(text)` says whether `finder` finds something."""

        def work() -> list[tuple[Any, ...]]:
            if finder is not None:
                self._db.create_function("matches", 1, lambda body: finder.search(body) is not None, deterministic=True)
            return self._db.execute(sql, values).fetchall()

        found: list[tuple[Any, ...]] = self._guarded(work)
        return found


def _where(query: Query) -> tuple[str, list[Any]]:
    clauses, values = [], []
    for item in fields(query):
        value = getattr(query, item.name)
        if item.name == "ungraded" and value is not None:
            clauses.append(f"correct IS {'' if value else 'NOT '}NULL")
        elif value is not None:
            clauses.append(f"{item.name} = ?")
            values.append(value)
    return (f" WHERE {' AND '.join(clauses)}" if clauses else ""), values
