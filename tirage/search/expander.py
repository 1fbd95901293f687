"""What searches share that give a node all its children at once and may walk on from there to an end.

An iteration goes down to a node without children, orders them all, and, once they are told, may go on from one of them in the same way
until a path ends; then the end's worth is backed up. Iterations overlap: one that needs children in flight waits for them.
"""

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import NO_OUTCOME, Frontier
from tirage.search.votes import said


class Expander(ABC):
    """One expansion after the other; what is ordered, how a child is scored and what is backed up is the subclass's."""

    valued = True
    lowest = 0.0
    """What an end without an answer is worth."""

    def __init__(self, *, iterations: int, seed: int) -> None:
        """At most `iterations` >= 1, else ValueError; `seed` settles ties and random choices."""
        if iterations < 1:
            raise ValueError(f"a search needs at least 1 iteration, got {iterations}")
        self.limit = iterations
        """Iterations at most."""
        self.iterations = 0
        """Iterations begun."""
        self.done = False
        """True once nothing more need be ordered."""
        self.rng = random.Random(seed)
        self.frontier = _Room(self)
        self._queue: dict[int, deque[str]] = {}
        """Moves still to be ordered, by node that is being expanded."""
        self._missing: dict[int, int] = {}
        """Children not yet told, by node that is being expanded."""
        self._walks: dict[int, list[int]] = {}
        """Iterations that wait for a node's children, each by the node it went down to."""

    @abstractmethod
    def moves(self, tree: Tree, index: int) -> Sequence[str]:
        """The moves of the children that node `index` gets, in order; none below a node that the search does not extend."""

    @abstractmethod
    def score(self, tree: Tree, parent: int, child: int) -> float:
        """What the descent maximises among the children of `parent`."""

    @abstractmethod
    def ended(self, tree: Tree, index: int, reward: float | None) -> None:
        """An end was told, whether or not an iteration passes by it."""

    @abstractmethod
    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The node whose path is the answer, 0 when there is none."""

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` trials: what is left of the expansions that have begun, then the next iteration's."""
        return self.frontier.batch(tree, most, self._next, self._order)

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """With the last child of an expansion, the iterations that waited for it go on."""
        if not self.frontier.is_news(trial):
            return
        self.frontier.settle(tree, trial, node)
        if node is not None and self.is_end(tree, node.index):
            self.ended(tree, node.index, self.reward(tree, node.index))
        self._missing[trial.parent] -= 1
        if not self._missing[trial.parent]:
            del self._missing[trial.parent]
            for leaf in self._walks.pop(trial.parent, ()):
                self._walk(tree, leaf, trial.parent)

    def is_closed(self, index: int) -> bool:
        """True when nothing below node `index` is in flight and nothing will be ordered there: all of it once the search is over."""
        over = self.done or (self.iterations == self.limit and not self._missing)
        return self.frontier.is_closed(index) or (over and not self.frontier.in_flight(index))

    def is_end(self, tree: Tree, index: int) -> bool:
        """True when node `index` cannot be extended: its path has ended, or the search goes no further there."""
        return tree.nodes[index].stop is not StopReason.OPEN or not self.moves(tree, index)

    def reward(self, tree: Tree, index: int) -> float | None:
        """What an end is worth: an answer what the valuer said, anything else the lowest; None when nothing can be said."""
        stop = tree.nodes[index].stop
        if stop in NO_OUTCOME:
            return None
        return said(tree, index) if stop is StopReason.ANSWERED else self.lowest

    def begin(self, tree: Tree, leaf: int) -> None:
        """An iteration that went down to `leaf`."""
        self._walk(tree, leaf, leaf)

    def arrived(self, tree: Tree, leaf: int, index: int) -> float | None:
        """What the walk from `leaf` backs up at `index`; None while it goes on."""
        return self.reward(tree, index) if self.is_end(tree, index) else None

    def leads_on(self, index: int) -> bool:
        """Whether the descent may go to node `index`."""
        return self.frontier.free[index] > 0

    def prefer(self, tree: Tree, among: list[int]) -> int:
        """One of several nodes between which the score does not decide, and the child with which a walk goes on."""
        return self.rng.choice(among)

    def reflections(self, tree: Tree) -> tuple[int, ...]:
        """Nodes whose notes the next trial's policy is shown."""
        return ()

    def select(self, tree: Tree) -> int:
        """From the root down by the score to a node without children. Something must be free."""
        index = ROOT
        while not self.frontier.open[index] and tree.children[index]:
            tied: list[int] = []
            top = 0.0
            for child in tree.children[index]:
                if self.leads_on(child):
                    score = self.score(tree, index, child)
                    if not tied or score > top:
                        tied, top = [child], score
                    elif score == top:
                        tied.append(child)
            index = tied[0] if len(tied) == 1 else self.prefer(tree, tied)
        return index

    def expand(self, tree: Tree, index: int) -> None:
        """Queue every child of a node that has none."""
        moves = self.moves(tree, index)
        self._missing[index] = len(moves)
        self._queue[index] = deque(moves)

    def _next(self, tree: Tree) -> int | None:
        """A node whose expansion has begun, beginning an iteration where there is none; None when none can begin."""
        while not self.done:
            for index in self._queue:
                if self.frontier.open[index]:
                    return index
            if self.iterations == self.limit or not self.frontier.free[ROOT]:
                break
            self.iterations += 1
            self.begin(tree, self.select(tree))
        return None

    def _order(self, tree: Tree, parent: int) -> Trial:
        moves = self._queue[parent]
        trial = self.frontier.order(tree, parent, move=moves.popleft(), reflections=self.reflections(tree))
        if not moves:
            del self._queue[parent]
        return trial

    def _walk(self, tree: Tree, leaf: int, index: int) -> None:
        """Go on from node `index` until the walk backs something up or has to wait."""
        while not self.done:
            value = self.arrived(tree, leaf, index)
            if value is not None:
                self.frontier.visit(tree, index, value)
                return
            if index not in self._missing and self.frontier.open[index]:
                self.expand(tree, index)
            if index in self._missing:
                self._walks.setdefault(index, []).append(leaf)
                return
            # Children that say nothing lead nowhere: with nothing else the iteration backs nothing up.
            ways = [child for child in tree.children[index] if not self.is_end(tree, child) or self.reward(tree, child) is not None]
            if not ways:
                return
            index = self.prefer(tree, ways)


class _Room(Frontier):
    """As many children as the search has moves for."""

    def __init__(self, search: Expander) -> None:
        super().__init__(None)
        self._search = search

    def allowed(self, tree: Tree, index: int) -> int | None:
        return len(self._search.moves(tree, index))
