"""LATS: a leaf in a graph, back-ups by hand, reflections on failures, ends."""

import pytest

from tests.search.toys import Drive, GraphEnv, GraphWorld, Outcome, path_text
from tirage.core import StopReason, Tree
from tirage.search.base import Trial
from tirage.search.lats import LATS

GOALS = ("2101", "0000", "2222", "1210", "0212")


def graph(goal: str, guide: float = 0.0, base: float = 0.5) -> GraphWorld:
    return GraphWorld(GraphEnv(4, 3, goal), guide=guide, base=base)


def test_one_rewarding_leaf_at_depth_four_is_found_and_sooner_with_heuristics() -> None:
    def iterations(goal: str, guide: float, seed: int) -> int:
        search = LATS(n=3, iterations=30, seed=seed)
        drive = Drive(search, graph(goal, guide, base=0.1)).run(5000)
        assert drive.answer == goal
        assert search.done
        assert drive.tree.visits[0] == search.iterations <= 30
        return search.iterations

    blind = [iterations(goal, 0.0, seed) for goal in GOALS for seed in range(3)]
    guided = [iterations(goal, 0.8, seed) for goal in GOALS for seed in range(3)]
    assert set(guided) == {1}
    assert sum(blind) > 5 * sum(guided)


def test_back_ups_by_hand() -> None:
    """n = 2, ahead = 1. The root's children a .9 and b .4; ab is right but worth only .6; everything at depth 3 fails.

    1. root: a, b. On from a: aa .7, ab .6 (an end). The best, aa, is as far as the simulation goes: -1.
    2. root: b is unvisited: ba .2, bb .1; on from ba (.2): baa, bab fail: -1 through baa or bab.
    3. N = 2, Q = -1 and N = 1 for both a and b: the tie goes to a by its value; aa has N = 1, ab is no way down: aa: aaa, aab fail: -1.
    """
    values = {"a": 0.9, "b": 0.4, "aa": 0.7, "ab": 0.6, "ba": 0.2, "bb": 0.1}

    def world(tree: Tree, trial: Trial) -> Outcome:
        letter = "ab"[trial.sample]
        text = path_text(tree, trial.parent) + letter
        return Outcome(
            text=letter, value=values.get(text, 0.0), stop=StopReason.ANSWERED if text == "ab" or len(text) == 3 else StopReason.OPEN
        )

    search = LATS(n=2, ahead=1, iterations=3, seed=0)
    tree = Drive(search, world).run(1000).tree
    assert [path_text(tree, trial) for trial in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)] == [
        "a",
        "b",
        "aa",
        "ab",
        "ba",
        "bb",
        "baa",
        "bab",
        "aaa",
        "aab",
    ]
    assert tree.visits[:7] == [3, 2, 1, 2, 0, 1, 0]
    assert sorted(tree.visits[7:]) == [0, 0, 1, 1]
    assert tree.value_sum[:7] == [-3.0, -2.0, -1.0, -2.0, 0.0, -1.0, 0.0]
    # A running mean, divided once.
    assert search.frontier.q[:4] == [-1.0, -1.0, -1.0, -1.0]


def test_an_end_backs_up_its_worth_and_a_worthless_one_minus_one() -> None:
    worths = {0: 0.25, 1: 0.0}
    for sample, expected in ((0, 0.25), (1, -1.0)):
        drive = Drive(
            LATS(n=1, iterations=1, seed=0),
            lambda tree, trial, sample=sample: Outcome(text="x", value=worths[sample], stop=StopReason.ANSWERED),  # type: ignore[misc]
        ).run(9)
        assert drive.tree.value_sum == [expected, expected]


def test_statistics_stay_in_range_and_every_iteration_counts_once() -> None:
    search = LATS(n=3, iterations=20, seed=4)
    drive = Drive(search, graph("none", guide=0.0)).run(5000)
    tree = drive.tree
    assert tree.visits[0] == search.iterations == 20
    means = [total / count for total, count in zip(tree.value_sum, tree.visits, strict=True) if count]
    assert all(-1 <= mean <= 1 for mean in means)
    for node in tree.nodes:
        below = sum(tree.visits[child] for child in tree.children[node.index])
        assert tree.visits[node.index] == below or not tree.children[node.index]


