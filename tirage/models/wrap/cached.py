"""Cached: answers kept in a SQLite file."""

import json
import sqlite3
from pathlib import Path

from tirage.core.codec import decode, encode
from tirage.core.errors import DataError
from tirage.models.base import Completion, Model, Request
from tirage.models.request_key import request_key
from tirage.models.wrap.around import Around

_FORMAT = 1


class Cached(Around):
    """Gives the kept answer to a request it has seen: same model name, prompt, sampling and tools.

    Only answers that asking again would repeat are kept: greedy or seeded requests. Errors are never kept. A kept
    answer carries the usage of the call that made it, so that results do not depend on what was in the cache.
    """

    def __init__(self, model: Model, path: str | Path) -> None:
        """`path` is created when missing. Raises `DataError` when it is not a cache of this format."""
        super().__init__(model)
        self.hits = 0
        self.misses = 0
        """Calls that had to be made; requests that cannot be kept are not counted."""
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(self._path, isolation_level=None)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._store.close()
            raise DataError(f"{self._path} is not a response cache ({error}); delete it or give another path") from error

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """The kept answer, or the wrapped model's. Raises what the wrapped model raises."""
        if request.sampling.temperature > 0 and request.sampling.seed is None:
            return await self.model.complete(request)
        key = request_key(self.name, request)
        row = self._store.execute("select answer from answers where key = ?", (key,)).fetchone()
        if row is not None:
            self.hits += 1
            return tuple(decode(Completion, one) for one in json.loads(row[0]))
        self.misses += 1
        completions = await self.model.complete(request)
        answer = json.dumps(encode(completions), separators=(",", ":"), ensure_ascii=False)
        self._store.execute("insert or ignore into answers (key, model, answer) values (?, ?, ?)", (key, self.name, answer))
        return completions

    async def close(self) -> None:
        """Close the file and the wrapped model."""
        self._store.close()
        await super().close()

    def _prepare(self) -> None:
        self._store.execute("pragma busy_timeout = 5000")
        self._store.execute("pragma journal_mode = wal")
        self._store.execute("pragma synchronous = normal")
        found = self._store.execute("pragma user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise sqlite3.DatabaseError(f"format {found}, this version reads {_FORMAT}")
        self._store.execute(
            "create table if not exists answers (key text primary key, model text not null, answer text not null) without rowid"
        )
        self._store.execute(f"pragma user_version = {_FORMAT}")
