import pytest

from tirage.evaluation import Outcome, Ruling, build_improvement_report, compare_paired, decide


def paired(outcomes, wins: int, losses: int, ties: int):
    before = outcomes([[False]] * wins + [[True]] * losses + [[True]] * ties)
    after = outcomes([[True]] * wins + [[False]] * losses + [[True]] * ties)
    return compare_paired(before, after, names=("before", "after"))


@pytest.mark.parametrize(
    ("counts", "margin", "ruling"),
    [
        ((30, 2, 30), 0.0, Ruling.PROMOTE),
        ((30, 2, 30), 0.4, Ruling.UNDECIDED),
        ((2, 30, 30), 0.0, Ruling.REJECT),
        ((5, 3, 50), 0.0, Ruling.UNDECIDED),
        ((3, 3, 300), 0.05, Ruling.REJECT),
        ((0, 0, 40), 0.0, Ruling.UNDECIDED),
    ],
)
def test_rulings(outcomes, counts, margin, ruling):
    assert decide(paired(outcomes, *counts), margin=margin).ruling is ruling


def test_undecided_says_how_many_problems_would_settle_it(outcomes):
    main = paired(outcomes, 8, 4, 88)
    decision = decide(main)
    assert decision.ruling is Ruling.UNDECIDED
    # A difference of 4 points with a half width of about 7: 100 (7 / 4)^2.
    needed = int(decision.reason.split("about ")[1].split(" would")[0])
    assert 200 < needed < 450
    assert "100 paired problems do not settle it" in decision.reason


def test_a_loss_on_guarded_problems_vetoes(outcomes):
    good, bad = paired(outcomes, 30, 2, 30), paired(outcomes, 1, 12, 20)
    assert decide(good, [good]).ruling is Ruling.PROMOTE
    decision = decide(good, [good, bad])
    assert decision.ruling is Ruling.REJECT
    assert "worse than before on guarded problems" in decision.reason


def test_without_pairs_nothing_is_decided():
    apart = compare_paired([Outcome(problem_id="a", correct=True)], [Outcome(problem_id="b", correct=True)])
    assert decide(apart).ruling is Ruling.UNDECIDED
    assert decide(None).ruling is Ruling.UNDECIDED


def test_a_report_guards_its_main_comparison_by_the_unseen_families(outcomes):
    def side(known: bool, unseen: bool) -> list[Outcome]:
        near, far = outcomes([[known]] * 30), [Outcome(problem_id=f"u{i}", family="far", correct=unseen) for i in range(30)]
        return near + far

    better = build_improvement_report({"before": side(False, False), "after": side(True, False)}, unseen=["far"])
    worse = build_improvement_report({"before": side(False, True), "after": side(True, False)}, unseen=["far"])
    assert better.decision is not None
    assert worse.decision is not None
    assert (better.decision.ruling, worse.decision.ruling) == (Ruling.PROMOTE, Ruling.REJECT)
