"""LATS: tree search over steps with a valuer, looking ahead to an end, and reflections on failures (arXiv 2310.04406).

Values lie in [0, 1] and stand for the model's own judgement: the search never asks what is correct. It backs up values in [-1, 1].
"""

import math
from collections.abc import Mapping, Sequence

from tirage.core.tree import Tree
from tirage.search.expander import Expander
from tirage.search.votes import best, said

REFLECTIONS = 3
"""Reflections shown at once, the most recent."""
REMEMBERED = 8
"""Distinct failures whose reflections are shown; older ones are forgotten."""


class LATS(Expander):
    """One iteration: down by UCT, n children at once, greedily on from the best one, the end's worth backed up as a running mean."""

    lowest = -1.0

    def __init__(self, *, seed: int, w: float = 1.0, n: int = 5, ahead: int = 4, depth: int = 7, iterations: int = 30) -> None:
        """Set the rule.

        Args:
            seed: Settles ties.
            w: Weight of exploration, >= 0: 1 in the paper, sqrt(2) in its code for questions.
            n: Children of a node.
            ahead: Steps that the simulation goes on from the best child; a path that has not ended by then is worth -1.
            depth: Steps of a path at most; a path that has not ended by then is worth -1.
            iterations: Iterations at most; the search also stops when a path has ended with value 1.

        Raises:
            ValueError: A value out of its range.
        """
        if w < 0 or n < 1 or ahead < 0 or depth < 1:
            raise ValueError(f"LATS needs w >= 0, n >= 1, ahead >= 0 and depth >= 1, got w={w}, n={n}, ahead={ahead}, depth={depth}")
        self._w, self._n, self._ahead, self._depth = w, n, ahead, depth
        self._failures: dict[str, int] = {}
        """The first path that failed with this last step, in order of failing."""
        super().__init__(iterations=iterations, seed=seed)

    def moves(self, tree: Tree, index: int) -> Sequence[str]:
        """The policy's own, n times; nothing at the depth limit."""
        return ("",) * self._n if tree.nodes[index].depth < self._depth else ()

    def score(self, tree: Tree, parent: int, child: int) -> float:
        """UCT; a child that no iteration has come through is first, of several the one with the best value."""
        seen = self.frontier.seen
        if not seen[child]:
            return math.inf
        # LATS, eq. 1: V + w sqrt(ln N_p / N), V the running mean, N with what is in flight.
        return self.frontier.q[child] + self._w * math.sqrt(math.log(seen[parent] or 1) / seen[child])

    def reward(self, tree: Tree, index: int) -> float | None:
        """An end without any worth has failed: -1."""
        reward = super().reward(tree, index)
        return self.lowest if reward is not None and reward <= 0 else reward

    def arrived(self, tree: Tree, leaf: int, index: int) -> float | None:
        """An end's worth, or the lowest once the simulation has gone as far as it may."""
        reward = super().arrived(tree, leaf, index)
        # The best child is one step below the leaf; the simulation starts there.
        far = tree.nodes[index].depth - tree.nodes[leaf].depth > self._ahead
        return self.lowest if reward is None and far else reward

    def ended(self, tree: Tree, index: int, reward: float | None) -> None:
        """A failure is remembered; value 1 ends the search, whoever came by it."""
        if reward is None or self.done:
            return
        if reward >= 1:
            self.done = True
            self.frontier.visit(tree, index, reward)
        step = tree.nodes[index].step
        if reward < 0 and step is not None and step.text not in self._failures:
            self._failures[step.text] = index
            if len(self._failures) > REMEMBERED:
                del self._failures[next(iter(self._failures))]

    def prefer(self, tree: Tree, among: list[int]) -> int:
        """The child with the best value, a known end by its worth; ties at random."""
        values = [self.reward(tree, child) if self.is_end(tree, child) else said(tree, child) for child in among]
        worths = [0.0 if value is None else value for value in values]
        top = max(worths)
        return self.rng.choice([child for child, worth in zip(among, worths, strict=True) if worth == top])

    def reflections(self, tree: Tree) -> tuple[int, ...]:
        """At most three failures on which somebody has reflected, the most recent first."""
        return tuple([index for index in reversed(self._failures.values()) if index in tree.notes][:REFLECTIONS])

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The answered path that the valuer likes best."""
        return best(tree, answers)
