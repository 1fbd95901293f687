"""Units behind a number: which words are units, of what dimension, and how large.

Only words of this table, and plural nouns that count things, are units. Anything else behind a number means something.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit in terms of base units: `factor` of them, with their exponents. No exponents: a mere "units"."""

    dimension: Dimension
    factor: Fraction

    def fits(self, other: "Unit") -> bool:
        """Whether values in the two can be compared: the same dimension, or one says less (`$18` and `$18 per day`; `units`)."""
        if self.dimension == other.dimension or not self.dimension or not other.dimension:
            return True
        shorter, longer = sorted((dict(self.dimension), dict(other.dimension)), key=len)
        rest = {base: power for base, power in longer.items() if shorter.get(base) != power}
        return set(shorter) <= set(longer) and any(base in _CURRENCIES for base in shorter) and all(power < 0 for power in rest.values())


_ROWS: tuple[tuple[dict[str, int], dict[str, str]], ...] = (
    ({"m": 1}, {"1": "m meter meters metre metres", "1000": "km kms kilometer kilometers kilometre kilometres",
        "0.01": "cm cms centimeter centimeters centimetre centimetres", "0.1": "dm decimeter decimeters decimetre decimetres",
        "0.001": "mm millimeter millimeters millimetre millimetres", "1/1000000": "um μm micrometer micrometers micron microns",
        "1/1000000000": "nm nanometer nanometers", "0.0254": "in inch inches", "0.3048": "ft foot feet",
        "0.9144": "yd yds yard yards", "1609.344": "mi mile miles", "1852": "nmi"}),
    ({"s": 1}, {"1": "s sec secs second seconds", "60": "min mins minute minutes", "3600": "h hr hrs hour hours", "86400": "day days",
        "604800": "week weeks wk wks", "0.001": "ms millisecond milliseconds", "1/1000000": "μs us microsecond microseconds",
        "1/1000000000": "ns"}),
    ({"month": 1}, {"1": "month months", "12": "year years yr yrs", "120": "decade decades", "1200": "century centuries"}),
    ({"kg": 1}, {"0.001": "g gm gms gram grams gramme grammes", "1": "kg kgs kilogram kilograms",
        "1/1000000": "mg milligram milligrams", "0.45359237": "lb lbs pound pounds", "0.028349523125": "oz ounce ounces",
        "1000": "tonne tonnes", "907.18474": "ton tons"}),
    ({"USD": 1}, {"1": "$ US$ USD usd dollar dollars buck bucks", "0.01": "cent cents ¢", "0.05": "nickel nickels", "0.1": "dime dimes"}),
    ({"EUR": 1}, {"1": "€ EUR euro euros"}),
    ({"GBP": 1}, {"1": "£ GBP", "0.01": "pence"}),
    ({"JPY": 1}, {"1": "¥ JPY yen"}),
    ({"CNY": 1}, {"1": "CNY RMB yuan"}),
    ({"INR": 1}, {"1": "₹ Rs Rs. rs INR rupee rupees"}),
    ({"deg": 1}, {"1": "deg degs degree degrees ^\\circ ^{\\circ} °"}),
    ({"rad": 1}, {"1": "rad rads radian radians"}),
    ({"celsius": 1}, {"1": "^\\circC ^{\\circ}C celsius Celsius"}),
    ({"fahrenheit": 1}, {"1": "^\\circF ^{\\circ}F fahrenheit Fahrenheit"}),
    ({"K": 1}, {"1": "K kelvin kelvins Kelvin"}),
    ({"m": 3}, {"0.001": "L liter liters litre litres", "0.000001": "ml mL milliliter milliliters millilitre millilitres cc",
        "0.00001": "cl cL", "0.003785411784": "gal gallon gallons", "0.000946352946": "quart quarts", "0.000473176473": "pint pints"}),
    ({"m": 2}, {"4046.8564224": "acre acres", "10000": "ha hectare hectares"}),
    ({"m": 1, "s": -1}, {"0.44704": "mph", "5/18": "kph kmph kmh"}),
    ({"s": -1}, {"1": "Hz hertz", "1000": "kHz", "1000000": "MHz", "1000000000": "GHz", "1/60": "rpm"}),
    ({"kg": 1, "m": 1, "s": -2}, {"1": "N newton newtons", "1000": "kN"}),
    ({"kg": 1, "m": 2, "s": -2}, {"1": "J joule joules", "1000": "kJ", "1000000": "MJ", "4.184": "cal calories", "4184": "kcal",
        "3600000": "kWh"}),
    ({"kg": 1, "m": 2, "s": -3}, {"1": "W watt watts", "1000": "kW", "1000000": "MW"}),
    ({"eV": 1}, {"1": "eV", "1000": "keV", "1000000": "MeV", "1000000000": "GeV"}),
    ({"kg": 1, "m": -1, "s": -2}, {"1": "Pa pascal pascals", "1000": "kPa", "1000000": "MPa", "101325": "atm", "100000": "bar"}),
    ({"A": 1}, {"1": "A amp amps ampere amperes", "0.001": "mA"}),
    ({"V": 1}, {"1": "V volt volts", "1000": "kV", "0.001": "mV"}),
    ({"ohm": 1}, {"1": "ohm ohms Ω \\Omega", "1000": "kΩ"}),
    ({"C": 1}, {"1": "C coulomb coulombs"}),
    ({"F": 1}, {"1": "F farad farads", "1/1000000": "μF uF"}),
    ({"T": 1}, {"1": "T tesla"}),
    ({"mol": 1}, {"1": "mol mols mole moles", "0.001": "mmol"}),
    ({"M": 1}, {"1": "mol/L"}),
    ({"byte": 1}, {"1": "byte bytes", "1024": "KB kB", "1048576": "MB", "1073741824": "GB"}),
    ({}, {"1": "unit units"}),
)  # fmt: skip
"""Dimensions by exponents of base units; words and signs by their size in base units."""
TABLE: Mapping[str, tuple[Dimension, Fraction]] = {
    word: (tuple(sorted(dimension.items())), Fraction(factor))
    for dimension, sizes in _ROWS
    for factor, words in sizes.items()
    for word in words.split()
}
_CURRENCIES = frozenset({"USD", "EUR", "GBP", "JPY", "CNY", "INR"})
CURRENCY_SIGNS = "$€£¥₹"
_BARE_LETTERS = frozenset("mghsNJWVAKCFLT")
"""Single letters that are units where a blank stands before them; attached to the number they are variables."""
_TOKEN = re.compile(
    r"\s*(?:(?P<degree>\^\{?\\circ\}?\s?[CF]?(?![A-Za-z]))|(?P<power>(?:\^\{?(-?\d)\}?))|(?P<per>/|\bper\b|\b(?:each|every|an?)\b)"
    r"|(?P<times>\*|\\cdot(?![A-Za-z])|\\times(?![A-Za-z])|·|-)|(?P<word>\\Omega|[A-Za-zμΩ]+\.?|[$€£¥₹¢]))"
)
_AREAS = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3, "cu.": 3}
_IRREGULAR = frozenset("people children men women mice sheep fish cattle dice teeth geese oxen deer change money".split())
_SCALE_WORDS = frozenset("hundred thousand million billion trillion dozen score lakh crore gross".split())
_CHANGING = frozenset(
    "plus minus times mod modulo choose factorial squared cubed square cube root roots power percent percents negative reciprocal inverse "
    "opposite doubled tripled halved twice double triple remainder modulus complement conjugate transpose prime vec hat bar base "
    "sin tan cos sec csc cot arcsin arccos arctan asin acos atan sinh cosh tanh log ln exp sqrt cbrt abs gcd lcm max min det lim limit sup "
    "arg dim rem infinity inf pi half halves third thirds quarter quarters hundreds thousands tens dozens scores millions billions "
    "less more least most other others or and not than over under below above between until except without if to else where true false yes "
    "no none any both neither equals versus".split()
)
"""Words that change what a number beside them says: operations, parts, scales, comparisons, conditions."""
_GLUE = frozenset("is as does was has this its us always of in at by then all the from about approximately".split())
"""Words that name no unit and count nothing, but leave a number beside them alone."""
_FRACTION_WORD = re.compile(r"\w*(?:ourth|ifth|ixth|eventh|ighth|ninth|tenth|welfth|teenth|tieth|dredth|usandth|lionth)s?")


