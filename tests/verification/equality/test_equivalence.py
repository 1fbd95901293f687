from fractions import Fraction

import pytest

from tirage.verification.equality.equivalence import is_prose, normalise, parse_quantity, quick_equal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("+5", 5),
        ("-7", -7),
        ("−7", -7),
        ("$1,234.50", Fraction("1234.5")),
        ("-$3", -3),
        ("\\$18", 18),
        ("1 234", 1234),
        ("3/4", Fraction(3, 4)),
        (r"-\frac{3}{4}", Fraction(-3, 4)),
        (r"\dfrac{1}{2}", Fraction(1, 2)),
        (r"\frac12", Fraction(1, 2)),
        ("2 1/2", Fraction(5, 2)),
        (r"2\frac{1}{2}", Fraction(5, 2)),
        ("12%", 12),
        ("12 percent", 12),
        ("1.5e3", 1500),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("3 million", 3_000_000),
        ("2 dozen eggs", 24),
        ("18 dollars per day", 18),
        (r"5\text{ cm}", 5),
        ("12 cm^2", 12),
        (r"\(4", None),
        ("1,23", None),
        ("1/0", None),
        ("17, 18", None),
        ("17 or 18", None),
        ("x", None),
        ("", None),
        ("-", None),
        ("2x+1", None),
        ("1" * 500, None),
    ],
)
def test_plain_numbers(text, value):
    quantity = parse_quantity(text)
    assert (None if quantity is None else quantity.value) == value


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("18.00", "18", True),
        ("0.5", "1/2", True),
        ("0.333333", "1/3", True),
        ("0.33", "1/3", False),
        ("50%", "0.5", True),
        ("50", "50%", True),
        ("5%", "0.5", False),
        ("12345679", "12345678", False),
        ("1234567.9", "1234567", False),
        ("0.000000002", "0.000000001", False),
        ("100000000000.1", "100000000000.1000001", True),
        (r"\frac{9999999}{10000000}", "1", False),
        ("1.6e-19", r"1.6 \times 10^{-19}", True),
        ("9.11e-31", "6.63e-34", False),
        ("0.666667", "2/3", True),
        ("0.666666", "2/3", True),
        ("0.66667", "2/3", False),
        ("1.0000001", "1", False),
        ("12,34,567", "1234567", True),
        ("7e", "7", None),
        ("½", "0.5", True),
        ("﹣3", "-3", True),
        ("3 thousand", "3", False),
        ("monday", r"\text{Monday}", True),
        ("sky blue", "blue sky", False),
        ("eighteen", "18", False),
        (r"\left( 1, 2 \right)", "(1, 2)", None),
        ("x=5", "5", None),
        (r"\pi", "3.14", None),
        ("pi", "3.14", None),
        ("(x+1)^2", "x^2+2x+1", None),
    ],
)
def test_quick_equal(answer, gold, equal):
    assert quick_equal(answer, gold) is equal


def test_normalise_keeps_what_has_meaning():
    assert normalise(r"$\left(\dfrac{1}{2}\right)$.") == r"(\frac{1}{2})"
    assert normalise(r"a \\ b") == r"a \\ b"
    assert normalise(r"x \leftarrow y") == r"x \leftarrow y"
    assert normalise(r"1\,000") == "1 000"


def test_prose():
    assert is_prose("blue sky")
    assert not is_prose("x")
    assert not is_prose("2 apples")
    assert not is_prose(r"\pi r")
