"""Directories that a program left: deleted whatever is in them, copied within limits."""

import os
from pathlib import Path

import pytest

from tirage.sandbox.guest import scratch

DEEP = 3000


def nest(root: Path, depth: int = DEEP) -> None:
    """Folders in folders, with a file in each; paths get far longer than any system call takes."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_folders_nested_deeper_than_any_stack_are_deleted(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    nest(root)
    scratch.remove_tree(str(root))
    assert not root.exists()


def test_what_was_made_read_only_and_links_are_deleted_and_nothing_behind_a_link(tmp_path: Path) -> None:
    kept, root = tmp_path / "kept", tmp_path / "home"
    kept.mkdir()
    (kept / "file").write_text("stays")
    root.mkdir()
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_text("goes")
    (root / "link").symlink_to(kept)
    (root / "a" / "out").symlink_to(kept)
    os.mkfifo(root / "a" / "pipe")
    (root / "a" / "b").chmod(0)
    (root / "a").chmod(0o500)
    scratch.remove_tree(str(root))
    assert not root.exists()
    assert (kept / "file").read_text() == "stays"


def test_a_directory_is_emptied(tmp_path: Path) -> None:
    nest(tmp_path, 1200)
    scratch.empty(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_is_nested_too_deeply_is_not_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    nest(source, 1200)
    with pytest.raises((scratch.TooLarge, OSError)):
        scratch.copy(str(source), str(tmp_path / "target"))
    scratch.remove_tree(str(source))


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    scratch.remove_tree(str(tmp_path / "nowhere"))
    assert scratch.remove(str(tmp_path / "nowhere")) == 0
