"""What every search promises, whatever its rule."""

import pickle
import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.search.toys import Drive, Outcome, gamble, needle, new_tree, path_text, step, trap
from tirage.core import StopReason, Tree
from tirage.core.tree import Node
from tirage.search.base import Search, Trial
from tirage.search.strategies import STRATEGIES, option_names, strategy
from tirage.search.votes import best

UNTIL_DONE = 10_000
ROOM = {
    "plans": {"iterations": 400, "depth": 9, "n": 4},
    "lats": {"iterations": 400, "depth": 9},
    "rstar": {"rollouts": 400, "depth": 9},
    "gumbel": {"simulations": 240, "considered": 12, "width": 4},
}
"""Options under which a strategy has room for 200 nodes in the wide worlds here."""
CHAINS = {"greedy", "dfs", "dfsdt"}
"""Strategies that cannot take eight trials at once."""


def maker(name: str) -> Callable[[], Search]:
    options = {key: value for key, value in ROOM.get(name, {}).items() if key in option_names(name)}
    if name in ("best-of-n", "weighted-n"):
        options = {"n": 300}
    if name in ("beam", "tot", "dvts"):
        options = {"width": 8 if name != "dvts" else 1, "branch": 4}
        options |= {"groups": 8} if name == "dvts" else {}
    return strategy(name, options, seed=7)


def wide(tree: Tree, trial: Trial) -> Outcome:
    """Never ends; values are a hash of the path, so that they are the same in any order."""
    text = f"{path_text(tree, trial.parent)}.{trial.sample}"
    return Outcome(text=f".{trial.sample}", value=random.Random(text).random(), prior=random.Random(text + "p").random())


