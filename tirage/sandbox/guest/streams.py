"""The cell's stdout and stderr: straight to host-owned memory files, and an early stop at the cap."""

import io
import os
import sys
from typing import Any, cast


class OutputLimit(BaseException):
    """The cell printed more than allowed; not an `Exception`, so that a cell's own handlers do not eat it."""


class _Capped(io.RawIOBase):
    """Writes to a descriptor up to `cap` bytes, then raises `OutputLimit`. Unbuffered: a kill loses nothing."""

    def __init__(self, fd: int, cap: int) -> None:
        self._fd = fd
        self._cap = cap

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        room = self._cap - os.lseek(self._fd, 0, os.SEEK_CUR)
        if len(view) <= room:
            return os.write(self._fd, view)
        if room > 0:
            os.write(self._fd, view[:room])
        raise OutputLimit


def _writer(fd: int, cap: int) -> Any:
    raw = cast("io.BufferedWriter", _Capped(fd, cap))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def attach(stdout: int, stderr: int, cap: int) -> None:
    """Point descriptors 1 and 2 and Python's streams at the cell's memory files; the given descriptors are closed."""
    for fd, target in ((stdout, 1), (stderr, 2)):
        os.dup2(fd, target)
        os.close(fd)
    sys.stdin = open(os.devnull, encoding="utf-8")
    sys.stdout = sys.__stdout__ = _writer(1, cap)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _writer(2, cap)  # type: ignore[misc]


def detach() -> None:
    """Let go of the memory files, so that a frozen process does not keep them alive."""
    os.dup2(0, 1)
    os.dup2(0, 2)
