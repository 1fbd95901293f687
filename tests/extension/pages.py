"""The pages of the documentation on extending tirage: their files, commands and entry points, as a reader would copy them."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tirage

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "extend"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page."""

    name: str
    files: dict[str, str]
    """By title; the first one is what is added."""
    commands: tuple[str, ...]
    entries: str
    """Sections of `entry_points.txt`."""

    @property
    def code(self) -> str:
        """The file that is added."""
        return next(iter(self.files.values()))

    @property
    def lines(self) -> int:
        """Of that file, empty ones aside."""
        return sum(bool(line.strip()) for line in self.code.splitlines())

    @property
    def test(self) -> str:
        """Name of the file with the test."""
        return next(name for name in self.files if name.startswith("test_"))

    def write(self, folder: Path) -> None:
        """Put the files into a folder, the first empty one of a reader."""
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")


def read_page(name: str) -> Page:
    """The page `name`."""
    blocks = _BLOCK.findall((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    files = {title: text for _, title, text in blocks if title}
    commands = [line for kind, _, text in blocks if kind == "bash" for line in text.splitlines()]
    entries = "\n".join(text for kind, _, text in blocks if kind == "toml").replace("[project.entry-points.", "[")
    return Page(name=name, files=files, commands=tuple(commands), entries=entries.replace('"', ""))


def run(folder: Path, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A Python program with `folder` as its working directory; `path` is looked for modules and packages too."""
    places = [str(ROOT), *([str(path)] if path is not None else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False, env=environment)


def tirage_in(folder: Path, command: str, path: Path | None = None) -> str:
    """What a command of a page prints; it has to end well."""
    program, *words = shlex.split(command)
    assert program == "tirage", command
    done = run(folder, "-m", "tirage", *words, path=path)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


assert Path(tirage.__file__).parents[1] == ROOT
