"""The trace port: what may be stored, and what a store can do.

A run folder holds `traces.jsonl` (the truth, one record per line), `traces.lock` (who is writing) and
`index.sqlite` (answers questions, can be deleted at any time).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from tirage.core.rollout import Rollout

TRACES = "traces.jsonl"
TORN = "traces.torn"
LOCK = "traces.lock"
INDEX = "index.sqlite"

Fsync = Literal["append", "interval", "close"]
"""When a store asks the kernel to reach the disk: at every append, at an append that comes a second or more
after the last sync, or only at close. A killed process loses nothing under any of them; a power cut may."""

Where = Callable[[Rollout], bool]


class RecordKind(StrEnum):
    """What a line of `traces.jsonl` holds."""

    ROLLOUT = "rollout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where one record lies in `traces.jsonl`, read from the start of its line without decoding it."""

    key: str
    stage: str
    offset: int
    """Byte at which its line starts."""
    length: int
    """Bytes of the line, its newline included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """A torn tail that was moved aside when a writer opened the file."""

    offset: int
    """Byte at which the torn line started; the file now ends there."""
    length: int
    """Bytes moved."""
    moved_to: Path


class TraceSource(Protocol):
    """Where rollouts are read from; may be read more than once."""

    def read(self, stage: str | None = None) -> Iterator[Rollout]:
        """Rollouts of a stage (of all stages for None), in the order in which they were stored."""
        ...


class TraceSink(Protocol):
    """Keeps finished rollouts."""

    def append(self, rollout: Rollout) -> None:
        """Keep `rollout`; once this returns, it survives the death of the process."""
        ...

    def keys(self, stage: str | None = None) -> set[str]:
        """Keys of what is kept."""
        ...
