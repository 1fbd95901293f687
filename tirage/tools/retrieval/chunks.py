"""Documents to chunks: pieces of bounded length that end where sentences or paragraphs do, with stable names."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))
"""Where a chunk may end, best first: between paragraphs, sentences, words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a document."""

    id: str
    """16 hex digits over document, text and place; the same as long as these are."""
    document: str
    place: int
    """Which piece of the document, from 0."""
    text: str


def split(document: str, text: str, *, size: int = 800, overlap: int = 80) -> Iterator[Chunk]:
    """Pieces of at most `size` characters; each begins up to `overlap` characters before the end of the last, at a word.

    Raises ValueError unless 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"chunks need 0 <= overlap < size, got size={size}, overlap={overlap}")
    start = place = 0
    while start < len(text):
        end = _end(text, start, size)
        piece = text[start:end].strip()
        if piece:
            name = hashlib.blake2b(f"{len(document)}:{document}{place}:{piece}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
            yield Chunk(id=name, document=document, place=place, text=piece)
            place += 1
        if end >= len(text):
            return
        start = max(_word(text, end - overlap, end), start + 1)


def batches(
    documents: Iterable[tuple[str, str]], known: Callable[[str], str | None], *, size: int, overlap: int, most: int = 512
) -> Iterator[tuple[int, dict[str, str], list[Chunk]]]:
    """Documents (name, text) cut for storing: the number seen so far, the new and changed ones with their hashes, and their chunks.

    `known` tells the hash under which a document is stored. A batch has `most` chunks or somewhat more, the last one may be empty; of two
    texts of one name the later comes in a later batch.
    """
    seen = 0
    chunks: list[Chunk] = []
    whole: dict[str, str] = {}
    for given, text in documents:
        name = writable(given)
        if name in whole or len(chunks) >= most:
            yield seen, whole, chunks
            chunks, whole = [], {}
        seen += 1
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        if known(name) != digest:
            chunks += split(name, text, size=size, overlap=overlap)
            whole[name] = digest
    yield seen, whole, chunks


def plain(text: str) -> str:
    """Half surrogate pairs, which no store can hold, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def writable(name: str) -> str:
    """A document's name as stores keep it: bytes of a file's name that are no UTF-8 are written out, and stay different."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _end(text: str, start: int, size: int) -> int:
    """Where the chunk that begins at `start` ends: at the last good break in its second half."""
    if start + size >= len(text):
        return len(text)
    for breaks in _BREAKS:
        places = [found.end() for found in breaks.finditer(text, start + size // 2, start + size)]
        if places:
            return places[-1]
    return start + size


def _word(text: str, low: int, high: int) -> int:
    """The first beginning of a word in [low, high); `high` when there is none."""
    for place in range(max(low, 1), high):
        if text[place - 1].isspace() and not text[place].isspace():
            return place
    return high
