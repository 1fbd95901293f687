"""Files to documents: text, Markdown, HTML, PDF and JSON lines, by their endings."""

import json
import logging
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from tirage.core.errors import DataError, MissingExtra

TEXT = frozenset({".txt", ".md", ".markdown", ".rst", ".tex", ".py"})
HTML = frozenset({".html", ".htm", ".xhtml"})
JSONL = frozenset({".jsonl", ".ndjson"})
PDF = frozenset({".pdf"})
READABLE = TEXT | HTML | JSONL | PDF
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
    """(name, text) of each document in a file; a line of JSON is one, named by its `id` or its number, and so is a page of a PDF.

    Raises `DataError` naming file and line, also for what is no text, and `MissingExtra` for a PDF without pypdf.
    """
    kind = path.suffix.lower()
    try:
        if kind in PDF:
            yield from ((f"{path}#page={number}", said) for number, said in pdf_pages(path))
            return
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if "\0" in text:
        raise DataError(f"{path} is no text in UTF-8 (it has zero bytes); convert it, e.g. with: iconv -t UTF-8, or leave it out")
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


def pdf_pages(path: Path) -> list[tuple[int, str]]:
    """(page from 1, its text), pages without text left out. Raises `DataError` when the file is broken, locked or has no text at all."""
    try:
        from pypdf import PdfReader
    except ImportError as error:
        raise MissingExtra("pypdf", "retrieval") from error
    # What it cannot read is told by what it raises; the terminal belongs to the display.
    logging.getLogger("pypdf").addHandler(logging.NullHandler())
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError(f"{path} is locked with a password; unlock it first, e.g. with: qpdf --decrypt")
        pages = [(number, page.extract_text().strip()) for number, page in enumerate(reader.pages, start=1)]
    except (DataError, OSError):
        raise
    except Exception as error:  # whatever is wrong in the file: pypdf raises its own classes, and KeyError, TypeError, RecursionError too
        raise DataError(f"{path} is no readable PDF ({type(error).__name__}: {error}); export it again, or leave it out") from error
    if not any(text for _, text in pages):
        raise DataError(f"{path} has no text on its {len(pages)} pages (a scan?); recognise it first, e.g. with: ocrmypdf")
    return [(number, text) for number, text in pages if text]


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
