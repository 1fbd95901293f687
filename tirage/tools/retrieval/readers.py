"""Files to documents: text, Markdown, HTML and JSON lines, by their endings."""

import json
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from tirage.core.errors import DataError

TEXT = frozenset({".txt", ".md", ".markdown", ".rst", ".tex", ".py"})
HTML = frozenset({".html", ".htm", ".xhtml"})
JSONL = frozenset({".jsonl", ".ndjson"})
READABLE = TEXT | HTML | JSONL
_SILENT = frozenset({"script", "style", "noscript", "template", "head"})
_BLOCKS = frozenset("p div br li tr h1 h2 h3 h4 h5 h6 section article pre table ul ol blockquote".split())


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The readable files among and below `paths`, sorted. Raises `DataError` for a path that is not there or a file of another kind."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(item for item in path.rglob("*") if item.is_file() and item.suffix.lower() in READABLE)
        elif not path.exists():
            raise DataError(f"there is no file or folder {path}")
        elif path.suffix.lower() not in READABLE:
            raise DataError(f"{path}: files that end in {path.suffix or 'nothing'} cannot be read; known: {', '.join(sorted(READABLE))}")
        else:
            found.add(path)
    return sorted(found)


def read_documents(path: Path, *, field: str = "text") -> Iterator[tuple[str, str]]:
    """(name, text) of each document in a file; a line of JSON is one, named by its `id` or its number.

    Raises `DataError` naming file and line.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    kind = path.suffix.lower()
    if kind in HTML:
        yield str(path), html_text(text)
    elif kind not in JSONL:
        yield str(path), text
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                said = row[field]
            except (ValueError, KeyError, TypeError, IndexError):
                said = None
            if not isinstance(said, str):
                raise DataError(f"{path}, line {number}: no JSON object with a text under {field!r}; name another field with --field")
            yield f"{path}#{row.get('id', number)}", said


def html_text(page: str) -> str:
    """The text that a reader of the page sees, a line per block."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).splitlines())
    return "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent.append(tag)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._silent and tag == self._silent[-1]:
            self._silent.pop()
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)
