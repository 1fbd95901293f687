"""TraceStore: append-only `traces.jsonl`, safe against kill -9, one writer, any number of readers."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tirage.core.errors import DataError
from tirage.core.rollout import Rollout
from tirage.traces.base import LOCK, TORN, TRACES, Entry, Fsync, Healed, Where
from tirage.traces.lock import WriterLock
from tirage.traces.wire import from_line, peek, to_line

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_BUFFER = 1 << 20
_SYNC_S = 1.0


class TraceStore:
    """The rollouts of one run folder.

    Reading needs no lock and sees every whole line, also while another process writes. The first `append`,
    or `claim`, makes this store the single writer. Methods may be called from several threads.
    """

    def __init__(self, folder: Path | str, *, fsync: Fsync = "interval") -> None:
        """`folder` need not exist before the first append."""
        self.folder = Path(folder)
        self.path = self.folder / TRACES
        self.fsync: Fsync = fsync
        self.healed: Healed | None = None
        """The torn tail that `claim` moved aside; None when the file was whole."""
        self._guard = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self._scanned = 0
        self._inode = -1
        self._lock: WriterLock | None = None
        self._fd = -1
        self._end = 0
        self._synced_at = 0.0

    # -- reading ---------------------------------------------------------------------------------------------

    def keys(self, stage: str | None = None) -> set[str]:
        """Keys of all stored rollouts, or of one stage; empty when nothing is stored."""
        with self._guard:
            self._catch_up()
            return {entry.key for entry in self._entries.values() if stage is None or entry.stage == stage}

    def __len__(self) -> int:
        """Number of stored rollouts."""
        with self._guard:
            self._catch_up()
            return len(self._entries)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Where each record lies, from byte `start` (a line's start) on; decodes nothing.

        Raises `DataError` for a line that is not a record.
        """
        for offset, line in self._lines(start):
            key, stage = self._parse(peek, line, offset)
            yield Entry(key=key, stage=stage, offset=offset, length=len(line))

    def read(self, stage: str | None = None, where: Where | None = None) -> Iterator[Rollout]:
        """Stored rollouts in order, one in memory at a time: what was whole when the iteration began.

        Rollouts of other stages are skipped without decoding them. Raises `DataError` with file and byte.
        """
        for offset, line in self._lines(0):
            if stage is not None and self._parse(peek, line, offset)[1] != stage:
                continue
            rollout = self._parse(from_line, line, offset)
            if where is None or where(rollout):
                yield rollout

    def located(self, start: int = 0) -> Iterator[tuple[Entry, Rollout]]:
        """Stored rollouts with their places, from byte `start` (a line's start) on."""
        for offset, line in self._lines(start):
            rollout = self._parse(from_line, line, offset)
            yield Entry(key=rollout.key, stage=rollout.stage, offset=offset, length=len(line)), rollout

    def read_at(self, entries: Iterable[tuple[int, int]]) -> Iterator[Rollout]:
        """Rollouts at the given (offset, length) pairs, in the given order."""
        with self.path.open("rb") as file:
            for offset, length in entries:
                file.seek(offset)
                line = file.read(length)
                yield self._parse(from_line, line, offset)

    def get(self, key: str) -> Rollout:
        """The rollout stored under `key`. Raises `DataError` naming close keys when there is none."""
        with self._guard:
            self._catch_up()
            entry = self._entries.get(key)
            if entry is None:
                close = get_close_matches(key, self._entries, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(close)}?" if close else f"it holds {len(self._entries)} rollouts"
                raise DataError(f"no rollout {key!r} in {self.path}; {hint}")
        return next(self.read_at([(entry.offset, entry.length)]))

    # -- writing ---------------------------------------------------------------------------------------------

    def claim(self) -> Healed | None:
        """Become the single writer: make the folder, take the lock, move a torn last line aside.

        Idempotent. Returns what was healed. Raises `DataError` naming the holder when another writer is active.
        """
        with self._guard:
            if self._lock is not None:
                return self.healed
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = WriterLock(self.folder / LOCK)
            try:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                self._end = os.fstat(self._fd).st_size
                if not self._end:
                    _sync_folder(self.folder)
                self.healed = self._heal()
                self._catch_up()
            except BaseException:
                self.close()
                raise
            return self.healed

    def append(self, rollout: Rollout) -> None:
        """Store `rollout`; when this returns, its line is in the kernel and survives a killed process.

        Raises `DataError` when its key is stored already, when another process writes, or when the disk refuses
        (the file then still ends with its last whole line).
        """
        line = to_line(rollout)
        with self._guard:
            self.claim()
            if rollout.key in self._entries:
                raise DataError(f"rollout {rollout.key!r} is stored already in {self.path}; a finished key is never rolled out again")
            offset = self._end
            self._write(line)
            self._end += len(line)
            self._scanned = self._end
            self._entries[rollout.key] = Entry(key=rollout.key, stage=rollout.stage, offset=offset, length=len(line))
            self._sync_if_due()

    def close(self) -> None:
        """Reach the disk and give up writing; idempotent. Reading goes on working."""
        with self._guard:
            if self._fd >= 0:
                os.fsync(self._fd)
                os.close(self._fd)
                self._fd = -1
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- inside ----------------------------------------------------------------------------------------------

    def _lines(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Whole lines from byte `start` on, up to what the file held when the iteration began."""
        try:
            file = self.path.open("rb", buffering=_BUFFER)
        except FileNotFoundError:
            return
        with file:
            limit = os.fstat(file.fileno()).st_size
            file.seek(start)
            offset = start
            while offset < limit:
                line = file.readline()
                if not line.endswith(b"\n"):
                    return
                yield offset, line
                offset += len(line)

    def _parse(self, parse: Callable[[bytes], T], line: bytes, offset: int) -> T:
        try:
            return parse(line)
        except DataError as error:
            raise DataError(f"{self.path}, byte {offset}: {error}") from error

    def _catch_up(self) -> None:
        """Learn the keys of lines that were added since the last look; start over when the file was replaced."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._entries.clear()
            self._scanned = 0
            return
        if stat.st_ino != self._inode or stat.st_size < self._scanned:
            self._entries.clear()
            self._scanned = 0
            self._inode = stat.st_ino
        if stat.st_size == self._scanned:
            return
        for entry in self.entries(self._scanned):
            first = self._entries.setdefault(entry.key, entry)
            if first is not entry:
                raise DataError(
                    f"{self.path}: rollout {entry.key!r} is stored twice, at bytes {first.offset} and {entry.offset}; remove one line"
                )
            self._scanned = entry.offset + entry.length

    def _heal(self) -> Healed | None:
        """Make the file end with a whole record; what a dead writer left half done goes to `traces.torn`."""
        end = self._end
        while end > 0:
            start = self._line_start(end)
            tail = os.pread(self._fd, end - start, start)
            if _is_record(tail):
                break
            end = start
        if end == self._end:
            if end and not tail.endswith(b"\n"):
                self._write(b"\n")
                self._end += 1
            return None
        torn = os.pread(self._fd, self._end - end, end)
        aside = self.folder / TORN
        with aside.open("ab") as file:
            file.write(torn + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._fd, end)
        self._end = end
        _LOG.warning("%s ended in a torn line of %d bytes (a writer was killed); moved to %s", self.path, len(torn), aside)
        return Healed(offset=end, length=len(torn), moved_to=aside)

    def _line_start(self, end: int) -> int:
        """Byte at which the last line of the first `end` bytes starts."""
        high = end - 1
        while high > 0:
            low = max(0, high - _BUFFER)
            place = os.pread(self._fd, high - low, low).rfind(b"\n")
            if place >= 0:
                return low + place + 1
            high = low
        return 0

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise DataError(f"cannot append to {self.path}: {error.strerror}; the file still ends with its last whole record") from error

    def _sync_if_due(self) -> None:
        now = time.monotonic()
        if self.fsync == "append" or (self.fsync == "interval" and now - self._synced_at >= _SYNC_S):
            os.fdatasync(self._fd)
            self._synced_at = now


def _sync_folder(folder: Path) -> None:
    """Make a new file's name outlast a power cut."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
