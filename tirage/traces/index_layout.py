"""What the index holds: its tables, its rows, and how a rollout becomes rows."""

import hashlib
import sqlite3
from dataclasses import dataclass, fields
from typing import Any

from tirage.core.rollout import Rollout

LAYOUT = 1
"""Version of the tables; an index of another layout is rebuilt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the index knows about one rollout."""

    number: int
    """Place in the file, from 0."""
    key: str
    stage: str
    problem_id: str
    family: str
    tier: str
    sample: int
    model: str
    correct: bool | None
    """None when ungraded."""
    score: float | None
    answer: str | None
    stop: str
    """Stop reason of the chosen path; empty when nothing was produced."""
    used_tool: bool
    """On the chosen path."""
    hinted: bool
    """On the chosen path."""
    nodes: int
    """Nodes of the tree, the root included."""
    tokens_in: int
    """Whole tree, discarded branches included; so are the other costs."""
    tokens_out: int
    calls: int
    tool_calls: int
    wall_s: float
    finished_at: float
    error: str
    """`boundary: kind: message` of what broke; empty when nothing did."""
    offset: int
    length: int


class IndexWriter:
    """Adds rollouts inside a transaction that the caller ends."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """`db` is an open index."""
        self._db = db
        self._trigrams = db.execute("SELECT value FROM meta WHERE name = 'trigrams'").fetchone()[0]

    def add(self, number: int, rollout: Rollout, offset: int, length: int) -> None:
        """Add the rollout that is number `number` in the file and lies at `offset`."""
        row = summarise(rollout, number=number, offset=offset, length=length)
        self._db.execute(_INSERT, [getattr(row, name) for name in COLUMNS])
        spans = [(0, place, span) for place, span in enumerate(rollout.tree.prompt)]
        for node in rollout.tree.nodes[1:]:
            spans.extend((node.index, place, span) for place, span in enumerate(node.step.spans if node.step else ()))
        self._db.executemany(
            "INSERT INTO spans VALUES (?, ?, ?, ?, ?)",
            [(number, node, place, span.source.value, self._text(span.text)) for node, place, span in spans if span.text],
        )

    def _text(self, text: str) -> int:
        """Id of a text; prompts, hints and glue repeat, and are kept once."""
        body = text.encode(errors="replace").decode()
        digest = hashlib.blake2b(body.encode(), digest_size=16).digest()
        known = self._db.execute("SELECT id FROM texts WHERE digest = ?", (digest,)).fetchone()
        if known is not None:
            return int(known[0])
        place = self._db.execute("INSERT INTO texts (digest, body) VALUES (?, ?)", (digest, body)).lastrowid
        if self._trigrams:
            self._db.execute("INSERT INTO trigrams (rowid, body) VALUES (?, ?)", (place, body))
        return int(place or 0)


def summarise(rollout: Rollout, *, number: int, offset: int, length: int) -> Row:
    """The index row of a rollout."""
    path, verdict, usage = rollout.trajectory, rollout.verdict, rollout.tree.usage
    failure = path.error if path is not None else next((node.error for node in rollout.tree.nodes if node.error is not None), None)
    return Row(
        number=number,
        key=rollout.key,
        stage=rollout.stage,
        problem_id=rollout.problem.id,
        family=rollout.problem.family,
        tier=rollout.problem.tier,
        sample=rollout.sample,
        model=rollout.model,
        correct=rollout.correct,
        score=verdict.score if verdict is not None else None,
        answer=verdict.answer if verdict is not None else None,
        stop=path.stop.value if path is not None else "",
        used_tool=path is not None and path.used_tool,
        hinted=path is not None and bool(path.hints),
        nodes=len(rollout.tree.nodes),
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        calls=usage.model_calls,
        tool_calls=usage.tool_calls,
        wall_s=rollout.wall_s,
        finished_at=rollout.finished_at,
        error=f"{failure.boundary}: {failure.kind}: {failure.message}" if failure is not None else "",
        offset=offset,
        length=length,
    )


COLUMNS = tuple(item.name for item in fields(Row))
_FLAGS = frozenset({"correct", "used_tool", "hinted"})
_INSERT = f"INSERT INTO rollouts VALUES ({', '.join('?' * len(COLUMNS))})"
_SCHEMA = f"""
CREATE TABLE rollouts (number INTEGER PRIMARY KEY, key TEXT UNIQUE, {", ".join(COLUMNS[2:])});
CREATE INDEX rollouts_stage ON rollouts (stage, family);
CREATE INDEX rollouts_problem ON rollouts (problem_id);
CREATE TABLE texts (id INTEGER PRIMARY KEY, digest BLOB UNIQUE, body TEXT);
CREATE TABLE spans (rollout INTEGER, node INTEGER, place INTEGER, source TEXT, text INTEGER);
CREATE INDEX spans_text ON spans (text);
"""


def row_of(values: tuple[Any, ...]) -> Row:
    """A `Row` from a `SELECT *` on the rollouts table."""
    named: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
    for name in _FLAGS:
        if named[name] is not None:
            named[name] = bool(named[name])
    return Row(**named)


def open_index(target: str) -> sqlite3.Connection:
    """A connection to an index of this layout, created when the file is new. Raises `sqlite3.DatabaseError`."""
    db = sqlite3.connect(target, timeout=60.0, isolation_level=None)
    try:
        # A lost write only costs a rebuild, so the disk is not waited for; a killed process is still harmless.
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN IMMEDIATE")
        layout = db.execute("PRAGMA user_version").fetchone()[0]
        if layout != LAYOUT:
            _create(db)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection) -> None:
    """Lay out an index; tables of another layout are dropped, their content is derived anyway."""
    names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
    for name in ["trigrams", *(name for (name,) in names)]:
        db.execute(f'DROP TABLE IF EXISTS "{name}"')
    db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value)")
    for statement in filter(None, map(str.strip, _SCHEMA.split(";"))):
        db.execute(statement)
    try:
        db.execute("CREATE VIRTUAL TABLE trigrams USING fts5(body, content='texts', content_rowid='id', tokenize='trigram', detail='none')")
        trigrams = 1
    except sqlite3.OperationalError:
        # SQLite without FTS5, or older than 3.34: every text is looked at instead.
        trigrams = 0
    db.execute("INSERT INTO meta VALUES ('trigrams', ?)", (trigrams,))
    db.execute(f"PRAGMA user_version = {LAYOUT}")
