import json

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.evaluation import Context, Outcome, build_improvement_report, compare_runs, sampling_yield, to_plain, wilson


def four(condition):
    families = ("arith", "date", "far")
    return {
        "before": condition(0.1, seed=1, families=families),
        "hinted": condition(0.8, seed=2, families=families),
        "control": condition(0.4, seed=3, families=families),
        "after": condition(0.9, seed=4, families=families),
    }


def test_unseen_families_stay_out_of_the_main_numbers(condition):
    report = build_improvement_report(four(condition), unseen=["far"])
    known, unseen = report.parts
    assert (known.title, unseen.title) == ("Known families", "Unseen families")
    assert [summary.problems for summary in known.conditions.values()] == [80] * 4
    assert [summary.problems for summary in unseen.conditions.values()] == [40] * 4
    assert set(known.families) == {"arith", "date"}
    assert set(unseen.families) == {"far"}
    assert list(known.tiers) == ["8", "9", "10"]
    assert list(known.families["arith"]) == ["before", "hinted", "control", "after"]


def test_conditions_not_measured_on_unseen_families_are_left_out_there():
    made = {
        "before": [Outcome(problem_id="a", correct=True), Outcome(problem_id="b", correct=True, split="unseen")],
        "control": [Outcome(problem_id="a", correct=True)],
    }
    known, unseen = build_improvement_report(made).parts
    assert list(known.conditions) == ["before", "control"]
    assert list(unseen.conditions) == ["before"]
    assert unseen.comparisons == ()


def test_tiers_named_by_size_come_in_the_order_of_size():
    made = [Outcome(problem_id=tier, correct=True, tier=tier) for tier in ("hard", "medium", "easy", "odd")]
    assert list(build_improvement_report({"before": made}).parts[0].tiers) == ["easy", "medium", "hard", "odd"]


def test_problems_of_split_unseen_are_recognised_by_themselves():
    made = {"before": [Outcome(problem_id="a", correct=True), Outcome(problem_id="b", correct=True, split="unseen")]}
    assert [part.conditions["before"].problems for part in build_improvement_report(made).parts] == [1, 1]


def test_standard_comparisons_and_headline(condition):
    report = build_improvement_report(four(condition))
    (part,) = report.parts
    assert part.title == "All problems"
    assert [(paired.first, paired.second) for paired in part.comparisons] == [
        ("before", "after"),
        ("control", "after"),
        ("before", "hinted"),
        ("before", "control"),
    ]
    assert [(gain.first, gain.second) for gain in part.gains] == [(paired.first, paired.second) for paired in part.comparisons]
    paired = part.comparisons[0]
    assert paired.pairs == 120
    assert paired.difference == pytest.approx(part.conditions["after"].accuracy - part.conditions["before"].accuracy)
    assert report.headline.startswith("Accuracy rose from ")
    assert "120 paired problems" in report.headline
    assert "p < 0.001" in report.headline


def test_no_change_is_not_called_one(outcomes):
    before, after = outcomes([[True]] * 5 + [[False]] * 5), outcomes([[True]] * 6 + [[False]] * 4)
    assert "did not change measurably from 50.0 %" in build_improvement_report({"before": before, "after": after}).headline
    assert "p = 1.000" in build_improvement_report({"before": before, "after": after}).headline


def test_a_fall_is_called_one(outcomes):
    report = build_improvement_report({"before": outcomes([[True]] * 12), "after": outcomes([[False]] * 12)})
    assert report.headline.startswith("Accuracy fell from 100.0 % (before) to 0.0 % (after): −100.0 points")


def test_missing_and_empty_conditions_do_not_break_it(condition):
    assert build_improvement_report({}).headline == ""
    report = build_improvement_report({"before": condition(0.5, seed=1), "after": []})
    assert report.parts[0].conditions["after"].accuracy is None
    assert report.parts[0].comparisons == ()


def test_a_comparison_of_an_unknown_condition_is_refused(condition):
    with pytest.raises(ConfigError, match="'afetr'; measured were: before"):
        build_improvement_report({"before": condition(0.5, seed=1)}, pairs=[("before", "afetr")])


def test_two_runs_agree_byte_for_byte_outside_of_timing(condition):
    def run(seconds: float) -> dict:
        return to_plain(build_improvement_report(four(condition), yields={"hinted": four(condition)["hinted"]}, timing={"total": seconds}))

    first, second = run(1.0), run(2.0)  # the fixture's wall times differ at every call
    assert json.dumps(first["deterministic"]) == json.dumps(second["deterministic"])
    assert first["timing"]["conditions"] != second["timing"]["conditions"]
    assert "wall" not in json.dumps(first["deterministic"])


def test_context_is_kept(condition):
    context = Context(title="T", notes=["n"], lineage={"checkpoint": "c"}, sections={"S": {"k": 1}}, next_command="go")
    report = build_improvement_report(four(condition), context=context, datasets={"d": {"sampled": 3, "kept": 1}})
    assert (report.title, report.notes, report.lineage, report.next_command) == ("T", ("n",), {"checkpoint": "c"}, "go")
    assert report.sections[0].rows == {"k": 1}
    assert list(report.datasets["d"].items()) == [("sampled", 3), ("kept", 1)]


def test_yield_by_hand(outcomes):
    item = sampling_yield("hinted", outcomes([[True, False], [None, True], [False, False]], tokens_out=10))
    assert (item.samples, item.verified, item.ungraded, item.tokens_out) == (6, 2, 1, 60)
    assert item.share == pytest.approx(1 / 3)
    assert item.tokens_per_verified == 30.0
    assert item.interval == wilson(1.0, 3)  # three problems: Wilson on problems, the mean of 1/2, 1/2, 0 being 1/3
    nothing = sampling_yield("none", [])
    assert (nothing.share, nothing.interval, nothing.tokens_per_verified) == (None, None, None)


def test_yield_interval_surrounds_the_share_when_problems_have_unequal_samples(outcomes):
    item = sampling_yield("mixed", outcomes([[True]] * 20 + [[False] * 9] * 10))
    assert item.interval is not None
    assert item.interval.low < item.share < item.interval.high
    assert item.share == pytest.approx(20 / 110)


def test_compare_runs(condition):
    report = compare_runs(condition(0.2, seed=1), condition(0.7, seed=2), names=("greedy", "mcts"))
    (paired,) = report.parts[0].comparisons
    assert (report.title, paired.first, paired.second, paired.pairs) == ("greedy against mcts", "greedy", "mcts", 80)
    assert paired.difference > 0.3


def test_runs_that_cannot_be_compared_are_refused(outcomes):
    here, there = outcomes([[True]]), [Outcome(problem_id="elsewhere", correct=True)]
    with pytest.raises(DataError, match=r"first \(1 outcomes\) and second \(1 outcomes\) share no problem"):
        compare_runs(here, there)
    with pytest.raises(DataError, match="both runs are called 'a'"):
        compare_runs(here, here, names=("a", "a"))
