"""Answer keys: when two answers count as the same vote. A key function maps an answer to its class."""

import re
import unicodedata
from collections.abc import Callable, Hashable
from fractions import Fraction

AnswerKey = Callable[[str], Hashable]
_SPACE = re.compile(r"\s+")
_RATIONAL = re.compile(r"[+-]?\d{1,40}(?:\.\d{0,40}|/\d{1,40})?|[+-]?\.\d{1,40}")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")


def text_key(answer: str) -> str:
    """Normalised string: NFKC, case folded, white space collapsed, surrounding `$` and a final full stop dropped."""
    text = _SPACE.sub(" ", unicodedata.normalize("NFKC", answer).casefold()).strip()
    return text.strip("$").rstrip(".").strip()


def number_key(answer: str) -> Hashable:
    """Equal rational numbers fall together: `0.5`, `1/2` and `.50`; `1,000` and `1000`. Everything else as `text_key`."""
    text = text_key(answer)
    plain = _THOUSANDS.sub("", text).replace(" ", "")
    if _RATIONAL.fullmatch(plain):
        try:
            return Fraction(plain.rstrip("."))
        except ZeroDivisionError:
            return text
    return text
