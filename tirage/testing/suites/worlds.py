"""Toy worlds with known answers: a search is driven through them as an agent would, with results in any order."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tirage.core.step import Finish, Source, Span, Step
from tirage.core.trajectory import StopReason
from tirage.core.tree import Node, Tree
from tirage.search.base import Search, Trial


def new_tree() -> Tree:
    """An empty tree."""
    return Tree(problem_id="p", policy_id="m", seed=0, prompt=())


def step(text: str = "") -> Step:
    """A step that the policy wrote."""
    return Step(spans=(Span(Source.POLICY, text),), finish=Finish.CALL)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a world makes of a trial."""

    text: str
    value: float | None = None
    stop: StopReason = StopReason.OPEN
    prior: float | None = None
    note: str | None = None


World = Callable[[Tree, Trial], Outcome | None]


@dataclass(slots=True)
class Drive:
    """A search in a world: asks, answers, tells; in the order of asking, or shuffled."""

    search: Search
    world: World
    tree: Tree = field(default_factory=new_tree)
    trials: list[Trial] = field(default_factory=list)

    def tell(self, trial: Trial) -> Node | None:
        """Do what a trial orders and tell the search."""
        outcome = self.world(self.tree, trial)
        node = None
        if outcome is not None:
            node = self.tree.add(
                trial.parent, step(outcome.text), sample=trial.sample, stop=outcome.stop, prior=outcome.prior, move=trial.move
            )
            if outcome.value is not None:
                self.tree.values[node.index] = outcome.value
            if outcome.note is not None:
                self.tree.notes[node.index] = outcome.note
        self.search.tell(self.tree, trial, node)
        return node

    def run(self, nodes: int, *, batch: int = 1, shuffle: int | None = None) -> "Drive":
        """Until `nodes` trials were told or nothing is left to do."""
        rng = random.Random(shuffle)
        waiting: list[Trial] = []
        while len(self.trials) < nodes:
            asked = self.search.ask(self.tree, min(batch - len(waiting), nodes - len(self.trials) - len(waiting)))
            waiting += asked
            if not waiting:
                break
            trial = waiting.pop(rng.randrange(len(waiting)) if shuffle is not None else 0)
            self.trials.append(trial)
            self.tell(trial)
        for trial in waiting:
            self.trials.append(trial)
            self.tell(trial)
        return self

    @property
    def answers(self) -> dict[int, str | None]:
        """The text of every path that was answered."""
        return {leaf: path_text(self.tree, leaf) for leaf in self.tree.leaves() if self.tree.nodes[leaf].stop is StopReason.ANSWERED}

    @property
    def answer(self) -> str:
        """The path that the search chooses."""
        return path_text(self.tree, self.search.choose(self.tree, self.answers))


def path_text(tree: Tree, index: int) -> str:
    """The texts of a path, joined."""
    return "".join(node.step.text for node in tree.path(index) if node.step is not None)


def needle(depth: int, branching: int, path: str, *, guide: float = 0.0) -> World:
    """One rewarding leaf: the digits of `path`. `guide` tells that share of the way found so far as the value of inner nodes."""

    def world(tree: Tree, trial: Trial) -> Outcome:
        text = path_text(tree, trial.parent) + str(trial.sample % branching)
        matched = len(text) if path.startswith(text) else 0
        if len(text) == depth:
            return Outcome(text=text[-1], value=float(text == path), stop=StopReason.ANSWERED)
        return Outcome(text=text[-1], value=guide * matched / depth)

    return world