@lru_cache(maxsize=4096)
def read_unit(text: str, *, attached: bool = False, one: bool = False) -> Unit | None:
    """The unit that `text` is, wholly; None when it is something else, or only partly a unit.

    Args:
        text: normalised, e.g. `cm^{2}`, `miles per hour`, `m/s^2`, `fresh eggs`, `sq. units`.
        attached: no blank stood between the number and it.
        one: the number is 1, so that a noun may be singular.
    """
    if len(text) > 60:
        return None
    text = text.strip()
    known = TABLE.get(text)
    if known is not None and (len(text) > 1 or not text.isalpha() or (not attached and text in _BARE_LETTERS)):
        return Unit(*known)
    if attached and not text[1:2].isalpha() and text[:1].isalpha() and not text.startswith("m/s"):
        return None
    return _compound(text, one) or _count(text, one)


def _compound(text: str, one: bool) -> Unit | None:
    """A product and quotient of units of the table, powers included."""
    powers: dict[str, int] = {}
    factor, place, sign, area, read = Fraction(1), 0, 1, 1, False
    last: tuple[Dimension, Fraction, int] | None = None
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        place = match.end()
        if match["per"]:
            if not read and match["per"] not in ("each", "every"):
                return None
            sign, last = -1, None
        elif match["times"]:
            if last is None:
                return None
            last = None
        elif match["power"]:
            if last is None:
                return None
            exponent = int(match[3])
            factor = _multiply(powers, factor, last[0], last[1], last[2] * (exponent - 1))
            last = None
        elif match["word"] in _AREAS:
            area = _AREAS[match["word"]]
        else:
            found = _word(match, below=sign < 0)
            if found is None:
                return None
            last = (found[0], found[1], sign)
            factor = _multiply(powers, factor, found[0], found[1], sign * area)
            area, read = 1, True
    if not read:
        return None
    return Unit(tuple(sorted((base, power) for base, power in powers.items() if power)), factor)


