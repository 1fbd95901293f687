"""What every search promises, whatever its rule."""

import math
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.search.makers import maker
from tests.search.toys import Drive, Outcome, gamble, needle, new_tree, path_text, step, trap
from tirage.core import StopReason, Tree
from tirage.core.errors import ConfigError
from tirage.core.tree import Node
from tirage.search.abmcts import ABMCTS
from tirage.search.base import Trial
from tirage.search.best_first import BestFirst
from tirage.search.mcts import MCTS
from tirage.search.strategies import STRATEGIES, strategy
from tirage.search.votes import best

UNTIL_DONE = 10_000
DEPTH = int(os.environ.get("TIRAGE_DEPTH", "1050"))
CHAINS = {"greedy", "dfs", "dfsdt"}
"""Strategies that cannot take eight trials at once."""


def wide(tree: Tree, trial: Trial) -> Outcome:
    """Never ends; values are a hash of the path, so that they are the same in any order."""
    text = f"{path_text(tree, trial.parent)}.{trial.sample}"
    return Outcome(text=f".{trial.sample}", value=random.Random(text).random(), prior=random.Random(text + "p").random())


@pytest.fixture(params=sorted(STRATEGIES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_eight_workers_two_hundred_generations_are_all_kept(name: str) -> None:
    drive = Drive(maker(name)(seed=7), wide).run(200, batch=8, shuffle=1)
    assert len(drive.tree.nodes) == 1 + len(drive.trials)
    assert len(drive.trials) == 200 or name in CHAINS
    assert len({trial.id for trial in drive.trials}) == len(drive.trials)


def of_width(name: str, width: int) -> dict[str, Any]:
    """Options under which a node has `width` children, with room for many."""
    return {
        "lats": {"n": width, "iterations": 400, "depth": 9},
        "plans": {"n": width, "root": width, "iterations": 400, "depth": 9},
        "rstar": {"rollouts": 400, "depth": 9},
        "gumbel": {"width": width, "considered": width, "simulations": 400},
        "beam": {"width": width, "branch": width},
        "tot": {"width": width, "branch": width},
        "dvts": {"branch": width, "groups": width},
        "best-of-n": {"n": 300},
        "weighted-n": {"n": 300},
    }.get(name, {"width": width})


def elsewhere(drive: Drive) -> bool:
    """Whether trials can be ordered below several nodes: a copy of the search is asked for all that it has."""
    search, tree = pickle.loads(pickle.dumps((drive.search, drive.tree)))
    several = len({trial.parent for trial in search.ask(tree, 60)}) > 1
    if isinstance(drive.search, MCTS | BestFirst | ABMCTS):
        several = several or sum(drive.search.frontier.open) > 1
    return several


@pytest.mark.parametrize("most", [2, 8, 16])
@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_a_batch_is_spread(name: str, width: int, most: int) -> None:
    if name in CHAINS:
        pytest.skip("one trial at a time")
    drive = Drive(strategy(name, of_width(name, width))(seed=0), wide)
    judged = 0
    for _ in range(8):
        several = elsewhere(drive)
        trials = drive.search.ask(drive.tree, most)
        if several and len(trials) > 1:
            judged += 1
            assert len({trial.parent for trial in trials}) > 1
        for trial in trials:
            drive.tell(trial)
    # The first round of a beam and the candidates of a halving are all below the root.
    assert judged or (name in ("beam", "tot", "dvts", "gumbel") and width * width >= 8 * most)


@pytest.mark.parametrize("batch", [1, 8])
def test_a_finite_world_comes_to_an_end_with_everything_closed(name: str, batch: int) -> None:
    search = strategy(name, {"width": 3})(seed=0) if name == "ab-mcts" else maker(name)(seed=7)
    drive = Drive(search, needle(3, 3, "120", guide=0.5)).run(UNTIL_DONE, batch=batch, shuffle=2)
    assert drive.search.ask(drive.tree, 8) == []
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)
    assert len(drive.tree.nodes) == 1 + len(drive.trials)


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_a_node_is_closed_only_once_nothing_flies_below_it_and_all_are_when_the_search_is_over(name: str, workers: int) -> None:
    """Limits of iterations and answers included; what was called closed is never extended."""
    few = {"lats": {"n": 3, "iterations": 6}, "plans": {"iterations": 8}, "gumbel": {"simulations": 40}, "ab-mcts": {"width": 3}}
    drive = Drive(strategy(name, few.get(name, {}))(seed=0), needle(4, 3, "1201", guide=0.9))
    rng, waiting, closed = random.Random(workers), list[Trial](), set[int]()
    while asked := [*waiting, *drive.search.ask(drive.tree, workers - len(waiting))]:
        waiting = asked
        assert not closed & {trial.parent for trial in waiting}
        for trial in waiting:
            above = {0, trial.parent, *(node.index for node in drive.tree.path(trial.parent))}
            assert not any(drive.search.is_closed(index) for index in above), (trial, above)
        drive.tell(waiting.pop(rng.randrange(len(waiting))))
        closed |= {node.index for node in drive.tree.nodes if drive.search.is_closed(node.index) and not drive.tree.children[node.index]}
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)


