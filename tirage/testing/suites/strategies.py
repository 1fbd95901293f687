"""What every search promises, whatever its rule.

require(check_strategy(MySearch))
"""

import inspect
import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Search, Trial
from tirage.testing.suites.findings import Finding, Skipped, demand, try_all
from tirage.testing.suites.worlds import Drive, Outcome, needle, new_tree, path_text, step

Make = Callable[[], Search]
ENOUGH = 500
"""Trials after which a search that never ends is left alone."""
DEEP = 1050
"""Nodes, one below the other if the search goes that way: more than Python's stack is deep."""


def check_strategy(make: Callable[..., Any], **options: Any) -> list[Finding]:
    """Check a strategy: its class, or what makes a search, with `options`; one that takes a `seed` is given one."""
    try:
        draws = "seed" in inspect.signature(make).parameters
    except ValueError:  # something built in, and no search
        draws = False
    if draws:
        options = {"seed": 7, **options}
    return try_all("strategy", partial(make, **options), PROMISES)


def wide(tree: Tree, trial: Trial) -> Outcome:
    """Never ends; values are a hash of the path, so that they are the same in any order."""
    text = f"{path_text(tree, trial.parent)}.{trial.sample}"
    return Outcome(text=f".{trial.sample}", value=random.Random(text).random(), prior=random.Random(text + "p").random())


def _port(make: Make) -> None:
    search = make()
    missing = [name for name in ("ask", "tell", "is_closed", "choose") if not callable(getattr(search, name, None))]
    demand(not missing, f"a {type(search).__name__} has no {', '.join(missing)}")
    demand(isinstance(search.valued, bool), f"valued is {search.valued!r}; say True or False")


def _orders(make: Make) -> None:
    drive, known, last = Drive(make(), wide), set[int](), -1
    demand(not drive.search.ask(drive.tree, 0), "asked for no trial it gave some")
    for most in (1, 8, 3, 8, 16, 8):
        trials = drive.search.ask(drive.tree, most)
        demand(len(trials) <= most, f"asked for {most} trials it gave {len(trials)}")
        for trial in trials:
            demand(trial.id > last and trial.id not in known, f"trial {trial.id} comes after {last}; ids increase")
            last = trial.id
            known.add(trial.id)
            demand(0 <= trial.parent < len(drive.tree.nodes), f"trial {trial.id} extends node {trial.parent}, which is not there")
        for trial in trials:
            drive.tell(trial)
    demand(len(drive.tree.nodes) > 1, "it ordered nothing")


def _ended_paths(make: Make) -> None:
    drive = Drive(make(), needle(3, 3, "120", guide=0.5))
    for _ in range(ENOUGH):
        trials = drive.search.ask(drive.tree, 4)
        if not trials:
            return
        for trial in trials:
            demand(drive.tree.nodes[trial.parent].stop is StopReason.OPEN, f"node {trial.parent} has ended, and was extended")
        for trial in trials:
            drive.tell(trial)


def _draws_differ(make: Make) -> None:
    drive = Drive(make(), wide).run(100, batch=5)
    drawn = [(trial.parent, trial.sample, trial.move) for trial in drive.trials]
    demand(len(set(drawn)) == len(drawn), "two trials of one node have the same `sample` and would draw the same")


def _over(make: Make) -> None:
    drive = Drive(make(), needle(3, 3, "120", guide=0.5)).run(ENOUGH, batch=8, shuffle=2)
    if len(drive.trials) >= ENOUGH:
        raise Skipped(f"it goes on after {ENOUGH} trials")
    demand(not drive.search.ask(drive.tree, 8), "after it ended, with nothing told, it ordered more")
    left = [node.index for node in drive.tree.nodes if not drive.search.is_closed(node.index)]
    demand(not left, f"it is over, and is_closed({left[:1]}) is False: sessions of open nodes are never freed")


def _closed(make: Make) -> None:
    drive = Drive(make(), needle(4, 3, "1201", guide=0.9))
    rng, waiting, closed = random.Random(3), list[Trial](), set[int]()
    for _ in range(ENOUGH):
        waiting += drive.search.ask(drive.tree, 4 - len(waiting))
        if not waiting:
            break
        for trial in waiting:
            demand(trial.parent not in closed, f"node {trial.parent} was closed, and is extended")
            above = {ROOT, trial.parent, *(node.index for node in drive.tree.path(trial.parent))}
            wrong = [index for index in above if drive.search.is_closed(index)]
            demand(not wrong, f"is_closed({wrong}) is True while a trial flies below")
        drive.tell(waiting.pop(rng.randrange(len(waiting))))
        closed |= {node.index for node in drive.tree.nodes if drive.search.is_closed(node.index)}