def test_an_exhausted_subtree_is_never_selected_again_and_a_spent_tree_ends() -> None:
    search = LATS(n=3, iterations=500, seed=4)
    drive = Drive(search, graph("none"))
    closed: set[int] = set()
    while trials := search.ask(drive.tree, 1):
        assert trials[0].parent not in closed
        drive.tell(trials[0])
        closed |= {node.index for node in drive.tree.nodes if search.is_closed(node.index)}
    assert len(drive.tree.nodes) == 1 + 3 + 9 + 27 + 81
    assert search.iterations == 27 < 500
    assert all(search.is_closed(node.index) for node in drive.tree.nodes)


def test_the_depth_limit_is_a_failure() -> None:
    drive = Drive(LATS(n=2, depth=2, iterations=50, seed=0), lambda tree, trial: Outcome(text="x", value=0.5)).run(1000)
    assert max(node.depth for node in drive.tree.nodes) == 2
    assert drive.tree.value_sum[0] == -drive.tree.visits[0] == -2.0


def test_failures_with_a_note_become_lessons_the_most_recent_three() -> None:
    def world(tree: Tree, trial: Trial) -> Outcome:
        if trial.parent == 0:
            return Outcome(text=str(trial.sample), value=0.5)
        text = "abcaade"[trial.sample]
        return Outcome(text=text, value=0.0, stop=StopReason.ANSWERED, note=None if text == "b" else f"not {text}")

    drive = Drive(LATS(n=7, iterations=2, seed=0), world).run(15)
    shown = ["".join(path_text(drive.tree, index)[1:] for index in trial.reflections) for trial in drive.trials]
    assert shown[:8] == [""] * 8
    # "b" has no note, and the second and third "a" are the first one again.
    assert shown[8:] == ["a", "a", "ca", "ca", "ca", "dca", "edc"]
    assert drive.trials[8].reflections == (8,)


def test_a_note_that_comes_late_is_shown_from_then_on() -> None:
    search = LATS(n=2, iterations=5, seed=0)
    drive = Drive(
        search, lambda tree, trial: Outcome(text="x", value=0.0, stop=StopReason.ANSWERED if trial.sample == 0 else StopReason.OPEN)
    )
    drive.run(2)
    (before,) = search.ask(drive.tree, 1)
    drive.tree.notes[1] = "too hasty"
    (after,) = search.ask(drive.tree, 1)
    assert (before.reflections, after.reflections) == ((), (1,))


def test_after_success_nothing_is_asked_and_what_flies_is_kept() -> None:
    search = LATS(n=4, iterations=30, seed=0)
    drive = Drive(search, lambda tree, trial: Outcome(text="x", value=float(trial.sample == 2), stop=StopReason.ANSWERED))
    trials = search.ask(drive.tree, 4)
    for trial in (trials[2], trials[0]):
        drive.tell(trial)
    assert search.done
    assert search.ask(drive.tree, 4) == []
    drive.tell(trials[3])
    assert len(drive.tree.nodes) == 4
    assert drive.tree.visits == [1, 1, 0, 0]


def test_a_node_whose_children_all_broke_backs_nothing_up() -> None:
    drive = Drive(LATS(n=2, iterations=5, seed=0), lambda tree, trial: Outcome(text="", stop=StopReason.ERROR)).run(9)
    assert len(drive.trials) == 2
    assert drive.tree.visits == [0, 0, 0]


def test_the_environment_of_a_node_is_the_same_by_snapshot_and_by_replay() -> None:
    world = graph("none")
    tree = Drive(LATS(n=3, iterations=12, seed=2), world).run(200, batch=6, shuffle=3).tree
    assert len(tree.nodes) > 40
    for node in tree.nodes:
        again = GraphEnv(4, 3, "none")
        for action in path_text(tree, node.index):
            again.step(int(action))
        assert again.snapshot() == world.states[node.index]


@pytest.mark.parametrize("options", [{"w": -1.0}, {"n": 0}, {"ahead": -1}, {"depth": 0}, {"iterations": 0}])
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs"):
        LATS(seed=0, **options)  # type: ignore[arg-type]
