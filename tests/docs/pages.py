"""A page as a program: its files are written, its Python and its commands run in order, in one folder and one process."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tirage.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(
    r'(?:^<!-- not run: (?P<why>[^\n]+?) -->\n)?^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
RUN = ("python", "bash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    kind: str
    text: str
    title: str | None
    """The file that it is, relative to the folder in which the page runs."""
    why: str | None
    """Why it is not run, as the comment above it says."""
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(kind=item["kind"], text=item["text"], title=item["title"], why=item["why"], line=text[: item.start()].count("\n") + 1)
        for item in BLOCK.finditer(text)
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell block as words; lines that end in a backslash go on."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def call(words: list[str]) -> int:
    """The exit code of a `tirage` command, run in this process."""
    assert words[0] == "tirage", f"only tirage commands are run, this is {words[0]!r}; mark the block with <!-- not run: WHY -->"
    try:
        main(words[1:])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def perform(page: Path, folder: Path) -> int:
    """Run a page in `folder`; how many blocks were run. Raises what its Python raises, with the place in the page."""
    names: dict[str, Any] = {"__name__": "__main__"}
    ran, before, known = 0, Path.cwd(), set(sys.modules)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        for block in blocks(page):
            if block.title is not None:
                place = folder / block.title
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(block.text, encoding="utf-8")
            elif block.kind in RUN and block.why is None:
                ran += 1
                perform_block(page, block, names)
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
    return ran


def perform_block(page: Path, block: Block, names: dict[str, Any]) -> None:
    """Run one block."""
    if block.kind == "python":
        # Line ends in front, so that a traceback names the line of the page.
        exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        return
    for words in commands(block.text):
        code = call(words)
        assert code == 0, f"{page.name}, line {block.line}: {shlex.join(words)} ended with {code}"
