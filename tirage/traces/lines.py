"""Small logs of JSON lines beside the traces: whole lines only, whatever ended the last writer or filled the disk."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tirage.core.errors import DataError


class LineLog:
    """One file, appended to by one process."""

    def __init__(self, path: Path) -> None:
        """Create or reopen `path`. Raises `OSError`."""
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def heal(self) -> None:
        """Cut off a last line that was written in part. Only the folder's one writer may."""
        content = self._path.read_bytes()
        if not content.endswith(b"\n"):
            os.ftruncate(self._fd, content.rfind(b"\n") + 1)

    def append(self, entry: Any) -> None:
        """Add a line; raises `DataError` when the disk refuses, with the file as it was."""
        line = json.dumps(entry).encode() + b"\n"
        end = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.ftruncate(self._fd, end)
            raise DataError(f"cannot append to {self._path}: {error.strerror}; fix that and run again: it resumes") from error

    def read(self) -> list[Any]:
        """All lines."""
        return list(self.lines(self._path))

    @staticmethod
    def lines(path: Path) -> Iterator[Any]:
        """The whole lines of a file that somebody may be writing. Raises `DataError` naming the line that is no JSON."""
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise DataError(f"{path}, line {number}: not JSON ({error}); delete the line") from None

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