@pytest.fixture(params=sorted(STRATEGIES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_eight_workers_two_hundred_generations_are_all_kept(name: str) -> None:
    drive = Drive(maker(name)(), wide).run(200, batch=8, shuffle=1)
    assert len(drive.tree.nodes) == 1 + len(drive.trials)
    assert len(drive.trials) == 200 or name in CHAINS
    assert len({trial.id for trial in drive.trials}) == len(drive.trials)


def test_a_batch_of_eight_is_spread(name: str) -> None:
    drive = Drive(maker(name)(), wide)
    for _ in range(25):
        trials = drive.search.ask(drive.tree, 8)
        alive = [node.index for node in drive.tree.nodes if not drive.search.is_closed(node.index)]
        # A beam's first round is all below the root.
        if len(trials) == 8 and len(alive) > 8 and max(node.depth for node in drive.tree.nodes) > 1:
            assert len({trial.parent for trial in trials}) > 1, name
        for trial in trials:
            drive.tell(trial)


@pytest.mark.parametrize("batch", [1, 8])
def test_a_finite_world_comes_to_an_end_with_everything_closed(name: str, batch: int) -> None:
    search = strategy(name, {"width": 3})() if name == "ab-mcts" else maker(name)()
    drive = Drive(search, needle(3, 3, "120", guide=0.5)).run(UNTIL_DONE, batch=batch, shuffle=2)
    assert drive.search.ask(drive.tree, 8) == []
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)
    assert len(drive.tree.nodes) == 1 + len(drive.trials)


def test_outcomes_that_say_nothing_do_not_hang_or_count(name: str) -> None:
    draws = random.Random(3)

    def world(tree: Tree, trial: Trial) -> Outcome | None:
        if draws.random() < 0.2:
            return None
        stop = draws.choice([StopReason.ERROR, StopReason.MALFORMED, StopReason.MERGED, StopReason.LENGTH, *[StopReason.OPEN] * 6])
        deep = tree.nodes[trial.parent].depth >= 4
        return Outcome(text="x", value=0.5 if stop is StopReason.OPEN else None, stop=StopReason.ANSWERED if deep else stop)

    drive = Drive(maker(name)(), world).run(300, batch=6, shuffle=5)
    told = [trial.id for trial in drive.trials]
    assert len(set(told)) == len(told)
    assert all(abs(total) <= count for total, count in zip(drive.tree.value_sum, drive.tree.visits, strict=True))


def test_telling_twice_has_no_second_effect(name: str) -> None:
    if name in ("greedy", "best-of-n", "weighted-n"):
        pytest.skip("chains keep no statistics")

    def run(times: int) -> Tree:
        drive = Drive(maker(name)(), wide)
        tell = drive.search.tell

        def again(tree: Tree, trial: Trial, node: Node | None) -> None:
            for _ in range(times):
                tell(tree, trial, node)

        drive.search.tell = again  # type: ignore[method-assign]
        return drive.run(60, batch=3).tree

    once, twice = run(1), run(2)
    assert once.visits == twice.visits
    assert [node.parent for node in once.nodes] == [node.parent for node in twice.nodes]


def test_a_search_can_be_put_away_and_goes_on_as_it_would_have(name: str) -> None:
    whole = Drive(maker(name)(), wide).run(80, batch=4)
    half = Drive(maker(name)(), wide).run(40, batch=4)
    for _ in range(2):
        half.search, half.tree = pickle.loads(pickle.dumps((half.search, half.tree)))
    half.run(80, batch=4)
    if name not in CHAINS:
        # A batch is told to its end before the pause, so the halves need not ask in the same rhythm; one after the other they do.
        whole = Drive(maker(name)(), wide).run(80)
        half = Drive(maker(name)(), wide).run(40)
        half.search, half.tree = pickle.loads(pickle.dumps((half.search, half.tree)))
        half.run(80)
    assert [(node.parent, node.sample, node.move) for node in half.tree.nodes] == [
        (node.parent, node.sample, node.move) for node in whole.tree.nodes
    ]


def test_the_same_seed_gives_the_same_tree(name: str) -> None:
    trees = [Drive(maker(name)(), wide).run(100, batch=5).tree for _ in range(2)]
    assert [(node.parent, node.sample) for node in trees[0].nodes] == [(node.parent, node.sample) for node in trees[1].nodes]


def test_a_chain_five_thousand_deep(name: str) -> None:
    def narrow(tree: Tree, trial: Trial) -> Outcome:
        return Outcome(text="x", value=0.5 + 0.4 * (trial.sample == 0), prior=1.0)

    drive = Drive(maker(name)(), narrow)
    drive.run(5000)
    assert len(drive.tree.nodes) == 1 + len(drive.trials)


@pytest.mark.parametrize("name", ["mcts", "puct", "best-first"])
def test_a_trap_that_fools_greedy_and_a_beam(name: str) -> None:
    for fooled in ("greedy", "dfs", "beam"):
        drive = Drive(maker(fooled)(), trap).run(400)
        assert path_text(drive.tree, best(drive.tree, drive.answers)) != "110", fooled
    drive = Drive(maker(name)(), trap).run(400)
    assert path_text(drive.tree, best(drive.tree, drive.answers)) == "110", drive.answers


def test_a_needle_with_a_guide_is_found_by_every_tree(name: str) -> None:
    if name in ("greedy", "best-of-n", "weighted-n", "dfsdt"):
        pytest.skip("chains do not look at values on their way, and going back two levels leaves siblings out")
    if name == "rstar":
        pytest.skip("roll-outs at random go by ends alone")
    special = {"dfs": {"width": 3, "threshold": 0.2, "answers": 99}, "ab-mcts": {"width": 3}}
    search = strategy(name, special[name])() if name in special else maker(name)()
    drive = Drive(search, needle(4, 3, "1201", guide=1.0)).run(200)
    assert path_text(drive.tree, best(drive.tree, drive.answers)) == "1201", drive.answers


@pytest.mark.parametrize("name", ["mcts", "puct", "gumbel"])
def test_the_best_move_of_a_game_of_chance(name: str) -> None:
    options: dict[str, object] = {"width": 2, "considered": 2, "simulations": 300} if name == "gumbel" else {"width": 2}
    right = 0
    for seed in range(10):
        drive = Drive(strategy(name, options)(), gamble(seed))
        room = drive.search.frontier.allowed  # type: ignore[attr-defined]

        def allowed(tree: Tree, index: int, room: Callable[[Tree, int], int | None] = room) -> int | None:
            # Nature may be asked for ever; the player has two moves.
            above = path_text(tree, index).replace("x", "")
            return None if above in ("0", "10", "11") else room(tree, index)

        drive.search.frontier.allowed = allowed  # type: ignore[attr-defined]
        drive.run(300)
        first, second = sorted(drive.tree.children[0])[:2]
        # The last phase of a halving gives its two candidates the same number of visits; there the worth decides.
        liked = drive.search.frontier.q if name == "gumbel" else drive.tree.visits  # type: ignore[attr-defined]
        by_move = {drive.tree.nodes[child].sample % 2: liked[child] for child in (first, second)}
        right += by_move[1] > by_move[0]
    assert right >= 9


def test_nothing_found_is_the_root(name: str) -> None:
    search, tree = maker(name)(), new_tree()
    assert search.choose(tree, {}) == 0
    (trial, *_) = search.ask(tree, 1)
    search.tell(tree, trial, tree.add(0, step("x"), stop=StopReason.LENGTH, move=trial.move))
    assert search.choose(tree, {1: None}) == 1


def test_searching_needs_no_framework() -> None:
    heavy = "('torch', 'transformers', 'numpy', 'networkx', 'litellm')"
    code = f"import sys, tirage.search.strategies as s; s.strategy('mcts')(); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_names_and_options_are_explained() -> None:
    with pytest.raises(ValueError, match="did you mean 'mcts'"):
        strategy("mctss")
    with pytest.raises(ValueError, match="its options: width, c,"):
        strategy("mcts", {"depth": 3})
    with pytest.raises(ValueError, match="needs c >= 0"):
        strategy("mcts", {"c": -1})
    assert strategy("best-of-7")().n == 7  # type: ignore[attr-defined]
