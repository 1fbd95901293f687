"""Plan search: the first selections by hand, a needle, ends, preference pairs."""

import pytest

from tests.search.toys import PRIORS, VALUES, Drive, Outcome, new_tree, path_text, step
from tirage.core import StopReason, Tree
from tirage.search.base import Trial
from tirage.search.plans import PlanSearch, preference_pairs


def by_hand(tree: Tree, trial: Trial) -> Outcome:
    """Three children each; below the root the third is an end: malformed below a, right below b, wrong elsewhere."""
    letter = "abc"[trial.sample]
    text = path_text(tree, trial.parent) + letter
    if trial.parent == 0 or letter != "c":
        return Outcome(text=letter, value=VALUES.get(text, 0.0), prior=PRIORS[trial.sample])
    if text == "ac":
        return Outcome(text=letter, stop=StopReason.MALFORMED, prior=0.1)
    return Outcome(text=letter, value=1.0 if text == "bc" else -1.0, stop=StopReason.ANSWERED, prior=0.1)


def test_the_first_eight_selections_by_hand() -> None:
    """Q + 1.5 P sqrt(N_p) / (1 + N); each expansion also backs up its end, so N(root) grows by two after the first.

    1. root, worth 0: N = 1.
    2. N_p = 1: a .9, b .45, c .15: a, worth .2, its end -1: Q(a) = -.4, N(a) = 2.
    3. N_p = 3: a -.4 + .9 * 1.7321 / 3 = .1196, b .45 * 1.7321 = .7794, c .2598: b, worth .6, its end 1: Q(b) = .8.
    4. N_p = 5: a .2708, b .8 + .45 * 2.2361 / 3 = 1.1354, c .3354: b; there N_p = 2: ba 1.2728, bb .6364: ba, worth .4, its end -1:
       Q(ba) = -.3, Q(b) = (.6 + 1 + .4 - 1) / 4 = .25.
    5. N_p = 7: a .3937, b .25 + .45 * 2.6458 / 5 = .4881, c .3969: b; N_p = 4: ba -.3 + .9 * 2 / 3 = .3, bb .9: bb, 0 and -1: Q(b) = 0.
    6. N_p = 9: a -.4 + .9 = .5, b .45 * 3 / 7 = .1929, c .45: a; aa before ab, worth -.2, its end -1: Q(a) = (.2 - 1 - .2 - 1) / 4 = -.5.
    7. N_p = 11: a .0970, b .2132, c .15 * 3.3166 = .4975: c, -.4 and -1: Q(c) = -.7.
    8. N_p = 13: a .1490, b .2318, c -.7 + .15 * 3.6056 / 3 = -.5197: b; N_p = 6: ba -.3 + .9 * 2.4495 / 3 = .4349, bb -.1326: ba; baa.
    """
    drive = Drive(PlanSearch(root=3, iterations=8, seed=0), by_hand).run(1000)
    selected = [path_text(drive.tree, trial.parent) for trial in drive.trials[::3]]
    assert selected == ["", "a", "b", "ba", "bb", "aa", "c", "baa"]
    assert [trial.sample for trial in drive.trials] == [0, 1, 2] * 8
    visits = {path_text(drive.tree, index): count for index, count in enumerate(drive.tree.visits) if count}
    inner = {"": 15, "a": 4, "b": 8, "c": 2, "aa": 2, "ba": 4, "bb": 2, "baa": 2}
    ends = {"ac", "bc", "bac", "bbc", "aac", "cc", "baac"}
    assert visits == inner | dict.fromkeys(ends, 1)
    sums = {path_text(drive.tree, index): drive.tree.value_sum[index] for index in range(len(drive.tree.nodes)) if drive.tree.visits[index]}
    worth = {"": -4.4, "a": -2.0, "b": -1.0, "c": -1.4, "aa": -1.2, "ba": -1.6, "bb": -1.0, "baa": -1.0}
    assert sums == pytest.approx(worth | dict.fromkeys(ends, -1.0) | {"bc": 1.0})


@pytest.mark.parametrize(("oracle", "iterations"), [(False, 40), (True, 12)])
def test_one_right_leaf_among_27(oracle: bool, iterations: int) -> None:
    for goal in ("210", "000", "222", "121"):

        def world(tree: Tree, trial: Trial, goal: str = goal) -> Outcome:
            text = path_text(tree, trial.parent) + str(trial.sample)
            if len(text) == 3:
                return Outcome(text=text[-1], value=1.0 if text == goal else -1.0, stop=StopReason.ANSWERED, prior=0.5)
            known = 1.0 if goal.startswith(text) else -1.0
            return Outcome(text=text[-1], value=known if oracle else 0.0, prior=0.5)

        drive = Drive(PlanSearch(root=3, iterations=iterations, seed=1), world).run(1000)
        assert drive.answer == goal


