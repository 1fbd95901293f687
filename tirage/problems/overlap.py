"""Do training problems overlap with held-out ones? Drop those that do, before anything is selected from them.

Three modes, each including the ones before it:

- `exact`: the same text, up to case, spaces and punctuation. The right one for templated questions (reasoning-gym): there all
  questions of a family share long runs of words on purpose and differ in their numbers only, so the other modes would drop them all.
- `ngram`: a shared run of 13 tokens (the rule of GPT-3, arXiv 2005.14165, appendix C; 13 is also what later reports use).
- `lcs`: a longest common subsequence of at least 0.6 of the longer text's tokens, which finds rephrased and renumbered copies.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tirage.problems.base import ProblemSet

OverlapMode = Literal["exact", "ngram", "lcs"]
NGRAM = 13
LCS_RATIO = 0.6
_TOKEN = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training text that is too close to a held-out one."""

    train: int
    """Index of the training text."""
    heldout: int
    """Index of the held-out text; the first one found."""
    mode: OverlapMode
    """The first rule that caught it."""


def decontaminate(train: ProblemSet, heldout: ProblemSet, *, mode: OverlapMode = "ngram") -> tuple[ProblemSet, list[Overlap]]:
    """Drop the training problems whose question overlaps with a held-out one; returns what is left and what was found."""
    found = find_overlaps([problem.prompt for problem in train], [problem.prompt for problem in heldout], mode=mode)
    dropped = {overlap.train for overlap in found}
    return ProblemSet(train.name, tuple(problem for index, problem in enumerate(train) if index not in dropped)), found


def find_overlaps(
    train: Sequence[str], heldout: Sequence[str], *, mode: OverlapMode = "ngram", ngram: int = NGRAM, ratio: float = LCS_RATIO
) -> list[Overlap]:
    """At most one overlap per training text, in order.

    Args:
        train: texts to check; may be empty.
        heldout: texts to stay away from; may be empty.
        mode: how strict to be, see the module.
        ngram: tokens in a shared run, >= 1. Shorter texts can only match exactly or by `lcs`.
        ratio: least share of common subsequence, in (0, 1].
    """
    index = OverlapIndex(heldout, mode=mode, ngram=ngram, ratio=ratio)
    found = ((number, index.find(text)) for number, text in enumerate(train))
    return [Overlap(number, *match) for number, match in found if match is not None]


class OverlapIndex:
    """Held-out texts, ready to be asked about one training text at a time."""

    def __init__(self, heldout: Sequence[str], *, mode: OverlapMode = "ngram", ngram: int = NGRAM, ratio: float = LCS_RATIO) -> None:
        """Arguments as in `find_overlaps`. Raises ValueError for an `ngram` or `ratio` out of range."""
        if ngram < 1 or not 0.0 < ratio <= 1.0:
            raise ValueError(f"ngram={ngram} must be >= 1 and ratio={ratio} in (0, 1]")
        kept = [tokens(text) for text in heldout]
        self._rules: list[tuple[OverlapMode, Callable[[list[str]], int | None]]] = [("exact", _exact_rule(kept))]
        if mode in ("ngram", "lcs"):
            self._rules.append(("ngram", _ngram_rule(kept, ngram)))
        if mode == "lcs":
            self._rules.append(("lcs", _lcs_rule(kept, ratio)))

    def find(self, text: str) -> tuple[int, OverlapMode] | None:
        """Index of the first held-out text that `text` overlaps with and the rule that caught it; None when there is none."""
        words = tokens(text)
        for name, rule in self._rules:
            match = rule(words)
            if match is not None:
                return match, name
        return None


def tokens(text: str) -> list[str]:
    """Lower-case words and numbers of a text, punctuation dropped."""
    return _TOKEN.findall(text.lower())


def _exact_rule(heldout: Sequence[list[str]]) -> Callable[[list[str]], int | None]:
    index: dict[tuple[str, ...], int] = {}
    for number, words in enumerate(heldout):
        index.setdefault(tuple(words), number)
    return lambda words: index.get(tuple(words))


def _ngram_rule(heldout: Sequence[list[str]], size: int) -> Callable[[list[str]], int | None]:
    index: dict[bytes, int] = {}
    for number, words in enumerate(heldout):
        for run in _runs(words, size):
            index.setdefault(run, number)

    def rule(words: list[str]) -> int | None:
        return next((index[run] for run in _runs(words, size) if run in index), None)

    return rule


def _runs(words: list[str], size: int) -> list[bytes]:
    """A 16-byte digest of every run of `size` words; none when the text is shorter."""
    return [
        hashlib.blake2b(" ".join(words[start : start + size]).encode(), digest_size=16).digest() for start in range(len(words) - size + 1)
    ]


def _lcs_rule(heldout: Sequence[list[str]], ratio: float) -> Callable[[list[str]], int | None]:
    """Candidates by prefix filtering, then the real thing.

    A common subsequence of k tokens needs k equal tokens, so two texts of at most m tokens can only reach ratio * m if they agree
    in one of the rarest m - ceil(ratio * m) + 1 tokens of each: nothing that qualifies is missed.
    """
    frequency = Counter(word for words in heldout for word in words)
    index: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for number, words in enumerate(heldout):
        for mark in _rare(words, frequency, ratio):
            index[mark].append(number)

    def rule(words: list[str]) -> int | None:
        candidates = sorted({number for mark in _rare(words, frequency, ratio) for number in index.get(mark, ())})
        counts = Counter(words)
        for number in candidates:
            other = heldout[number]
            need = ratio * max(len(words), len(other))
            if min(len(words), len(other)) >= need and (counts & Counter(other)).total() >= need and lcs_length(words, other) >= need:
                return number
        return None

    return rule


def _rare(words: list[str], frequency: Counter[str], ratio: float) -> list[tuple[str, int]]:
    """The rarest tokens that one of must be shared, each numbered by its occurrence so that repeats count."""
    seen: Counter[str] = Counter()
    marks = []
    for word in words:
        marks.append((word, seen[word]))
        seen[word] += 1
    marks.sort(key=lambda mark: (frequency[mark[0]], mark))
    needed = -int(-ratio * len(words) // 1)
    return marks[: len(words) - needed + 1] if words else []


def lcs_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): one big-integer step per token of `right`."""
    positions: dict[str, int] = {}
    for index, word in enumerate(left):
        positions[word] = positions.get(word, 0) | (1 << index)
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        common = row & positions.get(word, 0)
        row = ((row + common) | (row - common)) & full
    return len(left) - row.bit_count()
