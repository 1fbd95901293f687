"""The working directories of branches: one each below the box's scratch root, copied when a branch is made."""

import os
import shutil

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
    _measure(source)
    try:
        shutil.copytree(source, target, symlinks=True, ignore=_special, dirs_exist_ok=True)
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
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


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
        shutil.rmtree(directory, ignore_errors=True)
        return 0
    if not child:
        try:
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            os._exit(0)
    return child
