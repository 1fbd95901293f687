"""Files of a directory that untrusted code writes in: opened beneath it, step by step, through no link, regular ones only."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tirage.core.errors import SandboxError

MAX_BYTES = 64 << 20


@contextmanager
def _parent(root: Path, path: str, *, make: bool, owner: int) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory that holds `path`, and the last name."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute():
        raise SandboxError(f"path {path!r} is outside the session's working directory")
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in parts[:-1]:
            if make:
                try:
                    os.mkdir(name, 0o700, dir_fd=here)
                    if owner >= 0:
                        os.chown(name, owner, owner, dir_fd=here, follow_symlinks=False)
                except FileExistsError:
                    pass
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        yield here, parts[-1]
    finally:
        os.close(here)


def read_beneath(root: Path, path: str) -> bytes:
    """The content of a regular file of at most 64 MB. Raises `SandboxError`."""
    try:
        with _parent(root, path, make=False, owner=-1) as (folder, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            with open(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise SandboxError(f"cannot read {path!r} in the session: no regular file")
                return file.read(MAX_BYTES)
    except OSError as error:
        raise SandboxError(f"cannot read {path!r} in the session: {error.strerror}") from None


def write_beneath(root: Path, path: str, content: bytes, owner: int) -> None:
    """Write a file, folders included; `owner` (a user's number, -1: as is) may then change it. Raises `SandboxError`."""
    try:
        with _parent(root, path, make=True, owner=owner) as (folder, name):
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=folder)
            with open(fd, "wb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise SandboxError(f"cannot write {path!r} in the session: no regular file")
                if owner >= 0:
                    os.fchown(fd, owner, owner)
                file.write(content)
    except OSError as error:
        raise SandboxError(f"cannot write {path!r} in the session: {error.strerror}") from None
