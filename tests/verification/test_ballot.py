import pytest

from tirage.verification.ballot import classes, plurality, winners


def test_what_means_the_same_is_one_class():
    assert classes(["1/2", None, "0.5", "7", "7.0", "\\text{blue}", "blue"]) == [0, -1, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("answers", "weights", "winner"),
    [
        ([], None, None),
        ([None, None], None, None),
        (["A", "B", "A"], None, 0),
        (["B", "0.5", "1/2"], None, 1),
        (["A", "B"], None, 0),
        (["A", "B"], [0.2, 0.3], 1),
        (["A", "B", "B"], [0.0, 0.0, 0.0], 1),
        ([None, "B"], [5.0, 0.1], 1),
    ],
)
def test_the_heaviest_class_wins(answers, weights, winner):
    assert plurality(answers, weights) == winner


@pytest.mark.parametrize(
    ("answers", "places"),
    [
        (["A", "B", "A"], [0, 2]),
        (["0.5", "2", "1/2", "\\frac{1}{2}"], [0, 2, 3]),
        (["1", "2", "2", "1"], [0, 3]),
        ([None, "7", None, None], [1]),
        ([None], []),
        ([], []),
    ],
)
def test_plurality_is_by_class(answers, places):
    assert winners(answers) == places
