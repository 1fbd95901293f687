"""A base for strategies of one's own: one class with two methods, which node is next and what a new node teaches.

    class Shallow(SearchBase):
        '''The open node nearest to the root.'''

        def select(self, tree: Tree) -> int:
            return min(self.open_nodes(), key=lambda index: tree.nodes[index].depth)

The base keeps the books: what was ordered, what is in flight, visits and values, and who is elected.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping

from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier
from tirage.search.votes import elect, ones, value


class SearchBase(ABC):
    """Keeps what every search keeps: orders, trials in flight, what is closed, visits and mean values; elects the answer.

    A subclass says in `select` which node is extended next, and in `learn`, if it wants to, what follows from a node that was told. The
    keyword arguments of its `__init__` are its options on the command line; one named `seed` gets the tree's seed.
    """

    valued = True
    """Whether it goes by values; else no valuer is asked, and every answer has one vote."""

    def __init__(self, *, width: int | None = None, seed: int = 0) -> None:
        """`width`: children per node at most, >= 1, None for no limit; `seed`: of `rng`. Raises ValueError for a width below 1."""
        self.frontier = _Room(width)
        self.rng = random.Random(seed)
        """For draws of the subclass; nothing else may decide by chance."""
        self.done = False
        """True once nothing more is ordered; a subclass may set it."""

    @abstractmethod
    def select(self, tree: Tree) -> int | None:
        """The node that gets one more child: one of `open_nodes()`, of which there is at least one. None: none before the next outcome.

        Asked several times for a batch, so it should count on what is in flight (`self.frontier.in_flight`). With None while nothing is
        in flight the search is over.
        """

    def learn(self, tree: Tree, node: Node, worth: float | None) -> None:  # noqa: B027 - optional
        """Look at a new node; visits and values are backed up already.

        `worth`: what was backed up: the valuer's word, 0 for the policy's own failures, None where nothing was said. A subclass may
        `close` nodes here, or set `done`.
        """

    def open_nodes(self) -> list[int]:
        """Nodes that can get another child now, in order of arrival; O(nodes)."""
        return [index for index, is_open in enumerate(self.frontier.open) if is_open]

    def mean(self, index: int) -> float:
        """The mean of what was backed up through a node; its parent's where nothing was yet, 0 at the root."""
        return self.frontier.q[index]

    def close(self, index: int) -> None:
        """Give node `index` no further child, ever. Those below it are not touched."""
        self.frontier.closed.add(index)
        self.frontier.shut(index)

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` trials, each at the node that `select` names. Raises ValueError where that node cannot be extended."""
        if self.done or most < 1:
            return []
        trials = self.frontier.batch(tree, most, self._select)
        if not trials and not self.frontier.in_flight(ROOT):
            self.done = True
        return trials

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Back up the outcome, then `learn` from it. Telling a trial again has no effect."""
        if not self.frontier.is_news(trial):
            return
        worth = self.frontier.take(tree, trial, node)
        if node is not None:
            self.learn(tree, node, worth)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again and nothing is in flight at or below it."""
        return self.frontier.is_closed(index) or (self.done and not self.frontier.in_flight(index))

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The heaviest answer, each ended path weighing its value, or all the same where the search goes by none."""
        return elect(tree, answers, value if self.valued else ones)

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
