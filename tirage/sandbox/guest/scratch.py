"""The working directories of branches: one each below the box's scratch root, copied when a branch is made."""

import os
import shutil
from collections.abc import Callable

MAX_COPY_BYTES = 64 << 20
MAX_COPY_FILES = 2000


class TooLarge(Exception):
    """A directory holds more than a branch copies."""


def _measure(directory: str) -> None:
    total = files = 0
    for parent, folders, names in os.walk(directory):
        files += len(folders) + len(names)
        for name in names:
            total += os.lstat(os.path.join(parent, name)).st_size
        if total > MAX_COPY_BYTES or files > MAX_COPY_FILES:
            raise TooLarge(
                f"the working directory holds more than {MAX_COPY_BYTES >> 20} MB or {MAX_COPY_FILES} files, too much to copy for a branch"
            )


def copy(source: str, target: str) -> bool:
    """Copy the content of `source` to a new directory `target`; False, and no `target`, when there is none.

    Links are copied as links; sockets, pipes and devices are left out. Raises `TooLarge` or `OSError`.
    """
    if not os.path.isdir(source) or not os.listdir(source):
        return False
    try:
        _measure(source)
        shutil.copytree(source, target, symlinks=True, ignore=_special, dirs_exist_ok=True)
    except RecursionError:
        raise TooLarge("the working directory is nested too deeply to copy for a branch") from None
    except shutil.Error as error:
        # It lists every file; the first one tells enough.
        raise OSError(f"the working directory cannot be copied: {error.args[0][0][2]}") from None
    return True


def _special(directory: str, names: list[str]) -> list[str]:
    paths = ((name, os.path.join(directory, name)) for name in names)
    return [name for name, path in paths if not (os.path.isdir(path) or os.path.isfile(path) or os.path.islink(path))]


def empty(directory: str) -> None:
    """Make `directory` exist and hold nothing."""
    try:
        os.mkdir(directory, 0o700)
        return
    except FileExistsError:
        pass
    for entry in list(os.scandir(directory)):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            os.unlink(entry.path)


def remove_tree(root: str) -> None:
    """Delete what a program left, as far as it can be deleted, without recursion: folders may be nested deeper than any stack.

    Level by level what a folder holds is moved up into `root`, so that paths stay short.
    """
    prefix, number = f"{root}/.{os.urandom(8).hex()}-", 0
    moved = True
    while moved:
        moved = False
        for entry in _entries(root):
            if not entry.is_dir(follow_symlinks=False):
                _quietly(os.unlink, entry.path)
                continue
            _quietly(os.chmod, entry.path, 0o700)
            for inner in _entries(entry.path):
                if inner.is_dir(follow_symlinks=False):
                    number += 1
                    # The kernel lets a folder be moved only by who may write it.
                    _quietly(os.chmod, inner.path, 0o700)
                    moved |= _quietly(os.rename, inner.path, f"{prefix}{number}")
                else:
                    _quietly(os.unlink, inner.path)
            _quietly(os.rmdir, entry.path)
    _quietly(os.rmdir, root)


def _entries(directory: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []


def _quietly(act: Callable[..., object], *arguments: object) -> bool:
    try:
        act(*arguments)
    except OSError:
        return False
    return True


def remove(directory: str) -> int:
    """Delete a tree, in a child when it is not empty: its content is the cell's and may be huge. The child's pid, or 0."""
    try:
        os.rmdir(directory)
        return 0
    except FileNotFoundError:
        return 0
    except OSError:
        pass
    try:
        child = os.fork()
    except OSError:
        remove_tree(directory)
        return 0
    if not child:
        try:
            remove_tree(directory)
        finally:
            os._exit(0)
    return child
