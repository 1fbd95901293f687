"""Monte Carlo tree search: hand-worked numbers, toy worlds, pending trials."""

import math

import pytest

from tests.search.toys import Drive, Outcome, bandit, needle, new_tree, pulls, step, trap
from tirage.core import StopReason, Tree
from tirage.search.base import Trial
from tirage.search.mcts import MCTS


def test_uct_by_hand() -> None:
    """Two children valued 0.5 and 0.9, then five more iterations, c = 1.

    Iteration 3: ln 2 = 0.6931; a: 0.5 + sqrt(.6931/1) = 1.3326, b: 0.9 + .8326 = 1.7326: below b. It gives 0.1: Q(b) = 0.5, N(b) = 2.
    Iteration 4: ln 3 = 1.0986; a: 0.5 + 1.0481 = 1.5481, b: 0.5 + sqrt(.5493) = 1.2412: below a. It gives 0.7: Q(a) = 0.6, N(a) = 2.
    Iteration 5: ln 4 = 1.3863; a: 0.6 + sqrt(.6931) = 1.4326, b: 0.5 + .8326 = 1.3326: below a.
    """
    values = iter([0.5, 0.9, 0.1, 0.7, 0.2])
    drive = Drive(MCTS(width=2, c=1.0), lambda tree, trial: Outcome(text="x", value=next(values))).run(5)
    assert [trial.parent for trial in drive.trials] == [0, 0, 2, 1, 1]
    tree = drive.tree
    assert tree.visits == [5, 3, 2, 1, 1, 1]
    assert tree.value_sum == pytest.approx([2.4, 1.4, 1.0, 0.1, 0.7, 0.2])


def test_puct_by_hand() -> None:
    """Priors 0.6, 0.3, 0.1, c = 1.5, every value 0 but for the first child's child, 0.4: Q + 1.5 P sqrt(N_p) / (1 + N).

    After the three children N_p = 3, N = 1 each: .6 * 1.5 * 1.7321 / 2 = .779, .390, .130: child 1; its child pays .4: Q = .2, N = 2.
    N_p = 4: .2 + 1.8 / 3 = .8, .45, .15: child 1 again, whose second child pays 0: Q = .1333, N = 3.
    N_p = 5: .1333 + .9 * 2.2361 / 4 = .6364, .3 * 1.5 * 2.2361 / 2 = .5031: child 1.
    N_p = 6, Q = .1, N = 4: .1 + .9 * 2.4495 / 5 = .5409, .5511: child 2.
    """
    priors = (0.6, 0.3, 0.1)

    def world(tree: Tree, trial: Trial) -> Outcome:
        return Outcome(text="x", value=0.4 if len(tree.nodes) == 4 else 0.0, prior=priors[trial.sample])

    drive = Drive(MCTS(width=3, c=1.5, prior="raw"), world).run(7)
    assert [trial.parent for trial in drive.trials] == [0, 0, 0, 1, 1, 1, 2]


def test_a_prior_among_its_siblings_is_a_share() -> None:
    def world(tree: Tree, trial: Trial) -> Outcome:
        return Outcome(text="x", value=0.0, prior=(0.08, 0.02)[trial.sample])

    raw = Drive(MCTS(width=2, c=1.0, prior="raw"), world).run(40)
    shares = Drive(MCTS(width=2, c=1.0, prior="normalised"), world).run(40)
    assert [trial.parent for trial in raw.trials] == [trial.parent for trial in shares.trials]


@pytest.mark.parametrize("search", [lambda: MCTS(width=3, c=1.0), lambda: MCTS(width=3, c=1.0, prior="normalised")])
def test_the_best_arm_of_a_bandit_is_pulled_most(search: "type[MCTS]") -> None:
    for seed in range(10):
        drive = Drive(search(), bandit((0.2, 0.5, 0.8), seed))
        drive.search.frontier.width = None  # type: ignore[attr-defined]
        _limit_root(drive.search, 3)  # type: ignore[arg-type]
        counts = pulls(drive.run(303), 3)
        assert counts[2] > 0.6 * 300, counts


def _limit_root(search: MCTS, arms: int) -> None:
    """Arms below the root only; an arm can be pulled for ever."""
    search.frontier.allowed = lambda tree, index: arms if index == 0 else None  # type: ignore[method-assign]
    search.urgency = None


def test_a_needle_is_found_and_faster_with_a_guide() -> None:
    blind = Drive(MCTS(width=3, c=1.0), needle(3, 3, "120")).run(40)
    guided = Drive(MCTS(width=3, c=0.3), needle(3, 3, "120", guide=1.0)).run(12)
    assert blind.answer == guided.answer == "120"
    assert Drive(MCTS(width=3, c=0.3), needle(3, 3, "120", guide=1.0)).run(24, batch=8).answer == "120"


@pytest.mark.parametrize("options", [{}, {"backup": "max"}, {"urgency": 0.4}, {"widening": (1.0, 0.5)}, {"prior": "raw"}])
def test_a_trap_that_fools_greedy_is_seen_through(options: dict[str, object]) -> None:
    assert Drive(MCTS(width=2, c=1.0, **options), trap).run(14).answer == "110"  # type: ignore[arg-type]


