"""Toy worlds with known answers: a search is driven through them as the explorer would, with results in any order."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tirage.core import Finish, Source, Span, Step, StopReason, Tree
from tirage.core.tree import ROOT, Node
from tirage.search.base import Search, Trial


def new_tree() -> Tree:
    return Tree(problem_id="p", policy_id="m", seed=0, prompt=())


def step(text: str = "") -> Step:
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


def trap(tree: Tree, trial: Trial) -> Outcome:
    """Step 0 looks best and leads to 0.4 at most; step 1 looks bad and leads to 1.0; greedy and a max-value beam of width 1 take 0."""
    text = path_text(tree, trial.parent) + str(trial.sample % 2)
    if len(text) == 3:
        value = 1.0 if text == "110" else 0.4 if text[0] == "0" else 0.3
        return Outcome(text=text[-1], value=value, stop=StopReason.ANSWERED)
    return Outcome(text=text[-1], value={"0": 0.8, "1": 0.5}[text[0]] if len(text) == 1 else 0.4 if text[0] == "0" else 0.45)


def bandit(chances: tuple[float, ...], seed: int) -> World:
    """Below the root one arm per child; below an arm only ends, which pay 1 with the arm's chance."""
    rng = random.Random(seed)

    def world(tree: Tree, trial: Trial) -> Outcome:
        arm = trial.sample if trial.parent == ROOT else tree.nodes[trial.parent].sample
        paid = float(rng.random() < chances[arm])
        return Outcome(text=str(arm), value=paid, stop=StopReason.OPEN if trial.parent == ROOT else StopReason.ANSWERED)

    return world


def gamble(seed: int) -> World:
    """A stochastic game of two moves. First 0 pays 1 in 60 % of all workflows; first 1, then 1 pays in 90 %, first 1, then 0 in 10 %.

    First 0 is worth 0.6; first 1, played well, 0.9, played at random, 0.5: the best first move is 1, for those who look two moves ahead.
    """
    rng = random.Random(seed)
    chances = {"0": 0.6, "10": 0.1, "11": 0.9}

    def world(tree: Tree, trial: Trial) -> Outcome:
        above = path_text(tree, trial.parent).replace("x", "")
        text = above if above in chances else above + str(trial.sample % 2)
        paid = text in chances and rng.random() < chances[text]
        ended = text in chances and tree.nodes[trial.parent].depth > 0 and above in chances
        said = "x" if above in chances else text[-1]
        return Outcome(text=said, value=float(paid) if text in chances else 0.5, stop=StopReason.ANSWERED if ended else StopReason.OPEN)

    return world


def pulls(drive: Drive, arms: int) -> list[int]:
    """Nodes in each arm's subtree."""
    counts = [0] * arms
    for node in drive.tree.nodes[1:]:
        counts[drive.tree.path(node.index)[0].sample] += 1
    return counts


@dataclass(slots=True)
class GraphEnv:
    """A walk through a graph with one rewarding leaf. Its state is a place and a count that depends on the order of the steps."""

    depth: int
    branching: int
    goal: str
    place: str = ""
    count: int = 0

    def step(self, action: int) -> None:
        self.place += str(action)
        self.count = self.count * self.branching + action + 1

    def snapshot(self) -> tuple[str, int]:
        return self.place, self.count

    def restore(self, state: tuple[str, int]) -> None:
        self.place, self.count = state


@dataclass(slots=True)
class GraphWorld:
    """One environment for a whole tree, put back to the parent's state before each step. Inner nodes are worth `guide` of the way found."""

    env: GraphEnv
    guide: float = 0.0
    base: float = 0.5
    """What every inner node is worth besides."""
    states: dict[int, tuple[str, int]] = field(default_factory=lambda: {ROOT: ("", 0)})

    def __call__(self, tree: Tree, trial: Trial) -> Outcome:
        env = self.env
        env.restore(self.states[trial.parent])
        env.step(trial.sample % env.branching)
        self.states[len(tree.nodes)] = env.snapshot()
        if len(env.place) == env.depth:
            right = env.place == env.goal
            return Outcome(
                text=env.place[-1], value=float(right), stop=StopReason.ANSWERED, note=None if right else f"not by way of {env.place}"
            )
        return Outcome(
            text=env.place[-1], value=self.base + self.guide * env.goal.startswith(env.place) * len(env.place) / env.depth, prior=0.5
        )


PRIORS = (0.6, 0.3, 0.1)
VALUES = {"a": 0.2, "b": 0.6, "c": -0.4, "aa": -0.2, "ab": 0.1, "ba": 0.4}
