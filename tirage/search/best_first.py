"""Best-first search: always extend the node with the highest value (Pearl 1984; as tree search for language models, arXiv 2407.01476)."""

import heapq

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.search_base import SearchBase


class BestFirst(SearchBase):
    """Takes the best node that is open and orders all its children, then the next best."""

    def __init__(self, *, width: int = 4) -> None:
        """`width`: children per node. Raises ValueError below 1."""
        super().__init__(width=width)
        self._begun = [ROOT]
        """Nodes whose children are being ordered: one, more where a batch is spread."""
        self._queue: list[tuple[float, int]] = []
        """(minus the value, node): the highest value, then the earliest node first."""

    def select(self, tree: Tree) -> int | None:
        """A node that has begun and is open, else the best of the queue."""
        for index in self._begun:
            if self.frontier.open[index]:
                return index
        if not self._queue:
            return None
        self._begun.append(heapq.heappop(self._queue)[1])
        return self._begun[-1]

    def told(self, tree: Tree, node: Node, worth: float) -> None:
        """Queue the node by its value."""
        if node.stop is StopReason.OPEN:
            heapq.heappush(self._queue, (-worth, node.index))

    def order(self, tree: Tree, parent: int) -> Trial:
        """A child; a node that has all of its children has not just begun any more."""
        trial = self.frontier.order(tree, parent)
        if not self.frontier.open[parent]:
            self._begun.remove(parent)
        return trial
