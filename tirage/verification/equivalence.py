r"""Are two final answers the same? Everything here is cheap and safe; what needs algebra is left undecided.

`quick_equal` settles identical strings and pairs of plain numbers (integers, decimals, fractions, mixed numbers, percent, currency,
thousands separators, scale words, a trailing unit). It answers None when only a computer algebra system could tell.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

ABSOLUTE = Fraction(1, 10**6)
RELATIVE = Fraction(1, 10**12)
_LONGEST = 400
"""Longer texts are no plain numbers: conversion costs grow with the square of the length."""
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12, "k": 10**3}
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|textrm)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*(-?[\d.,]+)\s*\}|\\[dt]?frac\s*(\d)\s*(\d)")
_REWRITES = (
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("\\%", "%"),
    ("\\$", "$"),
    ("\\!", ""),
    ("−", "-"),
)
_SIZED = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg)(?![A-Za-z])")
_PLAIN_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])|π")
_PLAIN_FUNCTION = re.compile(r"(?<![\\A-Za-z])(sin|cos|tan|log|ln|exp)(?=\s?\()")
_PLAIN_ROOT = re.compile(r"(?<![\\A-Za-z])sqrt\s?\(([^()]{1,200})\)")
_SPACES = re.compile(r"(?<!\\)\\[ ,;:!]|~|\\quad|\\qquad|\s+")
_PLAIN = re.compile(
    r"(?P<sign>[-+]?)\s?(?:us\$|[$€£¥])?\s?(?P<inner>[-+]?)"
    r"(?P<whole>\d{1,3}(?:[, ]\d{3})+(?!\d)|\d+)?(?P<decimals>\.\d*)?(?:e(?P<power>[-+]?\d{1,3}))?"
    r"(?:(?P<and>\s(?:and\s)?)?(?P<top>\d+)?/(?P<bottom>\d+))?\s?(?P<percent>%|percent)?(?P<unit>.*)"
)
_UNIT = re.compile(r"[a-zµ°$€£¥²³][a-z°²³'./ \-]*(?:\^\{?[23]\}?)?")
_PROSE = re.compile(r"[A-Za-z]{2,}")
_CONSTANTS = frozenset({"pi", "infinity", "inf", "oo"})
_MATHS = re.compile(r"[\d\\^_=+*/<>|(){}\[\]]")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A plain number as it was written."""

    value: Fraction
    percent: bool = False
    """It carried a percent sign; `value` is the number before the sign."""
    integral: bool = False
    """Written without decimals, fraction or exponent."""


def normalise(text: str) -> str:
    r"""Undo notation that carries no meaning: spacing commands, `\text{}`, `\left`, display style, outer dollars, a final full stop."""
    text = _SIZED.sub("", _TEXT.sub(r"\1", text))
    for old, new in _REWRITES:
        text = text.replace(old, new)
    text = _SPACES.sub(" ", text).strip().removesuffix(".").strip()
    if len(text) > 2 and text[0] == text[-1] == "$":
        text = text[1:-1].strip()
    return text.removesuffix(".").strip()


def algebraic(text: str) -> str:
    r"""Normalised text with plain `pi`, `sqrt(...)`, `**` and function names turned into LaTeX, which is what math-verify reads best."""
    text = _PLAIN_FUNCTION.sub(r"\\\1", _PLAIN_PI.sub(r"\\pi ", normalise(text)))
    return _PLAIN_ROOT.sub(r"\\sqrt{\1}", text).replace("**", "^").strip()


def parse_quantity(text: str) -> Quantity | None:
    r"""Read a plain number with its decoration, e.g. `$1,234.50`, `-3/4`, `2 1/2`, `12%`, `3 million`, `18 dollars`, ``\frac{3}{4}``.

    None for everything else, in particular for more than one number and for text over 400 characters.
    """
    if len(text) > _LONGEST:
        return None
    text = _FRACTION.sub(lambda match: f" {match[1] or match[3]}/{match[2] or match[4]}", normalise(text)).strip().lower()
    text = text.replace("- ", "-", 1) if text.startswith("- ") else text
    match = _PLAIN.fullmatch(text)
    if match is None or not (match["whole"] or (match["decimals"] or ".") != "."):
        return None
    value = _value(match)
    scale = _scale(match["unit"].strip())
    if value is None or scale is None:
        return None
    negative = "-" in (match["sign"], match["inner"])
    integral = not (match["decimals"] or match["bottom"] or match["power"])
    return Quantity(-value * scale if negative else value * scale, match["percent"] is not None, integral)


def _value(match: re.Match[str]) -> Fraction | None:
    """Magnitude of a matched number; None when its parts do not make one."""
    digits = re.sub(r"[, ]", "", match["whole"] or "0")
    value = Fraction(int(digits)) + Fraction("0" + match["decimals"] + "0" if match["decimals"] else 0)
    if match["power"]:
        value *= Fraction(10) ** int(match["power"])
    if match["bottom"] is None:
        return value
    bottom = int(match["bottom"])
    if bottom == 0:
        return None
    if match["top"] is None:
        return value / bottom
    return value + Fraction(int(match["top"]), bottom) if match["and"] else None


def _scale(unit: str) -> int | None:
    """Factor of what follows the number: 1 for a unit, 1000 for "thousand (dollars)"; None when it is no unit."""
    word, _, rest = unit.partition(" ")
    if word in _SCALES:
        return _SCALES[word] if not rest or _UNIT.fullmatch(rest) else None
    return 1 if not unit or _UNIT.fullmatch(unit) else None


def close(answer: Quantity, gold: Quantity, *, absolute: Fraction = ABSOLUTE, relative: Fraction = RELATIVE) -> bool:
    """Whether two quantities are equal up to rounding.

    Two integers must be equal exactly. Otherwise |a - g| <= max(absolute * min(1, s), relative * s) with s = max(|a|, |g|). A percent
    sign on one side only may mean either reading: 50% equals both 50 and 0.5.
    """
    if answer.percent != gold.percent:
        bare, signed = (gold, answer) if answer.percent else (answer, gold)
        readings = (Quantity(signed.value, integral=signed.integral), Quantity(signed.value / 100))
        pairs = [(reading, bare) if answer.percent else (bare, reading) for reading in readings]
        return any(close(left, right, absolute=absolute, relative=relative) for left, right in pairs)
    if answer.integral and gold.integral:
        return answer.value == gold.value
    size = max(abs(gold.value), abs(answer.value))
    return abs(answer.value - gold.value) <= max(absolute * min(Fraction(1), size), relative * size)


def quick_equal(answer: str, gold: str) -> bool | None:
    """Whether two final answers are the same: True, False, or None when it takes algebra to tell."""
    left, right = normalise(answer), normalise(gold)
    if left == right:
        return True
    wanted = parse_quantity(right)
    given = parse_quantity(left)
    if wanted is not None and given is not None:
        return close(given, wanted)
    if is_prose(right):
        return left.casefold() == right.casefold()
    if wanted is not None and is_prose(left) and left.casefold() not in _CONSTANTS:
        return False
    return None


def is_prose(text: str) -> bool:
    """Words without any mathematics: such a reference is compared as text, since algebra would read it as a product of letters."""
    return bool(_PROSE.search(text)) and not _MATHS.search(text)