def test_a_finite_world_is_exhausted_and_then_nothing_is_asked() -> None:
    drive = Drive(MCTS(width=2), needle(4, 2, "0000"))
    drive.run(1000, batch=7, shuffle=3)
    assert len(drive.tree.nodes) == 1 + 2 + 4 + 8 + 16
    assert drive.search.ask(drive.tree, 5) == []
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)
    assert drive.tree.visits[0] == 30


def test_a_batch_is_spread_and_every_generation_kept() -> None:
    drive = Drive(MCTS(width=4), needle(9, 4, "0" * 9, guide=0.5))
    for _ in range(25):
        trials = drive.search.ask(drive.tree, 8)
        assert len(trials) <= 8
        open_nodes = sum(not drive.search.is_closed(node.index) for node in drive.tree.nodes)
        assert len({trial.parent for trial in trials}) > 1 or open_nodes == 1
        for trial in reversed(trials):
            drive.tell(trial)
            drive.trials.append(trial)
    assert len(drive.tree.nodes) == 1 + len(drive.trials)
    assert len(drive.trials) >= 25 * 8 - 4


def test_eight_workers_two_hundred_generations() -> None:
    drive = Drive(MCTS(width=4), needle(9, 4, "0" * 9)).run(200, batch=8, shuffle=1)
    assert len(drive.tree.nodes) == 201
    assert drive.tree.visits[0] == 200


def test_a_trial_told_twice_counts_once() -> None:
    search, tree = MCTS(width=2), new_tree()
    (trial,) = search.ask(tree, 1)
    node = tree.add(0, step())
    tree.values[1] = 1.0
    for _ in range(2):
        search.tell(tree, trial, node)
    assert tree.visits == [1, 1]
    (other,) = search.ask(tree, 1)
    for _ in range(2):
        search.tell(tree, other, None)
    assert [search.frontier.in_flight(index) for index in range(2)] == [0, 0]


def test_an_error_is_no_value_and_a_policys_own_failure_the_lowest() -> None:
    search, tree = MCTS(width=3), new_tree()
    for stop, visits in ((StopReason.ERROR, 0), (StopReason.MALFORMED, 1), (StopReason.MERGED, 1)):
        (trial,) = search.ask(tree, 1)
        search.tell(tree, trial, tree.add(0, step(), stop=stop))
        assert (tree.visits[0], tree.value_sum[0]) == (visits, 0.0)
    assert search.ask(tree, 1) == []
    assert search.is_closed(0)


def test_discounts_and_maxima_by_hand() -> None:
    values = iter([0.4, 0.8, 0.2])
    drive = Drive(MCTS(width=1, discount=0.5), lambda tree, trial: Outcome(text="x", value=next(values))).run(3)
    # 0.4/2, then 0.8/4, then 0.2/8 reach the root.
    assert drive.tree.value_sum == pytest.approx([0.2 + 0.2 + 0.025, 0.4 + 0.4 + 0.05, 0.8 + 0.1, 0.2])
    values = iter([0.4, 0.8, 0.2])
    search = MCTS(width=1, backup="max")
    Drive(search, lambda tree, trial: Outcome(text="x", value=next(values))).run(3)
    assert search.frontier.q == [0.8, 0.8, 0.8, 0.2]


def test_widening_grows_with_the_visits() -> None:
    """ceil(N^0.5) children: a second one from N = 2, a third from N = 5."""
    drive = Drive(MCTS(width=None, widening=(1.0, 0.5)), needle(6, 9, "000000"))
    for told in range(1, 40):
        drive.run(told)
        assert len(drive.tree.children[0]) <= max(1, math.ceil(drive.tree.visits[0] ** 0.5))
    assert len(drive.tree.children[0]) == 7


def test_urgency_deepens_a_good_child_before_all_its_siblings_exist() -> None:
    def world(tree: Tree, trial: Trial) -> Outcome:
        return Outcome(text="x", value=0.95)

    eager = Drive(MCTS(width=4, c=0.01, urgency=0.3), world).run(6)
    assert max(node.depth for node in eager.tree.nodes) == 6
    patient = Drive(MCTS(width=4, c=0.01), world).run(6)
    assert len(patient.tree.children[0]) == 4


@pytest.mark.no_cover  # tracing costs more than the work
def test_a_tree_five_thousand_deep() -> None:
    drive = Drive(MCTS(width=1), lambda tree, trial: Outcome(text="x", value=0.5)).run(5000)
    assert drive.tree.nodes[-1].depth == 5000
    assert drive.tree.visits[0] == 5000


@pytest.mark.parametrize(
    "options",
    [{"c": -1}, {"discount": 0}, {"discount": 1.1}, {"width": 0}, {"width": None}, {"widening": (0.0, 0.5)}, {"widening": (1, 1)}],
)
def test_senseless_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"needs|without"):
        MCTS(**options)  # type: ignore[arg-type]


def test_same_tells_same_asks_in_any_order_of_telling() -> None:
    def run(shuffle: int | None) -> list[tuple[int, int]]:
        drive = Drive(MCTS(width=3), needle(5, 3, "01201", guide=0.7)).run(80, batch=6, shuffle=shuffle)
        return [(node.parent, node.sample) for node in drive.tree.nodes]

    assert run(4) == run(4)
    assert run(None) == run(None)
    assert len(set(run(5))) == 81