def _twice(make: Make) -> None:
    def run(times: int) -> Tree:
        drive = Drive(make(), wide)
        tell = drive.search.tell

        def again(tree: Tree, trial: Trial, node: Node | None) -> None:
            for _ in range(times):
                tell(tree, trial, node)

        drive.search.tell = again  # type: ignore[method-assign]
        return drive.run(60, batch=3).tree

    once, twice = run(1), run(2)
    demand(once.visits == twice.visits and _shape(once) == _shape(twice), "telling a trial twice has an effect")


def _same(make: Make) -> None:
    first, second = (Drive(make(), wide).run(100, batch=5).tree for _ in range(2))
    demand(_shape(first) == _shape(second), "two searches with one seed grew different trees")


def _odd_values(make: Make) -> None:
    words = (math.inf, -math.inf, math.nan, None, 0.5)

    def world(tree: Tree, trial: Trial) -> Outcome:
        ended = tree.nodes[trial.parent].depth >= 2 and trial.sample % 2
        stop = StopReason.ANSWERED if ended else StopReason.OPEN
        return Outcome(text="x", value=words[trial.id % len(words)], prior=math.nan, stop=stop)

    drive = Drive(make(), world).run(60, batch=4, shuffle=3)
    demand(all(math.isfinite(total) for total in drive.tree.value_sum), "a value that is no finite number was added up")


def _nothing(make: Make) -> None:
    draws = random.Random(3)

    def world(tree: Tree, trial: Trial) -> Outcome | None:
        if draws.random() < 0.2:
            return None
        stop = draws.choice([StopReason.ERROR, StopReason.MALFORMED, StopReason.MERGED, StopReason.LENGTH, *[StopReason.OPEN] * 6])
        deep = tree.nodes[trial.parent].depth >= 4
        return Outcome(text="x", value=0.5 if stop is StopReason.OPEN else None, stop=StopReason.ANSWERED if deep else stop)

    drive = Drive(make(), world).run(300, batch=6, shuffle=5)
    demand(len({trial.id for trial in drive.trials}) == len(drive.trials), "a trial that gave nothing was ordered again under its id")
    pairs = zip(drive.tree.value_sum, drive.tree.visits, strict=True)
    demand(all(abs(total) <= count for total, count in pairs), "an outcome that says nothing was counted")


def _chooses(make: Make) -> None:
    search, tree = make(), new_tree()
    demand(search.choose(tree, {}) == ROOT, "with nothing in the tree it chose another node than the root")
    (trial, *_) = search.ask(tree, 1)
    search.tell(tree, trial, tree.add(ROOT, step("x"), stop=StopReason.LENGTH, move=trial.move))
    demand(search.choose(tree, {1: None}) in (0, 1), "it chose a node that is not there")
    drive = Drive(make(), needle(2, 3, "12", guide=0.5)).run(60)
    if drive.answers:
        demand(drive.search.choose(drive.tree, drive.answers) in drive.answers, "with answers at hand it chose a node without one")


def _deep(make: Make) -> None:
    drive = Drive(make(), lambda tree, trial: Outcome(text="x", value=0.6, prior=1.0)).run(DEEP)
    for node in (drive.tree.nodes[-1].index, ROOT):
        drive.search.is_closed(node)


def _shape(tree: Tree) -> list[tuple[int, int, str]]:
    return [(node.parent, node.sample, node.move) for node in tree.nodes]


PROMISES: dict[str, Callable[[Make], None]] = {
    "it has the port": _port,
    "orders are no more than asked, numbered upwards, below nodes that are there": _orders,
    "paths that have ended are not extended": _ended_paths,
    "each draw of a node's continuation has its own number": _draws_differ,
    "once it is over it orders nothing, and everything is closed": _over,
    "a closed node is never extended, and nothing flies below it": _closed,
    "telling a trial twice has no second effect": _twice,
    "the same seed gives the same tree": _same,
    "values that are no finite numbers say nothing": _odd_values,
    "outcomes that say nothing neither hang it nor count": _nothing,
    "it chooses an answer where there is one": _chooses,
    "a path deeper than the stack does not break it": _deep,
}
