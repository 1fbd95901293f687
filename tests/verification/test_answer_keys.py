import pytest

from tirage.verification.answer_keys import number_key, text_key


@pytest.mark.parametrize(
    ("left", "right"),
    [("  The  Answer.", "the answer"), ("$x+1$", "x+1"), ("\uff14\uff12", "42"), ("MONDAY", "monday")],
)
def test_text_key_joins(left: str, right: str):
    assert text_key(left) == text_key(right)


@pytest.mark.parametrize(
    ("left", "right"), [("0.5", "1/2"), (".50", "1/2"), ("1,000", "1000"), ("3.", "3"), ("-2/4", "-0.5"), ("1 / 2", "0.5")]
)
def test_number_key_joins_equal_rationals(left: str, right: str):
    assert number_key(left) == number_key(right)


@pytest.mark.parametrize(("left", "right"), [("0.5", "0.51"), ("1,00", "100"), ("1/0", "0"), ("1e9", "1000000000"), ("x=1", "1")])
def test_number_key_keeps_others_apart(left: str, right: str):
    assert number_key(left) != number_key(right)


def test_number_key_is_not_slowed_by_a_hostile_answer():
    assert isinstance(number_key("9" * 100_000), str)
    assert isinstance(number_key("1e1000000000"), str)
