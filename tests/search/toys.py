"""Toy worlds with known answers, besides those that `tirage.testing` ships."""

import random
from dataclasses import dataclass, field

from tirage.core import StopReason, Tree
from tirage.core.tree import ROOT
from tirage.search.base import Trial
from tirage.testing.suites.worlds import Drive, Outcome, World, needle, new_tree, path_text, step

__all__ = [
    "Drive",
    "GraphEnv",
    "GraphWorld",
    "Outcome",
    "World",
    "bandit",
    "gamble",
    "needle",
    "new_tree",
    "path_text",
    "pulls",
    "step",
    "trap",
]


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
