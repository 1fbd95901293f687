"""What every search that expands whole nodes keeps to: pending trials, any order, pickling, golden trees, outcomes that say nothing."""

import pickle
import random
from collections.abc import Callable

import pytest

from tests.search.toys import Drive, GraphEnv, GraphWorld, Outcome, new_tree, path_text, step
from tirage.core import StopReason, Tree
from tirage.search.base import Trial
from tirage.search.expander import Expander
from tirage.search.frontier import Frontier
from tirage.search.lats import LATS
from tirage.search.plans import PlanSearch
from tirage.search.rstar import RStar

FIRST_SUBQUESTION = 4
"""Its draw among the children of a question or of a sub-question: after three steps of thought and an answer."""

SEARCHES: dict[str, Callable[[], Expander]] = {
    "plans": lambda: PlanSearch(iterations=1000, seed=7),
    "rstar": lambda: RStar(rollouts=1000, seed=7),
    "lats": lambda: LATS(n=3, iterations=1000, seed=7),
}


def world(tree: Tree, trial: Trial) -> Outcome:
    """Values by the path's letters; direct answers end, as do paths of five steps and one child in nine."""
    text = path_text(tree, trial.parent) + str(trial.sample)
    number = sum((place + 1) * int(digit) for place, digit in enumerate(text))
    ended = trial.move == "A2" or len(text) == 5 or number % 9 == 8
    value = number % 7 / 10
    return Outcome(text=text[-1], value=value, stop=StopReason.ANSWERED if ended else StopReason.OPEN, prior=0.2 + number % 4 / 5)


@pytest.fixture(params=sorted(SEARCHES))
def search(request: pytest.FixtureRequest) -> Expander:
    return SEARCHES[request.param]()


def shape(tree: Tree) -> list[tuple[int, int, str]]:
    return [(node.parent, node.sample, node.move) for node in tree.nodes]


def test_two_hundred_generations_by_eight_workers_are_all_kept(search: Expander) -> None:
    drive = Drive(search, world).run(200, batch=8, shuffle=1)
    assert len(drive.tree.nodes) == 201
    assert not search.frontier.in_flight(0)
    assert len({(node.parent, node.sample) for node in drive.tree.nodes}) == 201
    assert search.frontier.seen == drive.tree.visits


def test_a_batch_of_eight_is_spread_over_open_parents(search: Expander) -> None:
    drive = Drive(search, world).run(30, batch=8)
    for _ in range(15):
        trials = search.ask(drive.tree, 8)
        assert len(trials) == 8
        assert len({trial.parent for trial in trials}) > 1
        for trial in random.Random(len(drive.trials)).sample(trials, 8):
            drive.trials.append(trial)
            drive.tell(trial)


def test_same_tells_same_asks_and_any_order_is_a_valid_tree(search: Expander) -> None:
    fresh = pickle.dumps(search)

    def run(shuffle: int | None) -> Drive:
        return Drive(pickle.loads(fresh), world).run(120, batch=6, shuffle=shuffle)

    assert shape(run(4).tree) == shape(run(4).tree)
    assert shape(run(None).tree) == shape(run(None).tree)
    assert shape(run(4).tree) != shape(run(5).tree)
    for drive in (run(5), run(6)):
        tree = drive.tree
        assert [trial.id for trial in sorted(drive.trials, key=lambda trial: trial.id)] == list(range(len(drive.trials)))
        assert all(sorted(tree.nodes[child].sample for child in children) == list(range(len(children))) for children in tree.children)


def test_the_seed_settles_what_is_random(search: Expander) -> None:
    kind = type(search)
    trees = {str(shape(Drive(kind(seed=seed), lambda tree, trial: Outcome(text="0", value=0.5)).run(100).tree)) for seed in range(6)}  # type: ignore[call-arg]
    assert len(trees) > 1


def test_a_pickled_search_goes_on_as_if_nothing_had_happened(search: Expander) -> None:
    drive = Drive(search, world).run(50, batch=5, shuffle=2)
    waiting = search.ask(drive.tree, 4)
    saved = pickle.dumps((search, drive.tree, waiting))

    def go_on(search: Expander, tree: Tree, waiting: list[Trial]) -> list[tuple[int, int, str]]:
        again = Drive(search, world, tree)
        for trial in reversed(waiting):
            again.tell(trial)
        return shape(again.run(100, batch=4, shuffle=9).tree)

    assert go_on(*pickle.loads(saved)) == go_on(search, drive.tree, waiting)


def test_a_trial_told_twice_counts_once(search: Expander) -> None:
    drive = Drive(search, world).run(40)
    (trial,) = search.ask(drive.tree, 1)
    node = drive.tell(trial)
    before = pickle.dumps((search, drive.tree))
    search.tell(drive.tree, trial, node)
    search.tell(drive.tree, trial, None)
    assert pickle.dumps((search, drive.tree)) == before


