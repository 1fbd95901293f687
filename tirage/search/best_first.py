"""Best-first search: always extend the node with the highest value (Pearl 1984; as tree search for language models, arXiv 2407.01476)."""

import heapq
from collections.abc import Mapping

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier
from tirage.search.votes import elect, value


class BestFirst:
    """Takes the best node that is open and orders all its children, then the next best."""

    valued = True

    def __init__(self, *, width: int = 4) -> None:
        """`width`: children per node. Raises ValueError below 1."""
        self.frontier = Frontier(width)
        self._begun = [ROOT]
        """Nodes whose children are being ordered: one, more where a batch is spread."""
        self._queue: list[tuple[float, int]] = []
        """(minus the value, node): the highest value, then the earliest node first."""

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` children, of the best nodes that have room."""
        return self.frontier.batch(tree, most, self._select, self._order)

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Queue the node by its value; one without a value counts as its parent's worth."""
        if not self.frontier.is_news(trial):
            return
        outcome = self.frontier.take(tree, trial, node)
        if node is not None and node.stop is StopReason.OPEN:
            heapq.heappush(self._queue, (-(self.frontier.q[node.index] if outcome is None else outcome), node.index))

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again."""
        return self.frontier.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The heaviest answer, each ended path weighing its value."""
        return elect(tree, answers, value)

    def _select(self, tree: Tree) -> int | None:
        """A node that has begun and is open, else the best of the queue."""
        for index in self._begun:
            if self.frontier.open[index]:
                return index
        if not self._queue:
            return None
        self._begun.append(heapq.heappop(self._queue)[1])
        return self._begun[-1]

    def _order(self, tree: Tree, parent: int) -> Trial:
        trial = self.frontier.order(tree, parent)
        if not self.frontier.open[parent]:
            self._begun.remove(parent)
        return trial