def test_an_oracle_needs_as_many_iterations_as_the_path_is_long() -> None:
    def world(tree: Tree, trial: Trial) -> Outcome:
        text = path_text(tree, trial.parent) + str(trial.sample)
        worth = 1.0 if "210".startswith(text) else -1.0
        return Outcome(text=text[-1], value=worth, stop=StopReason.ANSWERED if len(text) == 3 else StopReason.OPEN, prior=0.5)

    found = min(
        iterations
        for iterations in range(1, 13)
        if "210" in Drive(PlanSearch(root=3, iterations=iterations, seed=3), world).run(100).answers.values()
    )
    # At worst both wrong first steps are tried before the right one, and again below it.
    assert 3 <= found <= 7


def test_a_root_of_five_then_three_and_the_seventh_step_is_one_too_many() -> None:
    drive = Drive(PlanSearch(iterations=100, seed=0), lambda tree, trial: Outcome(text="x", value=0.9, prior=0.1)).run(3000)
    tree = drive.tree
    assert len(tree.children[0]) == 5
    assert {len(tree.children[node.index]) for node in tree.nodes[1:]} <= {0, 3}
    deepest = [node.index for node in tree.nodes if node.depth == 7]
    assert deepest
    assert all((tree.visits[index], tree.value_sum[index]) == (1, -1.0) for index in deepest)
    assert not any(tree.children[index] for index in deepest)


def test_a_broken_step_is_never_selected_and_a_merged_or_lost_one_says_nothing() -> None:
    stops = {0: StopReason.MALFORMED, 1: StopReason.MERGED, 2: StopReason.ERROR}
    drive = Drive(
        PlanSearch(root=4, n=1, depth=2, seed=0),
        lambda tree, trial: Outcome(
            text="x", value=0.5, stop=stops.get(trial.sample, StopReason.OPEN) if trial.parent == 0 else StopReason.OPEN
        ),
    ).run(1000)
    tree = drive.tree
    assert [tree.visits[index] for index in (1, 2, 3)] == [1, 0, 0]
    assert tree.value_sum[1] == -1.0
    assert {trial.parent for trial in drive.trials} == {0, 4, 5}
    assert drive.search.ask(tree, 4) == []


def test_preference_pairs_have_one_prefix_and_a_sign_each() -> None:
    drive = Drive(PlanSearch(root=3, iterations=8, seed=0), by_hand).run(1000)
    assert preference_pairs(drive.tree) == []  # every step of the hand table has a negative mean
    tree = new_tree()
    means = [0.5, -0.2, 0.0, 0.1, -0.7]
    for sample, mean in enumerate(means):
        tree.add(0, step(str(sample)), sample=sample)
        tree.visits[sample + 1], tree.value_sum[sample + 1] = 2, 2 * mean
    tree.add(0, step("unvisited"))
    broken = tree.add(0, step("broken"), stop=StopReason.MALFORMED).index
    tree.visits[broken], tree.value_sum[broken] = 1, -1.0
    below = [tree.add(4, step("s"), stop=StopReason.ANSWERED, sample=sample).index for sample in range(4)]
    for index, worth in zip(below, (1.0, -1.0, 0.4, -0.5), strict=True):
        tree.visits[index], tree.value_sum[index] = 1, worth
    assert preference_pairs(tree) == [(1, 2), (1, 5), (4, 2), (4, 5), (below[0], below[1])]
    assert all(tree.nodes[chosen].parent == tree.nodes[rejected].parent for chosen, rejected in preference_pairs(tree))


def test_the_vote_counts_two_poor_paths_more_than_one_of_them() -> None:
    tree = new_tree()
    answers = {}
    for text, worth in (("a", -0.2), ("b", -0.2), ("b", -0.4), ("c", -1.0)):
        node = tree.add(0, step(text), stop=StopReason.ANSWERED)
        tree.values[node.index] = worth
        answers[node.index] = text
    assert PlanSearch(seed=0).choose(tree, answers) == 2


@pytest.mark.parametrize("options", [{"c": -1.0}, {"n": 0}, {"root": 0}, {"depth": 0}, {"iterations": 0}])
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs"):
        PlanSearch(seed=0, **options)  # type: ignore[arg-type]
