"""Expressions: read completely by latex2sympy or not at all, and compared exactly. Runs inside grading workers only."""

import random
import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from sympy.core.function import AppliedUndef

from tirage.verification.equality.notation import latex
from tirage.verification.equality.quantities import close, parse_readings, rounds_to
from tirage.verification.equality.units import Unit, read_unit

_CONVERSION = ConversionConfig(lowercase_symbols=False)
_UNKNOWN = re.compile(
    r"\.\.\.|\\[lcvdi]?dots(?![A-Za-z])|['\"#?;`@&$]|\\(?:text|not|quad)|\d\s+\d|(?<=\d)_|\\mathbf|(?<![A-Za-z])\\circ(?![A-Za-z])"
    r"|\d\.\d*\.|,\s*$"
)
_LETTERS = re.compile(r"[A-Za-z]{2,}")
_COMMAND = re.compile(r"\\[A-Za-z]+|_\{[^{}]*\}|(?<=operatorname)\{[^{}]*\}")
_WORDS = frozenset(
    "or and in is to of no not mod gcd lcm max min det the per for all are any one two six ten sin cos tan log exp cot sec csc arg dim ker "
    "deg if as at by on up we us an be do go he it me my so but was has had can may out off its via yes nor let get few due day sum".split()
)
_BASE = re.compile(r"\(?([0-9A-F]+)\)?_(?:\{(\d{1,2})\}|(\d{1,2}))")
_BLANK_UNIT = re.compile(r"(?<=[\d})A-Za-z!])\s+(?=[A-Za-z^\\])|(?<=[\d})])(?=[A-Za-z^\\])")
_TURN = re.compile(r"\^\s*\{?\s*\\circ\s*\}?")
_POINTS = 5


class Unreadable(ValueError):
    """A text that is not wholly mathematics."""


@lru_cache(maxsize=64)
def parse(text: str) -> Any:
    """A normalised text as a sympy expression.

    Raises:
        Unreadable: something in it is not understood, or it is no single expression.
    """
    code = latex(text)
    if not code or len(code) > 4000 or _UNKNOWN.search(_TURN.sub("", code)) or not _letters_are_variables(code):
        raise Unreadable(text)
    try:
        found = latex2sympy(code, is_real=None, convert_degrees="\\circ" in code, normalization_config=None, conversion_config=_CONVERSION)
    except Exception as error:  # latex2sympy raises plain Exception for what it cannot read
        raise Unreadable(text) from error
    if not isinstance(found, sympy.Expr | sympy.MatrixBase | sympy.Set):
        raise Unreadable(text)
    return _exact(found)


def _letters_are_variables(code: str) -> bool:
    """Runs of letters outside commands are products of variables only when they are short and no word."""
    bare = _COMMAND.sub(" ", code)
    return all((len(run) <= 3 and run.lower() not in _WORDS) or not re.search("[aeiouAEIOU]", run) for run in _LETTERS.findall(bare))


def _exact(found: Any) -> Any:
    """Decimals as the fractions they were written as, and `i` as the imaginary unit."""
    changes = {number: sympy.Rational(str(number)) for number in found.atoms(sympy.Float)}
    bound: set[Any] = {limits[0] for item in found.atoms(sympy.Sum, sympy.Product, sympy.Integral) for limits in item.limits}
    changes |= {symbol: sympy.I for symbol in found.free_symbols if symbol.name == "i" and symbol not in bound}
    return found.xreplace(changes) if changes else found


def equal_text(answer: str, gold: str) -> bool:
    """Whether two expressions are equal: plain numbers with units, numbers in a base, or algebra.

    Raises:
        Unreadable: the reference is not understood.
    """
    if answer == gold or answer.replace(" ", "") == gold.replace(" ", ""):
        return True
    wanted, given = parse_readings(gold), parse_readings(answer)
    if wanted and given:
        return any(close(one, other) for one in given for other in wanted)
    based = _same_in_base(answer, gold)
    if based is not None:
        return based
    return any(_equal(one, other, unit, other_unit) for other, other_unit in with_unit(gold) for one, unit in with_unit(answer))


def _same_in_base(answer: str, gold: str) -> bool | None:
    """Digits with a base, of which one side may leave the base out; None when neither has one."""
    found = [_BASE.fullmatch(text.replace(" ", "").replace("\\text", "")) for text in (answer, gold)]
    if not any(found):
        return None
    if all(found):
        values: list[object] = []
        for match in found:
            assert match is not None
            base = int(match[2] or match[3])
            try:
                values.append(int(match[1], base))
            except ValueError:
                values.append((match[1], base))
        return values[0] == values[1]
    digits = found[1]
    if digits is not None:
        return answer.replace(" ", "") == digits[1]
    (given,) = (match for match in found if match is not None)
    plain = parse_readings(gold)
    try:
        return bool(plain) and plain[0].value == int(given[1], int(given[2] or given[3]))
    except ValueError:
        return False


def with_unit(text: str) -> Iterator[tuple[str, Unit | None]]:
    r"""The expression, and for `36\pi cm^3` the expression before the unit with that unit."""
    yield text, None
    for match in _BLANK_UNIT.finditer(text):
        unit = read_unit(text[match.end() :].strip(), attached=match.end() == match.start())
        if unit is not None:
            yield text[: match.start()].strip(), unit
            return


