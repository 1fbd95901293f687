"""Where a cell's output goes: memory files of the host, sealed against growth, readable whatever becomes of the cell."""

import fcntl
import os

PAGE = 4096
SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL if hasattr(fcntl, "F_SEAL_GROW") else 0


def bounded_file(name: str, size: int) -> int:
    """A descriptor of a memory file that holds at most `size` bytes; only what is written takes memory."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def filled_file(name: str, content: bytes) -> int:
    """A descriptor of a memory file with `content`, at its start."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def written(fd: int, limit: int) -> bytes:
    """What the guest wrote: the file offset is shared, so it tells how far."""
    size = min(os.lseek(fd, 0, os.SEEK_CUR), limit)
    return os.pread(fd, size, 0) if size else b""


class Capture:
    """stdout and stderr of one cell."""

    __slots__ = ("cap", "err", "out")

    def __init__(self, cap: int) -> None:
        """`cap` bytes each; a page of slack lets C code that writes past the cap be seen to have done so."""
        self.cap = cap
        self.out = bounded_file("stdout", cap + PAGE)
        try:
            self.err = bounded_file("stderr", cap + PAGE)
        except OSError:
            os.close(self.out)
            raise

    def read(self) -> tuple[str, str, bool]:
        """stdout, stderr, and whether either met the cap."""
        out, err = written(self.out, self.cap), written(self.err, self.cap)
        return out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), max(len(out), len(err)) >= self.cap

    def close(self) -> None:
        """Let go of the files; idempotent."""
        if self.out >= 0:
            os.close(self.out)
            os.close(self.err)
            self.out = self.err = -1
