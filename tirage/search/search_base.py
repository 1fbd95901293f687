"""What a new strategy starts from: the bookkeeping of nodes, trials and values, around two methods that say where to search."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from tirage.core.tree import Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier
from tirage.search.votes import elect, value


class SearchBase(ABC):
    """A strategy is a subclass with `select` and `told`; batches, pending trials, values and closed nodes are kept here.

    Example, breadth first:

        class BreadthFirst(SearchBase):
            def __init__(self, *, width: int = 2) -> None:
                super().__init__(width=width)
                self.queue = [0]

            def select(self, tree):
                return next((index for index in self.queue if self.frontier.open[index]), None)

            def told(self, tree, node, worth):
                self.queue.append(node.index)
    """

    valued: bool = True
    """Whether it goes by values; False spares asking for them."""

    def __init__(self, *, width: int | None = 4) -> None:
        """`width`: children per node, None for no limit. Raises ValueError below 1."""
        self.frontier = Frontier(width)

    @abstractmethod
    def select(self, tree: Tree) -> int | None:
        """Selection: the node to extend, one for which `self.frontier.open` holds; None while there is none."""

    @abstractmethod
    def told(self, tree: Tree, node: Node, worth: float) -> None:
        """Expansion: `node` has joined the tree; `worth` is its value, or its parent's where it has none."""

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The node whose path is the answer, 0 for none: by default that of the heaviest answer, each ended path weighing its value."""
        return elect(tree, answers, value)

    def order(self, tree: Tree, parent: int) -> Trial:
        """The next trial below `parent`."""
        return self.frontier.order(tree, parent)

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` trials, as `select` names their parents."""
        return self.frontier.batch(tree, most, self.select, self.order)

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Back up the value of a trial, then hand its node to `told`."""
        if not self.frontier.is_news(trial):
            return
        worth = self.frontier.take(tree, trial, node)
        if node is not None:
            self.told(tree, node, self.frontier.q[node.index] if worth is None else worth)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again."""
        return self.frontier.is_closed(index)
