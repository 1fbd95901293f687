"""One writer per run folder."""

import fcntl
import os
import socket
import threading
from pathlib import Path

from tirage.core.errors import DataError

_GUARD = threading.Lock()
_HELD: set[tuple[int, int]] = set()
"""Device and inode of lock files held by this process: POSIX locks do not exclude a second holder in it."""


class WriterLock:
    """An exclusive lock on a file, held until `release` or the end of the process.

    A POSIX record lock, because children made by fork (sandbox templates) do not inherit it: the lock ends
    with the writer, however it ends.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises `DataError` naming the holder when someone has it."""
        self.path = path
        with _GUARD:
            # Asked before opening: closing any descriptor of the file would drop the first holder's lock.
            if path.exists() and _identity(path.stat()) in _HELD:
                raise DataError(f"{path.parent} is being written by this process already (pid {os.getpid()}); close that store first")
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(self._fd, 200, 0).decode(errors="replace").strip() or "another process"
                os.close(self._fd)
                raise DataError(f"{path.parent} is being written by {holder}; wait for it, stop it, or write to another folder") from error
            self._held = _identity(os.fstat(self._fd))
            _HELD.add(self._held)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Let others write; idempotent."""
        with _GUARD:
            if self._fd >= 0:
                os.ftruncate(self._fd, 0)
                os.close(self._fd)
                self._fd = -1
                _HELD.discard(self._held)


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
