"""Exact BM25 over an inverted index in SQLite tables, read with numpy.

A posting list is a few blobs, one per segment; a batch of chunks is a segment, and segments of one size are merged in `FAN`s, so a list
is read in a few pieces however the chunks came. Every posting of every query word is scored: no word is dropped, none is approximated.
(FTS5 calls back for each row that matches, which for a question with its `the` and `of` is nearly every row.)
"""

import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

K1, B = 1.2, 0.75
KEPT, COMMON = 64, 0.02
"""So many words that stand in more than this share of the chunks are kept in memory, at 12 bytes per posting."""
FAN = 8
"""Segments of one level that become one of the next."""
LAYOUT = """
CREATE TABLE IF NOT EXISTS segments (number INTEGER PRIMARY KEY, level INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS postings (segment INTEGER, word TEXT, pairs BLOB NOT NULL, PRIMARY KEY (segment, word)) WITHOUT ROWID;
"""
_WORD = re.compile(r"\w+")
Numbers = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Impact = tuple[Numbers, Scores, float]


def find_words(text: str) -> list[str]:
    """The words of a text, lower case, without accents; half surrogate pairs are no letters."""
    text = text.lower()
    if not text.isascii():
        text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return _WORD.findall(text)


def add_postings(db: sqlite3.Connection, words: Mapping[int, Sequence[str]]) -> None:
    """Index chunks (number to words) as a new segment, inside the caller's transaction."""
    codes: dict[str, int] = {}
    coded = np.fromiter((codes.setdefault(word, len(codes)) for found in words.values() for word in found), np.uint64)
    if not len(coded):
        return
    numbers = np.repeat(np.fromiter(words, np.uint64, len(words)), [len(found) for found in words.values()])
    # By word, then by chunk.
    postings, counts = np.unique((coded << np.uint64(32)) | numbers, return_counts=True)
    pairs = np.column_stack((postings & np.uint64(0xFFFFFFFF), counts)).astype(np.uint32).tobytes()
    ends = (8 * np.searchsorted(postings >> np.uint64(32), np.arange(len(codes) + 1, dtype=np.uint64))).tolist()
    _write(db, 0, ((word, pairs[ends[code] : ends[code + 1]]) for word, code in codes.items()))
    level = 0
    while len(full := [row[0] for row in db.execute("SELECT number FROM segments WHERE level = ? ORDER BY number", (level,))]) >= FAN:
        level += 1
        _merge(db, full, level)


def _write(db: sqlite3.Connection, level: int, lists: Iterable[tuple[str, bytes]]) -> None:
    (segment,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM segments").fetchone()
    db.execute("INSERT INTO segments VALUES (?, ?)", (segment, level))
    db.executemany("INSERT INTO postings VALUES (?, ?, ?)", ((segment, word, pairs) for word, pairs in sorted(lists)))


def _merge(db: sqlite3.Connection, segments: list[int], level: int) -> None:
    """Make one segment of several."""
    parts: dict[str, list[bytes]] = {}
    for segment in segments:
        for word, pairs in db.execute("SELECT word, pairs FROM postings WHERE segment = ?", (segment,)):
            parts.setdefault(word, []).append(pairs)
        db.execute("DELETE FROM postings WHERE segment = ?", (segment,))
        db.execute("DELETE FROM segments WHERE number = ?", (segment,))
    _write(db, level, ((word, b"".join(pairs)) for word, pairs in parts.items()))


def score_words(db: sqlite3.Connection, words: Iterable[str], lengths: Scores, kept: dict[str, Impact]) -> tuple[Scores, float]:
    """[numbers], the BM25 score of each chunk, 0 for those without any of the words; and what no chunk can reach.

    `lengths` [numbers] are the chunks' lengths in words, 0 where there is no chunk (any more). Robertson & Zaragoza 2009, eq. 3.15, summed
    over the query's different words; idf = ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative (Lucene's). `kept`, empty at first,
    is for one content of the index: common words, which stand in most questions, are read once.
    """
    scores = np.zeros(len(lengths), np.float32)
    bound = 0.0
    total = int(np.count_nonzero(lengths))
    if not total:
        return scores, bound
    for word in dict.fromkeys(words):
        impact = kept.get(word) or _impact(db, word, lengths, total)
        numbers, scored, most = impact
        scores[numbers] += scored
        bound += most
        if len(kept) < KEPT and len(numbers) > total * COMMON:
            kept[word] = impact
    return scores, bound


def _impact(db: sqlite3.Connection, word: str, lengths: Scores, total: int) -> Impact:
    """What a word adds to a query: its chunks, their scores, and the limit of these."""
    rows = db.execute("SELECT pairs FROM postings WHERE segment IN (SELECT number FROM segments) AND word = ?", (word,))
    pairs = np.frombuffer(b"".join([row[0] for row in rows]), np.uint32)
    numbers, counts = pairs[::2].astype(np.int64), pairs[1::2].astype(np.float32)
    mine = lengths[numbers]
    if total < len(lengths):
        there = mine > 0
        numbers, counts, mine = numbers[there], counts[there], mine[there]
    weight = (K1 + 1) * float(np.log1p((total - len(numbers) + 0.5) / (len(numbers) + 0.5)))
    mean = float(lengths.sum()) / total
    damping = np.float32(K1 * (1 - B)) + np.float32(K1 * B / mean) * mine
    return numbers, (np.float32(weight) * counts / (counts + damping)).astype(np.float32, copy=False), weight


def best(scores: Scores, most: int) -> list[tuple[int, float]]:
    """Places and scores of the `most` largest that are above 0, best first; the earlier place first among equals."""
    count = min(most, len(scores))
    if not count:
        return []
    # All that equal the last one count as candidates, so that ties go by place.
    least = max(float(np.partition(scores, len(scores) - count)[len(scores) - count]), 0.0)
    places = np.flatnonzero(scores >= least) if least > 0 else np.flatnonzero(scores > 0)
    order = np.lexsort((places, -scores[places]))[:count]
    return [(int(places[place]), float(scores[places[place]])) for place in order]
