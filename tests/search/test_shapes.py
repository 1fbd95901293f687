"""Beam, DVTS, look-ahead, best-first, depth-first and halving: the shapes of their trees, by hand."""

import math

import pytest

from tests.search.toys import Drive, Outcome, new_tree, path_text, step
from tirage.core import StopReason, Tree
from tirage.core.tree import ROOT
from tirage.search.base import Trial
from tirage.search.beam import Beam
from tirage.search.best_first import BestFirst
from tirage.search.dfs import DepthFirst
from tirage.search.gumbel import GumbelHalving, halving


def table(values: dict[str, float], *, ends: int = 9) -> "object":
    """Values by the path of draws; 0.1 elsewhere. Paths end at length `ends`."""

    def act(tree: Tree, trial: Trial) -> Outcome:
        text = path_text(tree, trial.parent) + str(trial.sample)
        stop = StopReason.ANSWERED if len(text) >= ends else StopReason.OPEN
        return Outcome(text=text[-1], value=values.get(text, 0.1), stop=stop)

    return act


def parents(drive: Drive) -> list[str]:
    return [path_text(drive.tree, trial.parent) for trial in drive.trials]


def test_a_beam_keeps_the_best_of_each_round() -> None:
    drive = Drive(Beam(width=2, branch=2), table({"1": 0.9, "3": 0.8, "10": 0.2, "31": 0.7, "30": 0.6}, ends=3))  # type: ignore[arg-type]
    drive.run(12)
    # Four draws from the root; 1 and 3 are kept; then 31 and 30.
    assert parents(drive) == [""] * 4 + ["1", "3", "1", "3"] + ["30", "31", "30", "31"]
    assert drive.search.ask(drive.tree, 4) == []
    assert path_text(drive.tree, 1) == "0"
    assert drive.search.is_closed(1)


def test_groups_do_not_compete() -> None:
    """DVTS: two groups of width 1 and branch 2; draws 0, 2 belong to the first, 1, 3 to the second."""
    drive = Drive(Beam(width=1, branch=2, groups=2), table({"0": 0.9, "2": 0.8, "1": 0.2, "3": 0.3}, ends=2)).run(8)  # type: ignore[arg-type]
    assert parents(drive) == [""] * 4 + ["0", "3", "0", "3"]


def test_look_ahead_rates_by_what_follows_and_keeps_the_steps() -> None:
    values = {"0": 0.9, "1": 0.1, "00": 0.0, "10": 1.0}
    drive = Drive(Beam(width=1, branch=2, lookahead=1), table(values, ends=3)).run(7)  # type: ignore[arg-type]
    # After both candidates and their look-aheads 1 is kept; its look-ahead 10 counts as a child, so one more is drawn.
    assert parents(drive)[:4] == ["", "0", "", "1"]
    assert parents(drive)[4:5] == ["1"]
    assert len(drive.tree.children[drive.tree.children[ROOT][1]]) == 2


def test_a_round_waits_for_all_its_trials() -> None:
    search, tree = Beam(width=1, branch=2), new_tree()
    first, second = search.ask(tree, 9)
    tree.values[1] = 0.5
    search.tell(tree, first, tree.add(ROOT, step("a")))
    assert search.ask(tree, 9) == []
    search.tell(tree, second, None)
    assert [trial.parent for trial in search.ask(tree, 9)] == [1, 1]


def test_best_first_follows_the_highest_value_anywhere() -> None:
    drive = Drive(BestFirst(width=2), table({"0": 0.5, "1": 0.6, "10": 0.3, "11": 0.2, "00": 0.55})).run(8)  # type: ignore[arg-type]
    assert parents(drive) == ["", "", "1", "1", "0", "0", "00", "00"]


def test_depth_first_goes_back_below_the_threshold() -> None:
    drive = Drive(DepthFirst(width=2, threshold=0.5, answers=2), table({"0": 0.9, "00": 0.2, "01": 0.8, "010": 1.0, "011": 1.0}, ends=3))  # type: ignore[arg-type]
    drive.run(20)
    assert [path_text(drive.tree, node.index) for node in drive.tree.nodes[1:]] == ["0", "00", "01", "010", "011"]
    assert drive.search.ask(drive.tree, 1) == []


def test_dfsdt_tells_each_attempt_of_its_siblings_and_goes_back_two_levels() -> None:
    """The first branch gives up at depth 3: its sibling there is skipped and the grandparent's loop goes on."""

    def act(tree: Tree, trial: Trial) -> Outcome:
        text = path_text(tree, trial.parent) + str(trial.sample)
        if text == "000":
            return Outcome(text="0", stop=StopReason.GAVE_UP)
        return Outcome(text=text[-1], stop=StopReason.ANSWERED if text == "010" else StopReason.OPEN)

    drive = Drive(DepthFirst(aware=True), act).run(20)
    assert [path_text(drive.tree, node.index) for node in drive.tree.nodes[1:]] == ["0", "00", "000", "01", "010"]
    assert [trial.beside for trial in drive.trials] == [(), (), (), (2,), ()]
    chain = Drive(DepthFirst(width=1, aware=True), act).run(20)
    assert not chain.answers, "one attempt per node is ReAct, which fails here"


def test_halving_by_hand() -> None:
    # n = 16, m = 4: two phases of 8 visits, 2 for each of 4, then 4 for each of 2.
    assert halving(16, 4) == [(4, 2), (2, 4)]
    # n = 32, m = 8: 32 // 3 = 10: 1 each for 8, 2 each for 4, the 16 left for 2.
    assert halving(32, 8) == [(8, 1), (4, 2), (2, 8)]
    assert halving(5, 5) == [(5, 1)]
    assert halving(3, 1) == [(1, 3)]
    for n in range(1, 60):
        for m in range(1, n + 1):
            assert sum(count * visits for count, visits in halving(n, m)) <= n


def test_gumbel_spends_on_the_better_half() -> None:
    drive = Drive(GumbelHalving(simulations=16, considered=4, width=2), table({"2": 0.9, "1": 0.6})).run(99)  # type: ignore[arg-type]
    visits = [drive.tree.visits[child] for child in drive.tree.children[ROOT]]
    assert visits == [2, 6, 6, 2]
    assert len(drive.tree.nodes) - 1 == 16
    target = drive.search.policy_target(drive.tree)  # type: ignore[attr-defined]
    assert math.fsum(target.values()) == pytest.approx(1.0)


def test_the_improved_policy_by_hand() -> None:
    """Two children, priors 0.5, one visit each, q = 0.02 and 0.04: (50 + 1) q = 1.02, 2.04; softmax of those: 0.2650, 0.7350."""
    drive = Drive(GumbelHalving(simulations=2, considered=2), table({"0": 0.02, "1": 0.04}))  # type: ignore[arg-type]
    drive.run(2)
    assert list(drive.search.policy_target(drive.tree).values()) == pytest.approx([0.2650, 0.7350], abs=1e-4)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Beam(width=0),
        lambda: Beam(lookahead=-1),
        lambda: BestFirst(width=0),
        lambda: DepthFirst(answers=0),
        lambda: GumbelHalving(considered=9, simulations=3),
    ],
)
def test_senseless_options_are_refused(bad: "object") -> None:
    with pytest.raises(ValueError, match=r"needs"):
        bad()  # type: ignore[operator]
