"""What a new strategy starts from: the bookkeeping of nodes, trials and values, around two methods that say where to search."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping

from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier
from tirage.search.votes import elect, ones, value


class SearchBase(ABC):
    """A strategy is a subclass with `select`, and with `told` where it learns; batches, pending trials, values, closed nodes are kept here.

    The keyword arguments of its `__init__` are its options on the command line; one named `seed` gets the tree's seed.

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
    """Whether it goes by values; False spares asking for them, and every answer has one vote."""

    def __init__(self, *, width: int | None = 4, seed: int = 0) -> None:
        """`width`: children per node, None for no limit; `seed`: of `rng`. Raises ValueError for a width below 1."""
        self.frontier = _Room(width)
        self.rng = random.Random(seed)
        """For draws of the subclass; nothing else may decide by chance."""
        self.done = False
        """True once nothing more is ordered; a subclass may set it."""

    @abstractmethod
    def select(self, tree: Tree) -> int | None:
        """Selection: the node to extend, one of `open_nodes()`, of which there is one at least; None while there is none to extend.

        Asked several times for a batch; what is in flight below a node is `self.frontier.in_flight(index)`. With None while nothing is in
        flight the search is over.
        """

    def told(self, tree: Tree, node: Node, worth: float) -> None:  # noqa: B027 - optional
        """Expansion: `node` has joined the tree, its value is backed up; `worth` is its value, or its parent's where it has none."""

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The node whose path is the answer, 0 for none: by default that of the heaviest answer, each ended path weighing its value."""
        return elect(tree, answers, value if self.valued else ones)

    def open_nodes(self) -> list[int]:
        """Nodes that can get another child now, in order of arrival; O(nodes)."""
        return [index for index, is_open in enumerate(self.frontier.open) if is_open]

    def mean(self, index: int) -> float:
        """The mean of what was backed up through a node; its parent's where nothing was yet, 0 at a root without any."""
        return self.frontier.q[index]

    def close(self, index: int) -> None:
        """Give node `index` no further child, ever; those below it are not touched."""
        self.frontier.closed.add(index)
        self.frontier.shut(index)

    def order(self, tree: Tree, parent: int) -> Trial:
        """The next trial below `parent`."""
        return self.frontier.order(tree, parent)

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` trials, as `select` names their parents. Raises ValueError where it names a node that cannot be extended."""
        if self.done or most < 1:
            return []
        trials = self.frontier.batch(tree, most, self._select, self.order)
        self.done = not trials and not self.frontier.in_flight(ROOT)
        return trials

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Back up the value of a trial, then hand its node to `told`. Telling a trial again has no effect."""
        if not self.frontier.is_news(trial):
            return
        worth = self.frontier.take(tree, trial, node)
        if node is not None:
            self.told(tree, node, self.frontier.q[node.index] if worth is None else worth)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again and nothing is in flight at or below it."""
        return self.frontier.is_closed(index) or (self.done and not self.frontier.in_flight(index))

    def _select(self, tree: Tree) -> int | None:
        index = self.select(tree)
        if index is not None and not (0 <= index < len(self.frontier.open) and self.frontier.open[index]):
            raise ValueError(f"{type(self).__name__}.select named node {index}, which takes no further child; name one of open_nodes()")
        return index


class _Room(Frontier):
    """As many children per node as the width says, none where the subclass closed a node."""

    def __init__(self, width: int | None) -> None:
        super().__init__(width)
        self.closed: set[int] = set()

    def allowed(self, tree: Tree, index: int) -> int | None:
        return 0 if index in self.closed else self.width
