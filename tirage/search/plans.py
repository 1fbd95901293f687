"""CPL: Monte Carlo tree search over the steps of a plan, whose values rank steps (arXiv 2409.08642).

A node is one plan step, or the solution that ends the plan. Values lie in [-1, 1].
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Tree
from tirage.search.expander import Expander
from tirage.search.frontier import weight
from tirage.search.votes import elect, said, value


class PlanSearch(Expander):
    """One iteration: down by PUCT, the node's own value backed up, all its children ordered; ends are backed up when told."""

    lowest = -1.0

    def __init__(self, *, seed: int, c: float = 1.5, n: int = 3, root: int = 5, depth: int = 6, iterations: int = 200) -> None:
        """Set the rule.

        Args:
            seed: Settles ties.
            c: Weight of exploration, >= 0.
            n: Children of an inner node.
            root: Children of the root.
            depth: Steps of the longest plan; a path that has not ended with one more is worth -1.
            iterations: Expansions at most.

        Raises:
            ValueError: A value out of its range.
        """
        if c < 0 or n < 1 or root < 1 or depth < 1:
            raise ValueError(f"plan search needs c >= 0, n >= 1, root >= 1 and depth >= 1, got c={c}, n={n}, root={root}, depth={depth}")
        self._c, self._n, self._root, self._depth = c, n, root, depth
        super().__init__(iterations=iterations, seed=seed)

    def moves(self, tree: Tree, index: int) -> Sequence[str]:
        """The policy's own, `n` times; nothing below the depth limit."""
        if index == ROOT:
            return ("",) * self._root
        return ("",) * self._n if tree.nodes[index].depth <= self._depth else ()

    def score(self, tree: Tree, parent: int, child: int) -> float:
        """PUCT with the prior as it is, exp of the mean log-probability; a node without one counts as 1."""
        seen, prior = self.frontier.seen, weight(tree.nodes[child].prior)
        mean = self.frontier.q[child] if tree.visits[child] else 0.0
        # CPL, section 3.1: Q + c P sqrt(N_p) / (1 + N), Q = 0 before the first visit; N with what is in flight.
        return mean + self._c * prior * math.sqrt(seen[parent]) / (1 + seen[child])

    def begin(self, tree: Tree, leaf: int) -> None:
        """Back up the leaf's own value, 0 (the middle of the range) where the valuer said nothing, and expand it."""
        self.frontier.visit(tree, leaf, said(tree, leaf) or 0.0)
        self.expand(tree, leaf)

    def ended(self, tree: Tree, index: int, reward: float | None) -> None:
        """Back up an end at once."""
        if reward is not None:
            self.frontier.visit(tree, index, reward)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The heaviest answer; a path weighs its value, moved from [-1, 1] to [0, 1]."""
        return elect(tree, answers, lambda grown, index: (1.0 + value(grown, index)) / 2.0)


def preference_pairs(tree: Tree) -> list[tuple[int, int]]:
    """Step-APO's (chosen, rejected) pairs of a plan tree: siblings with Q_chosen > 0 > Q_rejected, so with the same prefix.

    Plan steps are paired with plan steps, all of them; of solutions only the best with the worst. Broken ends are in no pair.
    """
    pairs: list[tuple[int, int]] = []
    for children in tree.children:
        visited = [child for child in children if tree.visits[child]]
        mean = {child: tree.value_sum[child] / tree.visits[child] for child in visited}
        steps = [child for child in visited if tree.nodes[child].stop is StopReason.OPEN]
        solutions = [child for child in visited if tree.nodes[child].stop is StopReason.ANSWERED]
        pairs += [pair for pair in product(steps, steps) if mean[pair[0]] > 0 > mean[pair[1]]]
        if solutions:
            best, worst = max(solutions, key=mean.__getitem__), min(solutions, key=mean.__getitem__)
            if mean[best] > 0 > mean[worst]:
                pairs.append((best, worst))
    return pairs
