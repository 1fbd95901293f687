"""Beam, DVTS, look-ahead, best-first, depth-first and halving: the shapes of their trees, by hand."""

import inspect
import math
import random
import sys

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
    # After both candidates and their look-aheads 1 is kept; its look-ahead 10 counts as a child, goes on, and one more is drawn.
    assert parents(drive) == ["", "0", "", "1", "10", "1", "11"]


def test_a_child_that_a_look_ahead_made_is_rated_by_a_look_ahead_of_its_own() -> None:
    """Width 1, branch 2, two steps ahead: 0 is kept by 000 (.9); then 00 goes on to 0000 (.2) and loses to 01, whose chain ends at .3."""
    values = {"000": 0.9, "100": 0.1, "00": 0.95, "0000": 0.2, "0100": 0.3}
    drive = Drive(Beam(width=1, branch=2, lookahead=2), table(values)).run(13)  # type: ignore[arg-type]
    assert parents(drive) == ["", "0", "00", "", "1", "10", "000", "0", "01", "010", "0100", "01", "011"]


@pytest.mark.parametrize("lookahead", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("batch", [1, 4, 8])
@pytest.mark.parametrize(("width", "branch", "groups"), [(1, 1, 1), (2, 3, 1), (1, 2, 3)])
def test_what_left_the_beam_is_never_extended(lookahead: int, batch: int, width: int, branch: int, groups: int) -> None:
    def act(tree: Tree, trial: Trial) -> Outcome:
        text = path_text(tree, trial.parent) + str(trial.sample)
        stop = StopReason.ANSWERED if len(text) > 60 or (len(text) > 2 and sum(map(int, text)) % 7 == 6) else StopReason.OPEN
        return Outcome(text=text[-1], value=random.Random(text).random(), stop=stop)

    search = Beam(width=width, branch=branch, groups=groups, lookahead=lookahead)
    drive = Drive(search, act)
    closed: set[int] = set()
    waiting: list[Trial] = []
    rng = random.Random(batch)
    for _ in range(400):
        waiting += search.ask(drive.tree, batch - len(waiting))
        if not waiting:
            break
        assert not closed & {trial.parent for trial in waiting}
        drive.tell(waiting.pop(rng.randrange(len(waiting))))
        closed |= {node.index for node in drive.tree.nodes if search.is_closed(node.index)}
    assert all(len(children) <= max(branch, 1) for children in drive.tree.children[1:])
    assert max(node.depth for node in drive.tree.nodes) > 3


def test_a_look_ahead_longer_than_the_stack_is_deep() -> None:
    """One child per node: once the chain has ended, rounds order nothing, one after the other."""
    limit = sys.getrecursionlimit()
    drive = Drive(Beam(width=1, branch=1, lookahead=400), table({}, ends=400))  # type: ignore[arg-type]
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        drive.run(5000)
    finally:
        sys.setrecursionlimit(limit)
    assert [node.depth for node in drive.tree.nodes] == list(range(401))
    assert drive.search.ask(drive.tree, 1) == []
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)


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
    assert [trial.siblings for trial in drive.trials] == [(), (), (), (2,), ()]
    chain = Drive(DepthFirst(width=1, aware=True), act).run(20)
    assert not chain.answers, "one attempt per node is ReAct, which fails here"


def test_halving_by_hand() -> None:
    # n = 16, m = 4: two phases of 8 visits, 2 for each of 4, then 4 for each of 2.
    assert halving(16, 4) == [(4, 2), (2, 4)]
    # n = 32, m = 8: 32 // 3 = 10: 1 each for 8, 2 each for 4, the 16 left for 2.
    assert halving(32, 8) == [(8, 1), (4, 2), (2, 8)]
    assert halving(5, 5) == [(5, 1)]
    assert halving(3, 1) == [(1, 3)]
    # n = 17, m = 4: 8 and 8, and the one left for the best.
    assert halving(17, 4) == [(4, 2), (2, 4), (1, 1)]
    for n in range(1, 60):
        for m in range(1, n + 1):
            assert sum(count * visits for count, visits in halving(n, m)) == n


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


