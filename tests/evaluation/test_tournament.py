import math
import random
from itertools import permutations

import pytest

from tirage.evaluation.intervals import wilson
from tirage.evaluation.tournament import CENTRE, Match, bradley_terry, rank, schedule


def match(item, pro, con, winner):
    return Match(item=item, pro=pro, con=con, winner=winner)


def test_every_ordered_pair_is_held_once():
    assert schedule(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
    # The paper's tournament: eleven models over 50 items.
    assert len(schedule([str(n) for n in range(11)])) * 50 == 5500
    for wrong in ([], ["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="at least two models"):
            schedule(wrong)


def test_a_table_worked_by_hand():
    # Item 1: a beats b on both sides. Item 2: the defender wins both. Item 3 is void one way, so it counts neither way.
    played = [
        match("1", "a", "b", "pro"),
        match("1", "b", "a", "con"),
        match("2", "a", "b", "pro"),
        match("2", "b", "a", "pro"),
        match("3", "a", "b", None),
        match("3", "b", "a", "pro"),
    ]
    table = rank(played, ["b", "a"])
    first, second = table.standings
    assert (table.matches, table.balanced, table.undecided) == (6, 4, 1)
    assert (first.model, first.wins, first.total.rate, first.pro.rate, first.con.rate) == ("a", 3, 0.75, 1.0, 0.5)
    assert (second.model, second.wins, second.total.rate, second.pro.rate, second.con.rate) == ("b", 1, 0.25, 0.5, 0.0)
    assert (table.pro.won, table.pro.of) == (3, 4)
    assert first.pro.interval == wilson(2, 2)
    # Half a win each beforehand: odds (3 + 0.5) / (1 + 0.5), so 400 log10(7/3) = 147.19 points apart.
    assert first.rating - second.rating == pytest.approx(400 * math.log10(3.5 / 1.5), abs=0.1)
    assert first.rating + second.rating == pytest.approx(2 * CENTRE)


def test_the_order_of_matches_and_models_changes_nothing():
    draw, models = random.Random(3), ["d", "a", "c", "b"]
    played = [match(str(item), pro, con, draw.choice(["pro", "pro", "con"])) for pro, con in schedule(models) for item in range(5)]
    table = rank(played, models)
    for order in permutations(models):
        shuffled = draw.sample(played, len(played))
        assert rank(shuffled, order) == table


def test_what_the_side_is_worth_cancels():
    models = ["same", "same again"]
    table = rank([match(str(item), pro, con, "pro") for pro, con in schedule(models) for item in range(8)], models)
    assert [standing.wins for standing in table.standings] == [8, 8]
    assert table.pro.rate == 1.0
    assert [standing.rating for standing in table.standings] == [CENTRE, CENTRE]


def test_nothing_decided_and_played_twice():
    table = rank([match("1", "a", "b", None)], ["a", "b"])
    assert [(standing.wins, standing.total.rate, standing.rating) for standing in table.standings] == [(0, None, CENTRE)] * 2
    with pytest.raises(ValueError, match="there twice"):
        rank([match("1", "a", "b", "pro")] * 2, ["a", "b"])


def test_ratings_of_three_follow_the_model():
    # Odds a:b = 3 and b:c = 3 without any prior are strengths 9 : 3 : 1, where a:c is 9 to 1.
    wins = [("a", "b")] * 3 + [("b", "a")] + [("b", "c")] * 3 + [("c", "b")] + [("a", "c")] * 9 + [("c", "a")]
    ratings = bradley_terry(wins, ["c", "b", "a"], draws=1e-9)
    assert ratings["a"] - ratings["b"] == pytest.approx(400 * math.log10(3), abs=1e-3)
    assert ratings["b"] - ratings["c"] == pytest.approx(400 * math.log10(3), abs=1e-3)
