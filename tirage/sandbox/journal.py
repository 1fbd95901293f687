"""What made a session's state, so that it can be made again: the cells that took effect, with a digest of what each gave.

A journal is a value that shares its past: branches of a session share the entries up to the branch. Cells that were taken
back (killed, timed out beyond the grace) changed nothing and are not in it.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from tirage.sandbox.base import ExecResult, Limits, StateKind
from tirage.sandbox.calls import CallRecord

_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell that took effect."""

    code: str
    limits: Limits
    digest: int
    """Of what it gave: see `digest`."""
    calls: CallRecord | None = None
    """What it called, and got; None for a cell that was served no calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that was put."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """New starting values for the session's random generators."""

    value: int


Entry = Cell | File | Seed


@dataclass(frozen=True, slots=True, eq=False)
class Journal:
    """The last entry and the journal before it; told apart by identity."""

    entry: Entry
    before: "Journal | None" = None


def entries(journal: Journal | None, since: Journal | None = None) -> list[Entry]:
    """The entries from after `since` (a past of `journal`; None: from the beginning), oldest first."""
    found: list[Entry] = []
    while journal is not None and journal is not since:
        found.append(journal.entry)
        journal = journal.before
    return found[::-1]


def digest(result: ExecResult) -> int:
    """A hash over all that a cell showed, times and memory addresses aside; good within this process only."""
    shown = (
        result.stdout,
        result.stderr,
        result.value or "",
        result.error_text,
        *(text for item in result.displays for text in item.values()),
    )
    steady = tuple(_ADDRESS.sub("0x", text) if "0x" in text else text for text in shown)
    return hash((steady, result.value_type, result.failure, result.error_name))


class Replayable(Protocol):
    """What a replay needs of a fresh session."""

    async def repeat(self, cell: Cell) -> ExecResult:
        """Run one cell."""
        ...

    async def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        ...

    async def reseed(self, value: int) -> None:
        """Start the random generators again."""
        ...


async def replay(session: Replayable, past: list[Entry]) -> StateKind:
    """Bring `session` to the state that `past` made; tells whether every cell gave what it gave the first time."""
    state = StateKind.REPLAYED
    for entry in past:
        match entry:
            case Cell():
                if digest(await session.repeat(entry)) != entry.digest:
                    state = StateKind.DIVERGED
            case File():
                await session.put(entry.path, entry.content)
            case Seed():
                await session.reseed(entry.value)
    return state