def test_an_action_without_a_value_is_completed_by_the_mixed_value() -> None:
    """Priors .5, .3, .2; q .6 and .2, one visit each; the third broke. The root has no value of its own.

    v_mix = (.5 * .6 + .3 * .2) / .8 = .45. sigma = (50 + 1) q * .1: 3.06, 1.02, 2.295; weights .5 e^3.06, .3 e^1.02, .2 e^2.295 =
    10.664, .8320, 1.9849: shares .7910, .0617, .1472. With .7 as the root's own value v_mix = (.7 + 2 * .45) / 3 = .5333: sigma 2.72,
    weight 3.0361, shares .7339, .0573, .2089.
    """
    outcomes = [Outcome(text="", value=0.6, prior=0.5), Outcome(text="", value=0.2, prior=0.3)]
    outcomes.append(Outcome(text="", stop=StopReason.ERROR, prior=0.2))
    search = GumbelHalving(simulations=3, considered=3, c_scale=0.1)
    drive = Drive(search, lambda tree, trial: outcomes[trial.sample]).run(3)
    assert list(search.policy_target(drive.tree).values()) == pytest.approx([0.7910, 0.0617, 0.1472], abs=1e-4)
    drive.tree.values[ROOT] = 0.7
    assert list(search.policy_target(drive.tree).values()) == pytest.approx([0.7339, 0.0573, 0.2089], abs=1e-4)


def test_a_prior_of_zero_is_no_certainty() -> None:
    priors = [0.0, 1.0]
    search = GumbelHalving(simulations=2, considered=2)
    drive = Drive(search, lambda tree, trial: Outcome(text="", value=0.9 - 0.8 * trial.sample, prior=priors[trial.sample])).run(2)
    assert list(search.policy_target(drive.tree).values()) == pytest.approx([0.0, 1.0])
    nothing = Drive(GumbelHalving(simulations=2, considered=2), lambda tree, trial: Outcome(text="", value=0.5, prior=0.0)).run(2)
    assert list(nothing.search.policy_target(nothing.tree).values()) == [0.5, 0.5]  # type: ignore[attr-defined]


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(("simulations", "considered"), [(17, 4), (31, 8), (40, 7), (23, 1), (9, 9)])
def test_the_whole_budget_is_spent(simulations: int, considered: int, batch: int) -> None:
    """Also when candidates end at once: their visits go to the others."""

    def act(tree: Tree, trial: Trial) -> Outcome:
        ended = trial.parent == ROOT and trial.sample % 3 == 2
        return Outcome(text="x", value=0.9 if ended else 0.5, stop=StopReason.ANSWERED if ended else StopReason.OPEN)

    drive = Drive(GumbelHalving(simulations=simulations, considered=considered, width=3), act).run(99, batch=batch, shuffle=1)
    assert len(drive.trials) == simulations
    assert drive.search.ask(drive.tree, 1) == []
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)


def test_the_answer_is_the_surviving_actions_best() -> None:
    """Three answers below 0, worth less, outweigh the best one below 1, the action with the better mean."""
    values = {"0": 0.5, "00": 0.5, "01": 0.5, "02": 0.5, "1": 0.9, "10": 0.8, "11": 0.3, "12": 0.9}

    def act(tree: Tree, trial: Trial) -> Outcome:
        text = path_text(tree, trial.parent) + str(trial.sample)
        return Outcome(text=text[-1], value=values[text], stop=StopReason.ANSWERED if len(text) == 2 else StopReason.OPEN)

    drive = Drive(GumbelHalving(simulations=8, considered=2, width=3), act).run(8)
    same = {leaf: "few" if text.startswith("1") and text != "12" else "many" for leaf, text in drive.answers.items() if text}
    assert drive.answer == "12"
    assert path_text(drive.tree, drive.search.choose(drive.tree, same)) == "12"
    del same[next(leaf for leaf, text in drive.answers.items() if text == "12")]
    assert path_text(drive.tree, drive.search.choose(drive.tree, same)) == "10"


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
