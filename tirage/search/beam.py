"""Beam search over steps, and its relatives by other parameters.

Beam search keeps the `width` best prefixes of each round (Snell et al. 2024, arXiv 2408.03314, section 5.2). Breadth-first Tree of Thoughts
(Yao et al. 2023, arXiv 2305.10601, algorithm 1) is the same algorithm with b = `width` and k = `branch`. Diverse verifier tree search
(DVTS, Beeching et al. 2024) runs `groups` independent beams of width 1, which do not compete.
"""

import math
from collections import deque
from collections.abc import Mapping

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier, worth
from tirage.search.votes import elect, value


class Beam:
    """Rounds: every kept node gets `branch` children; when all are told, the best open ones are kept for the next round."""

    valued = True

    def __init__(self, *, width: int = 4, branch: int = 4, groups: int = 1, lookahead: int = 0) -> None:
        """Set the shape.

        Args:
            width: Nodes kept per group and round, >= 1.
            branch: Children per kept node, >= 1; the root gets width * branch per group.
            groups: Beams that do not compete, >= 1.
            lookahead: A candidate is rated by the value at the end of a chain of so many further steps (0: by its own), or where the chain
                breaks off. The steps of the chain are nodes like any other: the first one is a child of the candidate should it be kept,
                and then rated in its turn, by a chain that goes on from the one there is.

        Raises:
            ValueError: A value out of its range.
        """
        if min(width, branch, groups) < 1 or lookahead < 0:
            raise ValueError(
                f"beam search needs width, branch and groups >= 1 and lookahead >= 0, got {width}, {branch}, {groups}, {lookahead}"
            )
        self.frontier = Frontier(None)
        self._width, self._branch, self._lookahead = width, branch, lookahead
        self._orders: deque[tuple[int, int]] = deque((group, ROOT) for _ in range(width * branch) for group in range(groups))
        """(group, node to extend) of this round, still to be asked; groups take turns."""
        self._flying: dict[int, tuple[int, int | None]] = {}
        """Trial to its group and, for a step of a look-ahead, the candidate that is rated by it."""
        self._chains: deque[tuple[int, int, int]] = deque()
        """(group, candidate, tip) of look-aheads to be continued."""
        self._candidates: dict[int, tuple[int, float]] = {}
        """Candidate of this round to its group and rating."""
        self._alive = {ROOT}
        """Nodes that may still be extended: those that were kept, the candidates, and their look-aheads."""

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Look-aheads first, then the round's orders; a new round only when the last one is told."""
        trials: list[Trial] = []
        while len(trials) < most:
            if self._chains:
                group, candidate, parent = self._chains.popleft()
            elif self._orders:
                (group, parent), candidate = self._orders.popleft(), None
            elif self._flying or not self._candidates:
                break
            else:
                self._next_round(tree)
                continue
            trial = self.frontier.order(tree, parent)
            self._flying[trial.id] = (group, candidate)
            trials.append(trial)
        if not (self._flying or self._candidates or self._orders or self._chains):
            self._alive.clear()
        return trials

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """An open node is a candidate, or lengthens the look-ahead it belongs to."""
        if not self.frontier.is_news(trial):
            return
        group, candidate = self._flying.pop(trial.id)
        outcome = self.frontier.take(tree, trial, node)
        if node is None or (candidate is None and node.stop is not StopReason.OPEN):
            return
        if candidate is None:
            self._candidates[node.index] = (group, -math.inf if outcome is None else outcome)
        elif outcome is not None:
            self._candidates[candidate] = (group, outcome)
        self._look_ahead(tree, group, node.index if candidate is None else candidate, node)

    def is_closed(self, index: int) -> bool:
        """Nodes that left the beam, and those whose children are all told."""
        return index not in self._alive and not self.frontier.in_flight(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The heaviest answer, each ended path weighing its value; paths that did not end have no vote."""
        return elect(tree, answers, value)

    def _look_ahead(self, tree: Tree, group: int, candidate: int, tip: Node) -> None:
        """The candidate's chain has come to `tip`: go on from there unless it is long enough."""
        if tip.stop is StopReason.OPEN:
            self._alive.add(tip.index)
            if tip.depth - tree.nodes[candidate].depth < self._lookahead:
                self._chains.append((group, candidate, tip.index))

    def _next_round(self, tree: Tree) -> None:
        """Keep the best candidates of each group, ties to the earliest; children that a look-ahead made already count."""
        kept: dict[int, list[int]] = {}
        for index in sorted(self._candidates, key=lambda index: (-self._candidates[index][1], index)):
            places = kept.setdefault(self._candidates[index][0], [])
            if len(places) < self._width:
                places.append(index)
        self._candidates = {}
        self._alive = {index for places in kept.values() for index in places}
        orders = []
        for group, indices in kept.items():
            for index in indices:
                for child in tree.children[index]:
                    self._adopt(tree, group, child)
                orders += [(draw, group, index) for draw in range(self._branch - self.frontier.ordered[index])]
        # Draw by draw and group by group, so that a batch is spread over all that was kept.
        self._orders.extend((group, index) for _, group, index in sorted(orders))

    def _adopt(self, tree: Tree, group: int, child: int) -> None:
        """A child that its parent's look-ahead made is a candidate, rated by what is known of its own chain so far."""
        node = tree.nodes[child]
        if node.stop is not StopReason.OPEN:
            return
        rating = -math.inf
        while True:
            outcome = worth(tree, node)
            rating = rating if outcome is None else outcome
            if node.stop is StopReason.OPEN:
                self._alive.add(node.index)
            if not tree.children[node.index]:
                break
            # Below a candidate there is nothing but the chain.
            node = tree.nodes[tree.children[node.index][0]]
        self._candidates[child] = (group, rating)
        self._look_ahead(tree, group, child, node)