def _word(match: re.Match[str], *, below: bool) -> tuple[Dimension, Fraction] | None:
    """A word of the table; below a fraction line any noun (`per student`)."""
    word = (match["degree"] or match["word"]).replace("{", "").replace("}", "").replace(" ", "")
    if match["word"] and len(word) == 1 and word.isalpha() and word not in _BARE_LETTERS:
        return None
    found = TABLE.get(word) or TABLE.get(word.rstrip("."))
    if found is None and below and word.isalpha() and len(word) > 2 and word not in _CHANGING | _GLUE:
        return ((_singular(word), 1),), Fraction(1)
    return found


def _multiply(powers: dict[str, int], factor: Fraction, dimension: Dimension, amount: Fraction, exponent: int) -> Fraction:
    for base, power in dimension:
        powers[base] = powers.get(base, 0) + power * exponent
    return factor * amount**exponent


def _count(text: str, one: bool) -> Unit | None:
    """Things that are counted: at most three words, the last of them a plural noun (`eggs`), no word of which carries meaning."""
    words = text.rstrip(".").split(" ")
    if len(words) > 3 or any(len(word) < 3 or not word.isascii() or not word.isalpha() for word in words):
        return None
    lower = [word.lower() for word in words]
    if any(word in _CHANGING or word in _GLUE or _FRACTION_WORD.fullmatch(word) for word in lower):
        return None
    noun = lower[-1]
    if len(noun) < 4 and not one and noun not in _IRREGULAR:
        return None
    plural = (noun.endswith("s") and not noun.endswith(("ss", "us", "is"))) or noun in _IRREGULAR
    return Unit(((_singular(noun), 1),), Fraction(1)) if plural or one else None


def _singular(noun: str) -> str:
    return noun[:-3] + "y" if noun.endswith("ies") else noun.removesuffix("s")


def carries_meaning(word: str) -> bool:
    """Whether a word beside a number may change its value: scales, parts, operations, comparisons, negations, lone letters."""
    lower = word.lower()
    scale = lower.removesuffix("s") in _SCALE_WORDS
    return scale or lower in _CHANGING or _FRACTION_WORD.fullmatch(lower) is not None or (len(word) == 1 and word not in "aAI")
