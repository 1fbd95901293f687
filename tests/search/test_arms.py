"""AB-MCTS: posteriors by hand, the better arm, wider or deeper."""

import random
import statistics
from collections.abc import Callable

import pytest

from tests.search.toys import Drive, Outcome
from tirage.core import StopReason, Tree
from tirage.core.tree import ROOT
from tirage.search.abmcts import ABMCTS, Scores, beta_posterior, gaussian_posterior
from tirage.search.base import Trial


def scores(*values: float) -> Scores:
    found = Scores()
    for value in values:
        found.add(value)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), (0.0, 1.0, 1.0, 0.1)),
        # n = 1, x = 0.8: m = 0.8 / 2, tau^2 = (0.1 + 0 + 0.64 / 2) / 2.
        ((0.8,), (0.4, 2.0, 2.0, 0.21)),
        # n = 3, x = 0.6, SS = 0.08: m = 1.8 / 4, tau^2 = (0.1 + 0.08 + 3 * 0.36 / 4) / 4.
        ((0.4, 0.6, 0.8), (0.45, 4.0, 4.0, 0.1125)),
    ],
)
def test_the_gaussian_posterior_in_closed_form(values: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert gaussian_posterior(*scores(*values).with_pending()) == pytest.approx(expected)


def test_the_beta_posterior_in_closed_form() -> None:
    assert beta_posterior(0, 0.0) == (0.5, 0.5)
    assert beta_posterior(*scores(1.0, 0.0, 0.5, 1.0).with_pending()[:2]) == pytest.approx((3.0, 2.0))


def test_what_is_in_flight_counts_as_failures() -> None:
    pending = scores(0.4, 0.6, 0.8)
    pending.pending = 2
    assert pending.with_pending() == pytest.approx(scores(0.4, 0.6, 0.8, 0.0, 0.0).with_pending())


@pytest.mark.parametrize("posterior", ["gaussian", "beta"])
def test_the_best_arm_of_a_bandit_is_pulled_most(posterior: str) -> None:
    shares = []
    for seed in range(10):
        rng = random.Random(seed)

        def pull(tree: Tree, trial: Trial, rng: random.Random = rng) -> Outcome:
            paid = rng.random() < {"a": 0.2, "b": 0.5, "c": 0.8}[trial.move]
            return Outcome(text=trial.move, value=float(paid), stop=StopReason.ANSWERED)

        search = ABMCTS(posterior=posterior, moves=("a", "b", "c"), seed=seed)  # type: ignore[arg-type]
        tree = Drive(search, pull).run(300).tree
        shares.append(sum(node.move == "c" for node in tree.nodes) / 300)
    assert min(shares) > 0.6, shares


def world(seed: int, *, fresh: float, gain: float) -> "object":
    rng = random.Random(seed)

    def act(tree: Tree, trial: Trial) -> Outcome:
        above = tree.values.get(trial.parent)
        value = rng.gauss(fresh, 0.1) if above is None else above + gain
        return Outcome(text="x", value=min(max(value, 0.0), 1.0))

    return act


def test_it_deepens_where_refining_helps_and_widens_where_it_does_not() -> None:
    def shape(gain: float) -> tuple[float, float]:
        trees = [Drive(ABMCTS(seed=seed), world(seed, fresh=0.3, gain=gain)).run(60).tree for seed in range(8)]  # type: ignore[arg-type]
        wide = statistics.mean(len(tree.children[ROOT]) for tree in trees)
        return wide, statistics.mean(max(node.depth for node in tree.nodes) for tree in trees)

    wide, shallow = shape(-0.3)
    narrow, deep = shape(0.2)
    assert wide > 2 * narrow
    assert deep > shallow


@pytest.mark.parametrize("refill", [False, True])
def test_eight_workers_pull_the_best_arm_and_keep_the_shape_asked_at_once_or_one_by_one(refill: bool) -> None:
    """A worker that is refilled alone is no reason to go deeper: what is in flight counts the same."""

    def grow(seed: int, act: Callable[[Tree, Trial], Outcome], search: ABMCTS, nodes: int) -> Tree:
        drive, waiting = Drive(search, act), list[Trial]()
        while len(drive.tree.nodes) <= nodes:
            waiting += search.ask(drive.tree, 8 - len(waiting))
            for _ in range(1 if refill else len(waiting)):
                drive.tell(waiting.pop(0))
        return drive.tree

    def shape(gain: float) -> tuple[float, float]:
        trees = [grow(seed, world(seed, fresh=0.3, gain=gain), ABMCTS(seed=seed), 64) for seed in range(8)]  # type: ignore[arg-type]
        assert trees[0].children == grow(0, world(0, fresh=0.3, gain=gain), ABMCTS(seed=0), 64).children  # type: ignore[arg-type]
        wide = statistics.mean(len(tree.children[ROOT]) for tree in trees)
        return wide, statistics.mean(max(node.depth for node in tree.nodes) for tree in trees)

    (wide, shallow), (narrow, deep) = shape(-0.3), shape(0.2)
    assert wide > 1.5 * narrow
    assert deep > shallow
    for seed in range(4):
        rng = random.Random(seed)

        def pull(tree: Tree, trial: Trial, rng: random.Random = rng) -> Outcome:
            paid = rng.random() < {"a": 0.2, "b": 0.5, "c": 0.8}[trial.move]
            return Outcome(text=trial.move, value=float(paid), stop=StopReason.ANSWERED)

        tree = grow(seed, pull, ABMCTS(moves=("a", "b", "c"), seed=seed), 300)
        assert sum(node.move == "c" for node in tree.nodes) > 0.6 * 300


@pytest.mark.parametrize("arms", ["thompson", "ucb"])
def test_of_two_models_the_better_one_gets_most_trials(arms: str) -> None:
    rng = random.Random(1)

    def act(tree: Tree, trial: Trial) -> Outcome:
        return Outcome(
            text=trial.move, value=min(1.0, max(0.0, rng.gauss(0.7 if trial.move == "good" else 0.2, 0.1))), stop=StopReason.ANSWERED
        )

    drive = Drive(ABMCTS(moves=("bad", "good"), arms=arms, seed=3), act).run(100, batch=4)  # type: ignore[arg-type]
    moves = [node.move for node in drive.tree.nodes[1:]]
    assert moves.count("good") > 75
    assert set(moves) == {"good", "bad"}


def test_senseless_options_are_refused() -> None:
    for bad in ({"moves": ("a", "a")}, {"posterior": "flat"}, {"arms": "greedy"}):
        with pytest.raises(ValueError, match="AB-MCTS needs"):
            ABMCTS(**bad)
