import pytest

from tirage.verification.statements import stated


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("64, in total, so the baker earns that much", "64"),
        ("64; therefore he is late", "64"),
        ("sixty-four (64)", "64"),
        ("approximately 64", "64"),
        ("therefore 64", "64"),
        ("64 because 8*8 = 64", "64"),
        ("64, since 8*8 = 64", "64"),
        ("64 and not 60", "64"),
        ("**$64** dollars", "$64 dollars"),
        ("Maria saves 64 euros every week", "64 euros"),
        ("40%, or 2/5", "40%"),
        ("64!", "64"),
        ("$4!$", "4!"),
        (r"\(9\), as claimed", "9"),
        ("5/6 of the pie", "5/6"),
        ("64</answer>", "64"),
        ("64<|im_end|>", "64"),
        (r"\frac{2}{9}, which is less than one", r"\frac{2}{9}"),
        # Nothing that may mean something is dropped.
        ("40, or 50", "40, or 50"),
        ("at least 64", "at least 64"),
        ("64 or more", "64 or more"),
        ("3 more than x", "3 more than x"),
        ("64 if True", "64 if True"),
        ("7 squared", "7 squared"),
        ("3 apples and 4 pears", "3 apples and 4 pears"),
        ("1, 2, and 3", "1, 2, and 3"),
        ("not 64", "not 64"),
        ("sqrt 5", "sqrt 5"),
        ("red, green and blue", "red, green and blue"),
    ],
)
def test_the_answer_in_a_sentence(sentence, answer):
    assert stated(sentence) == answer


def test_strictly_an_amount_needs_a_verb():
    assert stated("the largest $n$ is 34", strict=True) == "34"
    assert stated("7 wild guesses at it", strict=True) == "7 wild guesses at it"
