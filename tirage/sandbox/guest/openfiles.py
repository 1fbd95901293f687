"""Open files across a fork: the child gets its own descriptions, at the same places, of the files in its own directory.

A forked descriptor shares its offset with the parent's, and names the file of the parent's directory. Without this, a branch
would read on where its sibling stopped reading, and write into its sibling's file. Reaches files of the working directory; what
is open elsewhere, or was deleted while open, stays shared.
"""

import ctypes
import fcntl
import os
import select
import stat

from .walls import confine

FIRST = 3
_libc = ctypes.CDLL(None)


class _PollFd(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


_TABLE = (_PollFd * (confine.OPEN_FILES - FIRST))()
for _number, _entry in enumerate(_TABLE, FIRST):
    _entry.fd = _number


def _closed() -> bytes:
    """For each descriptor from `FIRST` on, `POLLNVAL` when it is not open; one system call, and no need of /proc."""
    _libc.poll(_TABLE, len(_TABLE), 0)
    return bytes(_TABLE)[_PollFd.revents.offset :: ctypes.sizeof(_PollFd)]


def count() -> int:
    """How many descriptors are open, the standard ones aside."""
    return len(_TABLE) - _closed().count(select.POLLNVAL)


def survey(home: str, own: int) -> dict[int, str]:
    """The regular files that this process has open below `home`: descriptor to path relative to it.

    `own` descriptors are open anyway; where there are no more, there is nothing to look for.
    """
    closed = _closed()
    if len(closed) - closed.count(select.POLLNVAL) <= own:
        return {}
    by_inode: dict[tuple[int, int], list[int]] = {}
    for fd, mark in enumerate(closed, FIRST):
        if mark != select.POLLNVAL:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                by_inode.setdefault((found.st_dev, found.st_ino), []).append(fd)
    paths: dict[int, str] = {}
    for parent, _, names in os.walk(home) if by_inode else ():
        for name in names:
            path = os.path.join(parent, name)
            found = os.lstat(path)
            for fd in by_inode.get((found.st_dev, found.st_ino), ()):
                paths[fd] = path[len(home) + 1 :]
    return paths


def reopen(paths: dict[int, str], home: str) -> None:
    """Give each descriptor of `paths` a description of its own, of the file at that path below `home`."""
    for fd, path in paths.items():
        try:
            place = os.lseek(fd, 0, os.SEEK_CUR)
            own = os.open(f"{home}/{path}", fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND) | os.O_CLOEXEC)
        except OSError:
            # Not in the copy (it was removed meanwhile, or may not be opened again): it stays shared.
            continue
        os.lseek(own, place, os.SEEK_SET)
        os.dup2(own, fd, os.get_inheritable(fd))
        os.close(own)