def test_lost_trials_and_broken_ends_back_nothing_up_and_the_search_goes_on(search: Expander) -> None:
    def leaky(tree: Tree, trial: Trial) -> Outcome | None:
        if trial.id % 9 == 1:
            return None
        if trial.id % 9 == 3:
            return Outcome(text="0", value=1.0, stop=(StopReason.ERROR, StopReason.BUDGET, StopReason.MERGED)[trial.id // 9 % 3])
        return world(tree, trial)

    drive = Drive(search, leaky).run(150, batch=7, shuffle=3)
    tree = drive.tree
    assert len(drive.trials) > 80
    assert len(tree.nodes) == 1 + sum(trial.id % 9 != 1 for trial in drive.trials)
    broken = [node.index for node in tree.nodes if node.stop in (StopReason.ERROR, StopReason.BUDGET, StopReason.MERGED)]
    assert len(broken) == sum(trial.id % 9 == 3 for trial in drive.trials)
    assert not any(tree.visits[index] for index in broken)
    assert search.frontier.seen == tree.visits
    assert tree.visits[0] > 5


def test_a_visit_without_a_trial_counts_as_one_with_a_trial() -> None:
    def chain() -> tuple[Frontier, Tree]:
        frontier, tree = Frontier(2), new_tree()
        for parent in (0, 1):
            trial = frontier.order(tree, parent)
            frontier.settle(tree, trial, tree.add(parent, step()))
        return frontier, tree

    frontier, tree = chain()
    waiting = frontier.order(tree, 1)
    frontier.visit(tree, 2, 0.8, discount=0.5)
    frontier.visit(tree, 1, 0.1, discount=0.5)
    assert (tree.visits, tree.value_sum) == ([2, 2, 1], pytest.approx([0.2 + 0.05, 0.4 + 0.1, 0.8]))
    assert ([frontier.in_flight(index) for index in range(3)], frontier.seen) == ([1, 1, 0], [3, 3, 1])
    frontier.settle(tree, waiting, None)
    assert ([frontier.in_flight(index) for index in range(3)], frontier.seen) == ([0, 0, 0], [2, 2, 1])
    frontier, tree = chain()
    for value in (0.2, 0.7, 0.4):
        frontier.visit(tree, 2, value, highest=True)
    assert frontier.q == [0.7, 0.7, 0.7]


def test_everything_failing_ends_the_search(search: Expander) -> None:
    drive = Drive(search, lambda tree, trial: None).run(1000, batch=3)
    assert len(drive.trials) == len(search.moves(drive.tree, 0))
    assert search.ask(drive.tree, 8) == []
    assert search.is_closed(0)
    assert search.choose(drive.tree, {}) == 0


@pytest.mark.no_cover  # tracing costs more than the work
@pytest.mark.parametrize(
    "deep",
    [
        PlanSearch(n=1, root=1, depth=6000, iterations=3000, seed=0),
        LATS(n=1, ahead=6000, depth=6000, iterations=3000, seed=0),
        RStar(depth=3000, rollouts=1, seed=0),
    ],
    ids=lambda search: type(search).__name__,
)
def test_a_tree_thousands_deep(deep: Expander) -> None:
    def narrow(tree: Tree, trial: Trial) -> Outcome:
        # rStar's walk has one way on, a sub-question.
        open_ = trial.move == "" or trial.sample == FIRST_SUBQUESTION
        return Outcome(text="x", value=0.5, stop=StopReason.OPEN if open_ else StopReason.MERGED)

    tree = Drive(deep, narrow).run(3000).tree
    assert max(node.depth for node in tree.nodes) >= 3000 // len(deep.moves(tree, 0))


def test_a_graph_is_searched_by_each(search: Expander) -> None:
    drive = Drive(search, GraphWorld(GraphEnv(3, 3, "201"), guide=0.4, base=0.1))
    if isinstance(search, RStar):
        # Its ends are direct answers; below the question two steps of thought and one answer, the fourth child of its parent.
        drive.world = lambda tree, trial: Outcome(
            text=str(trial.sample),
            value=0.9 if path_text(tree, trial.parent) == "12" else 0.2,
            stop=StopReason.ANSWERED if trial.move == "A2" else StopReason.OPEN,
        )
    goal = "123" if isinstance(search, RStar) else "201"
    answers = drive.run(400, batch=4, shuffle=2).answers
    assert goal in answers.values()
    best = max(answers, key=drive.tree.values.__getitem__)
    assert answers[best] == goal


GOLDEN: dict[str, tuple[list[int], list[int], list[str]]] = {
    "lats": (
        [0, 1, 0, 1, 3, 3, 0, 1, 7, 7, 8, 8, 3, 7, 13, 13, 8, 13, 14, 11, 11, 14, 11, 14],
        [1, 0, 2, 1, 0, 1, 0, 2, 1, 0, 0, 1, 2, 2, 0, 1, 2, 2, 2, 0, 1, 0, 2, 1],
        [""] * 24,
    ),
    "plans": (
        [0, 0, 0, 0, 2, 2, 0, 2, 3, 3, 8, 8, 3, 8, 1, 1, 1, 9, 6, 6, 6, 9, 14, 9],
        [1, 3, 2, 4, 1, 2, 0, 0, 2, 1, 1, 2, 0, 0, 1, 2, 0, 0, 0, 1, 2, 1, 0, 2],
        [""] * 24,
    ),
    "rstar": (
        [0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 5, 5, 3, 3, 5, 5, 5, 5, 9, 9, 9, 5, 9, 5],
        [1, 3, 2, 4, 6, 7, 0, 5, 2, 1, 0, 1, 0, 3, 3, 4, 2, 5, 0, 1, 2, 6, 3, 7],
        "A1 A2 A1 A3 A3 A5 A1 A3 A1 A1 A1 A1 A1 A2 A2 A3 A1 A3 A1 A1 A1 A3 A2 A4".split(),
    ),
}
"""Parents, samples and moves of the first nodes, told in a shuffled order."""


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_golden_trees(name: str) -> None:
    drive = Drive(SEARCHES[name](), world).run(24, batch=3, shuffle=11)
    nodes = drive.tree.nodes[1:]
    parents, samples, moves = GOLDEN[name]
    assert [node.parent for node in nodes] == parents
    assert [node.sample for node in nodes] == samples
    assert [node.move for node in nodes] == moves
