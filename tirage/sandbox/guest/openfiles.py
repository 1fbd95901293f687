"""Open files across a fork: the child gets its own descriptions, at the same places, of the files in its own directory.

A forked descriptor shares its offset with the parent's, and names the file of the parent's directory. Without this, a branch
would read on where its sibling stopped reading, and write into its sibling's file. Reaches files of the working directory; what
is open elsewhere, or was deleted while open, stays shared.
"""

import fcntl
import os
import select
import stat

from . import confine

# One call that tells which of all descriptors are open, where /proc is out of reach.
_ALL = select.poll()
for _fd in range(3, confine.OPEN_FILES):
    _ALL.register(_fd, 0)


def survey(home: str) -> dict[int, str]:
    """The regular files that this process has open below `home`: descriptor to path relative to it."""
    by_inode: dict[tuple[int, int], list[int]] = {}
    closed = {fd for fd, event in _ALL.poll(0) if event & select.POLLNVAL}
    for fd in range(3, confine.OPEN_FILES):
        if fd not in closed:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                by_inode.setdefault((found.st_dev, found.st_ino), []).append(fd)
    if not by_inode:
        return {}
    paths: dict[int, str] = {}
    for parent, _, names in os.walk(home):
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
