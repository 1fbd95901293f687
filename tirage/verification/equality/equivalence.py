r"""Are two final answers the same? Everything here is cheap and safe, and decides only what it understands completely.

`quick_equal` settles identical texts, pairs of plain numbers with or without units, and words. It answers None for everything else,
which is for the grading worker (`grade_math.py`) to decide.
"""

import re

from tirage.verification.equality.notation import normalise
from tirage.verification.equality.quantities import Quantity, close, parse_quantity, parse_readings

_PROSE = re.compile(r"[A-Za-z]{2,}")
_MATHS = re.compile(r"[\d\\^_=+*/<>|(){}\[\]]")
_CONSTANTS = frozenset({"pi", "infinity", "inf", "oo", "infty", "none", "empty set"})
_PRODUCT = re.compile(r"[b-df-hj-np-tv-z]{2,4}|a?b?c?d?")
"""A few letters that make no word: a product of variables."""


def quick_equal(answer: str, gold: str) -> bool | None:
    """Whether two final answers are the same: True, False, or None when it takes more than reading numbers to tell."""
    left, right = normalise(answer), normalise(gold)
    if left == right:
        return True
    wanted, given = parse_readings(right), parse_readings(left)
    if wanted and given:
        return any(close(one, other) for one in given for other in wanted)
    if is_prose(right):
        return _words(left) == _words(right)
    if wanted and is_prose(left) and left.casefold() not in _CONSTANTS and not any(sign.isdigit() for sign in left):
        return False
    return None


def is_prose(text: str) -> bool:
    """Words without any mathematics: such a reference is compared as text, since algebra would read it as a product of letters."""
    if not _PROSE.search(text) or _MATHS.search(text) or text.casefold().lstrip("-+ ") in _CONSTANTS:
        return False
    return _PRODUCT.fullmatch(text) is None and not re.search(r"\b(?:sqrt|sin|cos|tan|log|ln|exp|pi|infinity)\b", text)


def _words(text: str) -> str:
    """Words for comparison: case, and a full stop or quotes around them, do not count."""
    return " ".join(text.casefold().strip(" .\"'").split())


__all__ = ["Quantity", "close", "is_prose", "normalise", "parse_quantity", "quick_equal"]
