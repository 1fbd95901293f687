import math

import pytest

from tirage.verification.bleu import bleu


@pytest.mark.parametrize(
    ("candidate", "reference", "order", "value"),
    [
        # Clipped counts: 2 of 7 "the" count (the paper's own example), the candidate is longer than the reference.
        ("the the the the the the the", "the cat is on the mat", 1, 2 / 7),
        ("the the the the the the the", "the cat is on the mat", 4, 0.0),
        # p_1..p_4 = 4/5, 3/4, 2/3, 1/2; their product is 1/5.
        ("a b c d e", "a b c d f", 4, 0.2**0.25),
        # Everything is there, but c = 4 and r = 5.
        ("a b c d", "a b c d e", 4, math.exp(1 - 5 / 4)),
        ("x = 1", "x=1", 4, 1.0),
        ("Paris", "Paris", 4, 1.0),
        ("Paris", "Lyon", 4, 0.0),
        ("", "", 4, 1.0),
        ("", "Lyon", 4, 0.0),
    ],
)
def test_against_values_worked_by_hand(candidate, reference, order, value):
    assert bleu(candidate, reference, order=order) == pytest.approx(value, abs=1e-12)
