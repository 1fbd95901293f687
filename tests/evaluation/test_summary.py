import pytest

from tirage.evaluation import Measuring, Outcome, number_key, summarise
from tirage.evaluation.summary import grouped


def test_a_summary_by_hand():
    made = [
        Outcome(problem_id="a", correct=True, used_tool=True, tokens_in=5, tokens_out=10, model_calls=2, stop="answered"),
        Outcome(problem_id="b", correct=False, used_tool=True, hinted=True, tokens_out=20, model_calls=1, stop="length"),
        Outcome(problem_id="c", correct=False, tokens_out=30, model_calls=1, stop="answered"),
        Outcome(problem_id="d", correct=None, error="sandbox: X: y", tokens_out=0),
    ]
    summary = summarise(made)
    assert (summary.problems, summary.samples, summary.ungraded, summary.broken) == (4, 4, 1, 1)
    assert summary.accuracy == pytest.approx(1 / 3)
    assert (summary.tool_rate, summary.hint_rate) == (0.5, 0.25)
    assert (summary.accuracy_with_tool, summary.accuracy_without_tool) == (0.5, 0.0)
    assert (summary.tokens_in, summary.tokens_out, summary.model_calls) == (1.25, 15.0, 1.0)
    assert list(summary.stops.items()) == [("answered", 2), ("length", 1), ("nothing produced", 1)]
    assert summary.at_k == {}
    assert summarise(made, Measuring(ungraded_as_wrong=True)).accuracy == 0.25


def test_an_empty_summary_is_unknown():
    summary = summarise([])
    assert (summary.problems, summary.accuracy, summary.interval, summary.tool_rate, summary.tokens_out) == (0, None, None, None, None)


def test_all_ungraded_has_no_interval(outcomes):
    summary = summarise(outcomes([[None], [None]]))
    assert (summary.ungraded, summary.accuracy, summary.interval) == (2, None, None)


def test_several_samples_give_estimates_up_to_the_smallest_pool():
    made = [
        Outcome(problem_id=p, sample=i, correct=i < 2, answer="1/2" if i == 0 else "0.5" if i == 1 else "7") for p in "ab" for i in range(6)
    ]
    made = made[:-1]  # problem b has five
    summary = summarise(made, Measuring(key=number_key))
    assert set(summary.at_k) == {"pass@2", "pass@4", "pass@5", "maj@4", "maj@5"}
    assert summary.at_k["pass@5"] == 1.0
    # a: 2 right, 4 wrong of 6, k = 5: the wrong class has at least three votes. b: all five drawn, 2 against 3.
    assert summary.at_k["maj@5"] == 0.0


def test_groups_sort_naturally_and_keep_the_order_of_conditions(outcomes):
    tiers = grouped(
        {
            "b": outcomes([[True]], tier="10") + outcomes([[False]], tier="9") + outcomes([[True]], tier="x2y"),
            "a": outcomes([[True]], tier="9"),
        },
        lambda outcome: outcome.tier,
    )
    assert list(tiers) == ["9", "10", "x2y"]
    assert list(tiers["9"]) == ["b", "a"]
    assert list(tiers["10"]) == ["b"]


def test_a_few_ungraded_samples_do_not_shrink_k(outcomes):
    rows = [[True, False, True, False]] * 39 + [[True, None, True, False]]
    assert set(summarise(outcomes(rows)).at_k) == {"pass@2", "pass@4", "maj@4"}
