"""Depth-first search, and DFSDT: the same, with each new attempt told what its siblings tried (ToolLLM, Qin et al. 2023, arXiv 2307.16789).

One step at a time: the next one depends on what the last one gave.
"""

import math
from collections.abc import Mapping

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier
from tirage.search.votes import elect, value

BACK = 2
"""Levels to go back after an end or after giving up (ToolLLM's back length): the siblings of such a node are not tried."""


class DepthFirst:
    """Goes on where it is; returns to the parent when a node is worth too little or its attempts are used."""

    valued = True

    def __init__(
        self, *, width: int = 2, threshold: float | None = None, answers: int = 1, aware: bool = False, deepest: int | None = None
    ) -> None:
        """Set the rule.

        Args:
            width: Attempts per node, >= 1.
            threshold: Nodes valued below it are not gone into (Tree of Thoughts, arXiv 2305.10601, algorithm 2).
            answers: Ended paths with an answer after which the search is done, >= 1.
            aware: DFSDT: `Trial.siblings` names the siblings already tried, and an end or giving up goes back two levels.
            deepest: Nodes of a path as ToolBench counts them (a thought one, a call two) from which on it goes no deeper; None: no limit.

        Raises:
            ValueError: A value out of its range.
        """
        if answers < 1:
            raise ValueError(f"depth-first search needs answers >= 1, got {answers}")
        if deepest is not None and deepest < 1:
            raise ValueError(f"depth-first search needs room for at least 1 node in a path, got {deepest}")
        self.frontier = Frontier(width)
        self._threshold = -math.inf if threshold is None else threshold
        self._wanted = answers
        self._aware = aware
        self._deepest = math.inf if deepest is None else deepest
        self._depths = {ROOT: 0}
        """Nodes of the path that ends at a node, as ToolBench counts them."""
        self._stack = [ROOT]
        """The path that is gone down, each node with attempts left or not."""
        self._busy = False

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """One attempt at the deepest node that has any left; none while one is in flight."""
        if self._busy or most < 1:
            return []
        while self._stack and not self.frontier.open[self._stack[-1]]:
            self._leave(tree)
        if not self._stack:
            return []
        parent = self._stack[-1]
        self._busy = True
        return [self.frontier.order(tree, parent, siblings=tuple(tree.children[parent]) if self._aware else ())]

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Go down into an open node that is worth it; after an end go back."""
        if not self.frontier.is_news(trial):
            return
        self._busy = False
        outcome = self.frontier.take(tree, trial, node)
        if node is None:
            return
        if node.stop is StopReason.OPEN:
            depth = self._depths[node.index] = self._depths[node.parent] + counted(node)
            if depth < self._deepest and (outcome is None or outcome >= self._threshold):
                self._stack.append(node.index)
            else:
                self.frontier.shut(node.index)
            return
        if node.stop is StopReason.ANSWERED:
            self._wanted -= 1
        if not self._wanted:
            while self._stack:
                self._leave(tree)
        elif self._aware and node.stop in (StopReason.ANSWERED, StopReason.GAVE_UP):
            for _ in range(BACK - 1):
                self._leave(tree)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again."""
        return self.frontier.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The heaviest answer, each ended path weighing its value."""
        return elect(tree, answers, value)

    def _leave(self, tree: Tree) -> None:
        """Go up one level, for good."""
        if self._stack:
            self.frontier.shut(self._stack.pop())


def counted(node: Node) -> int:
    """ToolBench's nodes in one reply: its thought, and an action and its input for each call; at least one."""
    step = node.step
    return 1 if step is None else max(1, bool(step.policy_text.strip()) + 2 * len(step.calls))