def _equal(answer: str, gold: str, unit: Unit | None, gold_unit: Unit | None) -> bool:
    try:
        wanted = parse(gold)
    except Unreadable:
        if gold_unit is None and any(other is not None for _, other in with_unit(gold)):
            return False
        raise
    try:
        given = parse(answer)
    except Unreadable:
        return False
    if unit is not None and gold_unit is not None:
        if not unit.fits(gold_unit):
            return False
        if unit.dimension == gold_unit.dimension:
            given, wanted = given * sympy.Rational(unit.factor), wanted * sympy.Rational(gold_unit.factor)
    elif (
        (unit is None) != (gold_unit is None) and (given.free_symbols or wanted.free_symbols) and _single(unit or gold_unit, given, wanted)
    ):
        return False
    return equal(given, wanted, answer, gold)


def _single(unit: Unit | None, given: Any, wanted: Any) -> bool:
    """A unit behind an expression with variables is doubtful where it is one of a single letter: `2x m` may be a product."""
    return unit is not None and unit.factor == 1 and len(unit.dimension) == 1


def equal(given: Any, wanted: Any, answer: str = "", gold: str = "") -> bool:
    """Whether two sympy objects are the same value. Decimals in `answer` or `gold` may be rounded; see `quantities.close`."""
    if isinstance(given, sympy.MatrixBase) or isinstance(wanted, sympy.MatrixBase):
        if not (isinstance(given, sympy.MatrixBase) and isinstance(wanted, sympy.MatrixBase)) or given.shape != wanted.shape:
            return False
        return all(equal(one, other) for one, other in zip(given, wanted, strict=True))
    if isinstance(given, sympy.Set) or isinstance(wanted, sympy.Set):
        return bool(given == wanted)
    given, wanted = given.doit(), wanted.doit()
    if given == wanted:
        return True
    if given in (sympy.nan, sympy.zoo) or wanted in (sympy.nan, sympy.zoo):
        return False
    if not given.free_symbols and not wanted.free_symbols and not (given.atoms(AppliedUndef) | wanted.atoms(AppliedUndef)):
        return _same_number(given, wanted, answer, gold)
    return _same_function(given, wanted)


def _same_number(given: Any, wanted: Any, answer: str, gold: str) -> bool:
    if given.is_Rational and wanted.is_Rational:
        return bool(given == wanted)
    if sympy.oo in (given, wanted) or -sympy.oo in (given, wanted):
        return bool(given == wanted)
    for text, other in ((answer, wanted), (gold, given)):
        for quantity in parse_readings(text):
            if quantity.decimals is not None:
                value = other.evalf(60)
                return bool(value.is_real) and rounds_to(Fraction(str(value)), quantity.value, quantity.decimals)
    return _zero(given, wanted, {}) is True


def _zero(given: Any, wanted: Any, point: dict[Any, Any]) -> bool | None:
    """Whether the two agree at a point to 60 digits; None where they have no value."""
    try:
        left, right = (sympy.N(side.subs(point), 80) for side in (given, wanted))
        if not (left.is_number and right.is_number) or {left, right} & {sympy.nan, sympy.zoo, sympy.oo, -sympy.oo}:
            return None
        size = max(abs(left), abs(right))
        return bool(abs(left - right) <= size * sympy.Float("1e-60", 80)) if size else True
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def points(symbols: list[Any], seed: int = 7) -> Iterator[dict[Any, Any]]:
    """Rational points, of both signs and some of them integral, always the same ones."""
    draw = random.Random(seed)
    for index in range(12):
        values = [sympy.Rational(draw.randint(2, 997), 1 if index % 4 == 3 else 101) * (-1 if draw.random() < 0.4 else 1) for _ in symbols]
        yield dict(zip(symbols, values, strict=True))


def _same_function(given: Any, wanted: Any) -> bool:
    """Equal everywhere: at random points to 60 digits (an identity that fails would fail there), else by simplification."""
    symbols = sorted(given.free_symbols | wanted.free_symbols, key=str)
    agreed = 0
    if not (given.atoms(AppliedUndef) | wanted.atoms(AppliedUndef)):
        for point in points(symbols):
            verdict = _zero(given, wanted, point)
            if verdict is False:
                return False
            agreed += verdict is True
            if agreed == _POINTS:
                return True
    return bool(sympy.simplify(given - wanted) == 0)


def proportional(given: Any, wanted: Any, *, positive: bool = False) -> bool:
    """Whether one expression is a constant multiple, not zero, of the other: two equations `expression = 0` are then the same."""
    symbols = sorted(given.free_symbols | wanted.free_symbols, key=str)
    if given.free_symbols != wanted.free_symbols:
        return False
    ratio = None
    agreed = 0
    for point in points(symbols):
        left, right = (sympy.N(side.subs(point), 60) for side in (given, wanted))
        if not (left.is_number and right.is_number) or left == 0 or right == 0 or {left, right} & {sympy.nan, sympy.zoo}:
            continue
        here = left / right
        if ratio is not None and abs(here - ratio) > abs(ratio) * sympy.Float("1e-40", 60):
            return False
        ratio, agreed = here, agreed + 1
    return agreed >= 3 and ratio is not None and (not positive or bool(ratio.is_real and ratio > 0))