@pytest.mark.parametrize("words", [(math.nan,), (math.inf, -math.inf, math.nan, None, 0.5)])
def test_values_and_priors_that_are_no_numbers_say_nothing(name: str, words: tuple[float | None, ...]) -> None:
    def world(tree: Tree, trial: Trial) -> Outcome:
        ended = tree.nodes[trial.parent].depth >= 2 and trial.sample % 2
        stop = StopReason.ANSWERED if ended else StopReason.OPEN
        return Outcome(text="x", value=words[trial.id % len(words)], prior=words[0], stop=stop)

    drive = Drive(maker(name)(seed=7), world).run(60, batch=4, shuffle=3)
    assert len(drive.trials) == 60 or name in CHAINS
    assert all(math.isfinite(total) for total in drive.tree.value_sum)
    assert name not in ("mcts", "puct", "best-first") or max(map(len, drive.tree.children)) <= 4
    assert drive.tree.nodes[drive.search.choose(drive.tree, drive.answers)].stop is StopReason.ANSWERED or not drive.answers


def test_outcomes_that_say_nothing_do_not_hang_or_count(name: str) -> None:
    draws = random.Random(3)

    def world(tree: Tree, trial: Trial) -> Outcome | None:
        if draws.random() < 0.2:
            return None
        stop = draws.choice([StopReason.ERROR, StopReason.MALFORMED, StopReason.MERGED, StopReason.LENGTH, *[StopReason.OPEN] * 6])
        deep = tree.nodes[trial.parent].depth >= 4
        return Outcome(text="x", value=0.5 if stop is StopReason.OPEN else None, stop=StopReason.ANSWERED if deep else stop)

    drive = Drive(maker(name)(seed=7), world).run(300, batch=6, shuffle=5)
    told = [trial.id for trial in drive.trials]
    assert len(set(told)) == len(told)
    assert all(abs(total) <= count for total, count in zip(drive.tree.value_sum, drive.tree.visits, strict=True))


def test_telling_twice_has_no_second_effect(name: str) -> None:
    def run(times: int) -> Tree:
        drive = Drive(maker(name)(seed=7), wide)
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
    whole = Drive(maker(name)(seed=7), wide).run(80, batch=4)
    half = Drive(maker(name)(seed=7), wide).run(40, batch=4)
    for _ in range(2):
        half.search, half.tree = pickle.loads(pickle.dumps((half.search, half.tree)))
    half.run(80, batch=4)
    if name not in CHAINS:
        # A batch is told to its end before the pause, so the halves need not ask in the same rhythm; one after the other they do.
        whole = Drive(maker(name)(seed=7), wide).run(80)
        half = Drive(maker(name)(seed=7), wide).run(40)
        half.search, half.tree = pickle.loads(pickle.dumps((half.search, half.tree)))
        half.run(80)
    assert [(node.parent, node.sample, node.move) for node in half.tree.nodes] == [
        (node.parent, node.sample, node.move) for node in whole.tree.nodes
    ]


