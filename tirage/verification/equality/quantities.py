r"""Plain numbers with their units, read completely or not at all, and compared exactly or to the digits that were written."""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from tirage.verification.equality.notation import exact_decimals, normalise
from tirage.verification.equality.units import CURRENCY_SIGNS, TABLE, Unit, read_unit

RELATIVE = Fraction(1, 10**12)
_DIGITS = 6
"""Decimals with fewer significant digits than this stand for themselves only, never for a rounded exact value."""
_LONGEST = 400
"""Longer texts are no plain numbers: conversion costs grow with the square of the length."""
_SCALES = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12, "score": 20,
    "lakh": 10**5, "crore": 10**7, "gross": 144,
}  # fmt: skip
_LETTERS = {"K": 10**3, "M": 10**6, "B": 10**9, "bn": 10**9}
_PARTS = {
    "half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "twentieth": 20, "hundredth": 100, "thousandth": 1000, "millionth": 10**6,
}  # fmt: skip
_FRACTION = re.compile(r"\\frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*(-?[\d.,]+)\s*\}")
_ORDINAL = re.compile(r"(-?\d+)\s?\^?\{?\s?(?:st|nd|rd|th)\}?")
_NUMBERED = re.compile(r"(?:#|No\.?|no\.?|number|Number)\s?(?=\d)")
_ADDED = re.compile(r"(?<=[A-Za-z.])\s*(?:,\s*(?:and\s+)?|\s+and\s+|\s+)(?=\d)")
_NEGATIVE = re.compile(r"^(?:negative|minus)\s+(?=[\d$.\\])")
_RUPEES = re.compile(r"^(?:Rs\.?|INR|USD|EUR|US\$|CNY|RMB)\s?(?=[-\d.])")
_PLAIN = re.compile(
    r"(?P<sign>[-+]?)\s?(?P<currency>[$€£¥₹]?)\s?(?P<inner>[-+]?)"
    r"(?P<whole>\d{1,3}(?:[, ]\d{3})+(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)|\d+)?(?P<decimals>\.\d*)?"
    r"(?:[eE](?P<power>[-+]?\d{1,3})(?![\w.])|\s?(?:\\times|\\cdot|\*|x)\s?10\s?\^\s?\{?\s?(?P<ten>[-+]?\d{1,3})\s?\}?(?!\d))?"
    r"(?:(?P<and>\s(?:and\s)?)?(?P<top>\d+)?\s?/\s?(?P<bottom>\d+)(?!\.?\d))?\s?(?P<percent>%|percentage\b|percent\b|per cent\b|pct\b)?"
    r"(?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A plain number as it was written."""

    value: Fraction
    percent: bool = False
    """It carried a percent sign; `value` is the number before the sign."""
    integral: bool = False
    """Written without decimals, fraction or exponent."""
    decimals: int | None = None
    """Place of the last digit of a decimal: 2 for 3.14, -3 for 1.25e5; None for what is exact."""
    unit: Unit | None = None


def parse_quantity(text: str) -> Quantity | None:
    r"""Read a plain number with its decoration, e.g. `$1,234.50`, `-3/4`, `2 1/2`, `12%`, `3 million`, `18 dollars`, ``\frac{3}{4}``.

    None for everything else, in particular for more than one number, for a number before a word that is not known to be a unit, and
    for text over 400 characters.
    """
    readings = parse_readings(normalise(text)) if len(text) <= _LONGEST else ()
    return readings[0] if readings else None


def parse_readings(text: str) -> tuple[Quantity, ...]:
    """All that a normalised text may mean as a number: none, one, or two (`100K`)."""
    if not text or len(text) > _LONGEST or not any(sign.isdigit() for sign in text):
        return ()
    text = _NEGATIVE.sub("-", text)
    text = _RUPEES.sub("", _NUMBERED.sub("", exact_decimals(text), count=1))
    while text[0] == "(" and text[-1] == ")" and text.count("(") == 1:
        text = text[1:-1].strip()
        if not text:
            return ()
    ordinal = _ORDINAL.fullmatch(text)
    if ordinal is not None:
        return (Quantity(Fraction(int(ordinal[1])), integral=True),)
    summed = _sum(text)
    if summed is not None:
        return (summed,)
    text = _FRACTION.sub(lambda match: f" {match[1]}/{match[2]}", text).strip()
    text = re.sub(r"^([-+])\s", r"\1", text)
    match = _PLAIN.fullmatch(text)
    if match is None or not (match["whole"] or (match["decimals"] or ".") != "."):
        return ()
    plain = _value(match)
    if plain is None:
        return ()
    rest = match["rest"]
    attached = bool(rest) and not text[: -len(rest)].endswith(" ") and match["percent"] is None
    return tuple(_decorated(plain, rest.strip(), attached=attached, currency=match["currency"] or ""))


def _sum(text: str) -> Quantity | None:
    """`2 hours and 30 minutes`, `5 ft 3 in`: amounts of one dimension, from the largest unit to the smallest, in terms of the first."""
    parts = _ADDED.split(text)
    if not 2 <= len(parts) <= 4:
        return None
    amounts = [parse_readings(part) for part in parts]
    units = [amount[0].unit if len(amount) == 1 else None for amount in amounts]
    first = units[0]
    if first is None or len(first.dimension) != 1:
        return None
    factors = [unit.factor for unit in units if unit is not None and unit.dimension == first.dimension]
    if len(factors) != len(parts) or any(left <= right for left, right in pairwise(factors)):
        return None
    total = sum((amount[0].value * factor for amount, factor in zip(amounts, factors, strict=True)), Fraction(0))
    return Quantity(total / first.factor, integral=False, unit=first)


def _value(match: re.Match[str]) -> Quantity | None:
    """A matched number without what follows it; None when its parts do not make one."""
    power = int(match["power"] or match["ten"] or 0)
    digits = re.sub(r"[, ]", "", match["whole"] or "0")
    value = (Fraction(int(digits)) + Fraction("0" + match["decimals"] + "0" if match["decimals"] else 0)) * Fraction(10) ** power
    if match["bottom"] is not None:
        bottom = int(match["bottom"])
        if bottom == 0 or (match["top"] is not None and not match["and"]):
            return None
        value = value / bottom if match["top"] is None else value + Fraction(int(match["top"]), bottom)
    negative = (match["sign"] == "-") != (match["inner"] == "-")
    places = len(match["decimals"]) - 1 if match["decimals"] else 0
    decimals = places - power if match["decimals"] and match["bottom"] is None else None
    integral = not (match["decimals"] or match["bottom"] or power)
    return Quantity(-value if negative else value, match["percent"] is not None, integral, decimals)


def _decorated(plain: Quantity, rest: str, *, attached: bool, currency: str) -> list[Quantity]:
    """The number with every reading of what stands behind it; empty when that is not known to be a unit or a scale."""
    money = Unit(*TABLE[currency]) if currency else None
    if not rest:
        return [replace(plain, unit=money)]
    readings: list[Quantity] = []
    word, _, after = rest.partition(" ")
    if (attached and rest in _LETTERS) or (currency and rest in ("k", "m", "b")):
        readings.append(replace(_scaled(plain, _LETTERS.get(rest) or _LETTERS[rest.upper()]), unit=money))
        if rest == "K":
            readings.append(replace(plain, unit=read_unit("K")))
        return readings
    name = word.lower().removesuffix("s") if word.lower() not in ("gross",) else "gross"
    while name in _SCALES or name.removesuffix("e") in _PARTS or name in _PARTS:
        factor = Fraction(_SCALES[name]) if name in _SCALES else Fraction(1, _PARTS.get(name) or _PARTS[name.removesuffix("e")])
        plain, rest = _scaled(plain, factor), after.strip()
        if not rest:
            return [replace(plain, unit=money)]
        word, _, after = rest.partition(" ")
        name = word.lower().removesuffix("s")
        attached = False
    if plain.percent:
        return []
    unit = read_unit(rest, attached=attached, one=abs(plain.value) == 1)
    if money is not None and (unit is None or unit.dimension != money.dimension):
        unit = read_unit(f"{currency} {rest}")
    return [] if unit is None else [replace(plain, unit=unit)]


def _scaled(plain: Quantity, factor: Fraction | int) -> Quantity:
    return replace(plain, value=plain.value * factor, decimals=None, integral=plain.integral and plain.value * factor % 1 == 0)


def close(answer: Quantity, gold: Quantity) -> bool:
    """Whether two quantities are equal, up to the rounding that their writing shows.

    Exact numbers must be equal exactly. A decimal with at least six significant digits equals an exact value, or a longer decimal, that
    rounds or cuts to it; a relative difference of 1e-12 is rounding noise. Units on both sides must be convertible and are converted. A
    percent sign on one side only may mean either reading: 50% equals both 50 and 0.5.
    """
    if answer.unit is not None and gold.unit is not None:
        if not answer.unit.fits(gold.unit):
            return False
        if answer.unit.factor != gold.unit.factor and answer.unit.dimension == gold.unit.dimension:
            return _near(answer.value * answer.unit.factor, gold.value * gold.unit.factor)
    if answer.percent != gold.percent:
        bare, signed = (gold, answer) if answer.percent else (answer, gold)
        shifted = None if signed.decimals is None else signed.decimals + 2
        return any(
            _same(bare, reading)
            for reading in (replace(signed, percent=False), replace(signed, value=signed.value / 100, integral=False, decimals=shifted))
        )
    return _same(answer, gold)


def _same(left: Quantity, right: Quantity) -> bool:
    if left.value == right.value:
        return True
    if left.decimals is None and right.decimals is None:
        return False
    if not (left.integral or right.integral) and _near(left.value, right.value):
        return True
    if left.decimals is None or (right.decimals is not None and left.decimals > right.decimals):
        left, right = right, left
    assert left.decimals is not None
    return not right.integral and rounds_to(right.value, left.value, left.decimals)


def _near(left: Fraction, right: Fraction) -> bool:
    return abs(left - right) <= RELATIVE * max(abs(left), abs(right))


def rounds_to(exact: Fraction, decimal: Fraction, decimals: int) -> bool:
    """Whether `exact`, rounded or cut to `decimals` places, is `decimal`, which must show at least six significant digits."""
    step = Fraction(1, 10**decimals) if decimals >= 0 else Fraction(10**-decimals)
    if abs(decimal) / step < 10 ** (_DIGITS - 1):
        return False
    return abs(exact - decimal) * 2 <= step or (abs(decimal) <= abs(exact) < abs(decimal) + step and exact * decimal > 0)


__all__ = ["CURRENCY_SIGNS", "Quantity", "close", "parse_quantity", "parse_readings", "rounds_to"]
