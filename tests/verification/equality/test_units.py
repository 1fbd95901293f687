from fractions import Fraction

import pytest

from tirage.verification.equality.equivalence import quick_equal
from tirage.verification.equality.units import carries_meaning, read_unit


@pytest.mark.parametrize(
    ("text", "dimension", "factor"),
    [
        ("cm", (("m", 1),), Fraction(1, 100)),
        ("cm^{2}", (("m", 2),), Fraction(1, 10_000)),
        ("square feet", (("m", 2),), Fraction("0.3048") ** 2),
        ("m/s^2", (("m", 1), ("s", -2)), 1),
        ("miles per hour", (("m", 1), ("s", -1)), Fraction("1609.344") / 3600),
        ("kWh", (("kg", 1), ("m", 2), ("s", -2)), 3_600_000),
        ("cents", (("USD", 1),), Fraction(1, 100)),
        ("fresh eggs", (("egg", 1),), 1),
        ("dollars per day", (("USD", 1), ("s", -1)), Fraction(1, 86_400)),
        ("sq. units", (), 1),
    ],
)
def test_units_by_hand(text, dimension, factor):
    unit = read_unit(text)
    assert unit is not None
    assert (unit.dimension, unit.factor) == (dimension, factor)


@pytest.mark.parametrize(
    "text", ["x", "sin x", "more", "or more", "gcd", "squared", "tenths", "halves", "y^{2}", "plus", "in 4", "if True", r"\cdots", "", "e"]
)
def test_what_is_no_unit(text):
    assert read_unit(text) is None


@pytest.mark.parametrize(("text", "attached"), [("m", True), ("s", True), ("g", True)])
def test_a_letter_attached_to_a_number_is_a_variable(text, attached):
    assert read_unit(text, attached=attached) is None
    assert read_unit(text) is not None


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("7 hours", "7 minutes", False),
        ("120 minutes", "2 hours", True),
        ("2 hours and 30 minutes", "150 minutes", True),
        ("5 ft 6 in", "66 inches", True),
        ("30 m", "30 km", False),
        ("30 m", "3000 cm", True),
        ("9 lb", "9 kg", False),
        ("9 kg", "9", True),
        ("9", "9 kg", True),
        ("12 apples", "12 pears", False),
        ("12 apples", "12", True),
        ("$4", "4 dollars", True),
        ("$4", "4 euros", False),
        ("$4 per hour", "$4", True),
        ("400 cents", "$4", True),
        ("4 cents", "$4", False),
        ("60 km/h", "60 mph", False),
        ("9.8 m/s^2", "9.8 m/s", False),
        ("40 °C", "40 °F", False),
        ("40°", "40 degrees", True),
        ("5 lakh", "500,000", True),
        ("5 lakh", "5", False),
        ("6 thousandths", "0.006", True),
        ("4 thirds", "4", False),
        ("4M", "4", False),
        ("4M", "4,000,000", True),
        ("250K", "250", True),
        ("250K", "250000", True),
        ("3mm", "3", True),
        ("3 mm", "3,000,000", False),
        ("22nd", "22", True),
        ("22^{nd}", "22", True),
        ("negative 6", "-6", True),
        ("negative 6", "6", False),
    ],
)
def test_quantities_with_units(answer, gold, equal):
    assert quick_equal(answer, gold) is equal


@pytest.mark.parametrize("answer", ["6y", "6 z", "6 sin x", "6 or more", "6 gcd", "6 squared", "6 mod 4", "6 more than x", "6e", "6k"])
def test_what_stands_behind_a_number_and_is_not_known_leaves_it_undecided(answer):
    assert quick_equal(answer, "6") is None


def test_words_that_change_a_number():
    assert [word for word in "eighteen dollars million tenths not per x every contents".split() if carries_meaning(word)] == [
        "million",
        "tenths",
        "not",
        "x",
    ]