def test_the_same_seed_gives_the_same_tree(name: str) -> None:
    trees = [Drive(maker(name)(seed=7), wide).run(100, batch=5).tree for _ in range(2)]
    assert [(node.parent, node.sample) for node in trees[0].nodes] == [(node.parent, node.sample) for node in trees[1].nodes]


def test_a_chain_deeper_than_the_stack(name: str) -> None:
    """One child per node; `TIRAGE_DEPTH=5000` for longer ones, whose paths cost time by the square of their length."""
    if name == "rstar":
        pytest.skip("the grammar ends a path at its depth limit")
    narrow = {
        "best-of-n": {"n": 1},
        "weighted-n": {"n": 1},
        "greedy": {},
        "beam": {"width": 1, "branch": 1},
        "tot": {"width": 1, "branch": 1},
        "dvts": {"branch": 1, "groups": 1},
        "gumbel": {"width": 1, "considered": 1, "simulations": DEPTH},
        "lats": {"n": 1, "ahead": DEPTH, "depth": DEPTH},
        "plans": {"n": 1, "root": 1, "depth": DEPTH, "iterations": DEPTH},
    }.get(name, {"width": 1})
    drive = Drive(strategy(name, narrow)(seed=0), lambda tree, trial: Outcome(text="x", value=0.6, prior=1.0)).run(DEPTH)
    assert [node.depth for node in drive.tree.nodes] == list(range(DEPTH + 1))
    assert drive.search.choose(drive.tree, {DEPTH: "x"}) == DEPTH
    assert DEPTH > sys.getrecursionlimit()


@pytest.mark.parametrize("name", ["mcts", "puct", "best-first"])
def test_a_trap_that_fools_greedy_and_a_beam(name: str) -> None:
    for fooled in ("greedy", "dfs", "beam"):
        drive = Drive(maker(fooled)(seed=7), trap).run(400)
        assert path_text(drive.tree, best(drive.tree, drive.answers)) != "110", fooled
    drive = Drive(maker(name)(seed=7), trap).run(400)
    assert path_text(drive.tree, best(drive.tree, drive.answers)) == "110", drive.answers


def test_a_needle_with_a_guide_is_found_by_every_tree(name: str) -> None:
    if name in ("greedy", "best-of-n", "weighted-n", "dfsdt"):
        pytest.skip("chains do not look at values on their way, and going back two levels leaves siblings out")
    if name == "rstar":
        pytest.skip("roll-outs at random go by ends alone")
    special: dict[str, dict[str, Any]] = {"dfs": {"width": 3, "threshold": 0.2, "answers": 99}, "ab-mcts": {"width": 3}}
    search = strategy(name, special[name])(seed=0) if name in special else maker(name)(seed=7)
    drive = Drive(search, needle(4, 3, "1201", guide=1.0)).run(200)
    assert path_text(drive.tree, best(drive.tree, drive.answers)) == "1201", drive.answers


@pytest.mark.parametrize("name", ["mcts", "puct", "gumbel"])
def test_the_best_move_of_a_game_of_chance(name: str) -> None:
    options: dict[str, object] = {"width": 2, "considered": 2, "simulations": 300} if name == "gumbel" else {"width": 2}
    right = 0
    for seed in range(10):
        drive = Drive(strategy(name, options)(seed=0), gamble(seed))
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
    search, tree = maker(name)(seed=7), new_tree()
    assert search.choose(tree, {}) == 0
    (trial, *_) = search.ask(tree, 1)
    search.tell(tree, trial, tree.add(0, step("x"), stop=StopReason.LENGTH, move=trial.move))
    assert search.choose(tree, {1: None}) == 1


def test_searching_needs_no_framework() -> None:
    heavy = "('torch', 'transformers', 'numpy', 'networkx', 'litellm')"
    code = (
        f"import sys, tirage.search.strategies as s; s.strategy('mcts')(seed=0); print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_names_and_options_are_explained() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mcts'"):
        strategy("mctss")
    with pytest.raises(ValueError, match="its options: width, c,"):
        strategy("mcts", {"depth": 3})
    with pytest.raises(ValueError, match="needs c >= 0"):
        strategy("mcts", {"c": -1})
    assert strategy("best-of-7")(seed=0).n == 7  # type: ignore[attr-defined]
