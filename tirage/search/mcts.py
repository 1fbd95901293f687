"""Monte Carlo tree search, pending-aware: UCT and PUCT, several back-ups, first-play urgency, progressive widening.

Kocsis & Szepesvari 2006 (UCT); Silver et al. 2017 (PUCT); trials in flight count as visits without a value, as in WU-UCT
(Liu et al. 2020, arXiv 1810.11755, eq. 4).
"""

import math
from collections.abc import Mapping
from typing import Literal

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier, weight
from tirage.search.votes import elect, value

_ROOTS = [0.0, *(math.sqrt(math.log(count)) for count in range(1, 2048))]
"""sqrt(ln N)."""
Backup = Literal["mean", "max"]
Prior = Literal["none", "raw", "normalised"]


class MCTS:
    """One trial per iteration: down by the rule to a node that takes a child, one new child, its value backed up to the root."""

    valued = True

    def __init__(
        self,
        *,
        width: int | None = 4,
        c: float = math.sqrt(2),
        prior: Prior = "none",
        backup: Backup = "mean",
        discount: float = 1.0,
        urgency: float | None = None,
        widening: tuple[float, float] | None = None,
        simulate: bool = False,
    ) -> None:
        """Set the rule.

        Args:
            width: Children per node; None for no limit, which needs `urgency` or `widening`.
            c: Weight of exploration, >= 0.
            prior: PUCT: exploration is weighted by `Node.prior`, as it is or as a share among the siblings there are, and falls with
                1 / (1 + N) instead of by logarithms. A node without a prior counts as 1.
            backup: What Q is: the mean of the values backed up, or the best one.
            discount: Worth of a value one level further up, in (0, 1].
            urgency: First-play urgency: the Q of a child that does not exist yet, so that a good child is deepened before all its siblings
                exist (Gelly & Wang 2006). None: all children of a node come first.
            simulate: A node that nobody can value yet is extended by one child after the other until the path ends; the end's value is
                backed up through all of them, which stay in the tree.
            widening: (k, a): at most ceil(k * N^a) children (Coulom 2007; Chaslot et al. 2008).

        Raises:
            ValueError: A value out of its range.
        """
        if c < 0 or not 0 < discount <= 1:
            raise ValueError(f"MCTS needs c >= 0 and 0 < discount <= 1, got c={c}, discount={discount}")
        if width is None and urgency is None and widening is None:
            raise ValueError("MCTS without a width never goes deeper; give urgency or widening")
        self.c = c
        self.discount = discount
        self.urgency = urgency
        self._prior = prior
        self._highest = backup == "max"
        self._simulate = simulate
        self._running: list[int] = []
        """Tips of the simulations that go on."""
        self.frontier = _Widening(width, *widening) if widening is not None else Frontier(width)

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` trials; each counts as a visit in flight for the choice of the next."""
        return self.frontier.batch(tree, most, self.select)

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Back the node's value up; outcomes that say nothing about the path (errors) are not."""
        if not self.frontier.is_news(trial):
            return
        # Backup: the trial leaves flight, and its value, if any, goes up to the root.
        value = self.frontier.take(tree, trial, node, discount=self.discount, highest=self._highest)
        if node is None:
            return
        if value is None:
            # Simulation: nobody can value the node yet, so the same path is extended until it ends.
            if self._simulate and node.stop is StopReason.OPEN:
                self._running.append(node.index)
        # Widening: more visits above may make room for another child there.
        elif isinstance(self.frontier, _Widening):
            for above in tree.path(node.parent):
                self.frontier.review(tree, above.index)
            self.frontier.review(tree, ROOT)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again."""
        return self.frontier.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The heaviest answer, each ended path weighing its value."""
        return elect(tree, answers, value)

    def select(self, tree: Tree) -> int:
        """The node to extend: a simulation's tip, else down by the best child until a node takes a new one. Something must be free."""
        # Simulation: open paths are finished before another one is begun.
        if self._running:
            return self._running.pop(0)
        # Selection: down to the node that gets the next child; the driver expands it.
        return self._by_uct(tree) if self._prior == "none" else self._by_puct(tree)

    def _by_uct(self, tree: Tree) -> int:
        """Down to the free child with the largest Q + c sqrt(ln N_p / N), N with what is in flight."""
        children, q, seen, spread = tree.children, self.frontier.q, self.frontier.seen, self.frontier.spread
        free, own, urgency = self.frontier.free, self.frontier.open, self.urgency
        log, sqrt, lowest, c, roots, known = math.log, math.sqrt, -math.inf, self.c, _ROOTS, len(_ROOTS)
        index = ROOT
        while True:
            takes = own[index]
            # Expansion comes first while a node has room, unless a child that does not exist competes by its urgency.
            if takes and urgency is None:
                return index
            # c sqrt(ln N_p) of the parent times 1 / sqrt(N) of each child.
            count = seen[index]
            wide = c * (roots[count] if count < known else sqrt(log(count)))
            ways = children[index]
            if free[index] - takes != len(ways):
                ways = [child for child in ways if free[child]]
            parent, top = index, lowest if urgency is None or not takes else urgency + wide
            for child in ways:
                score = q[child] + wide * spread[child]
                if score > top:
                    index, top = child, score
            # No child beats a new one, or none is free: this node is expanded.
            if index == parent:
                return index

    def _by_puct(self, tree: Tree) -> int:
        """Down to the free child with the largest Q + c P sqrt(N_p) / (1 + N), N with what is in flight."""
        q, seen = self.frontier.q, self.frontier.seen
        free, own, urgency = self.frontier.free, self.frontier.open, self.urgency
        index = ROOT
        while not own[index] or urgency is not None:
            spread, share = self.c * math.sqrt(seen[index]), self._share(tree, index)
            chosen, top = index, -math.inf
            if urgency is not None and own[index]:
                # The prior of a child that does not exist: an equal share with those that do.
                top = urgency + spread / (1 + len(tree.children[index]))
            for child in tree.children[index]:
                if free[child]:
                    score = q[child] + weight(tree.nodes[child].prior) / share * spread / (1 + seen[child])
                    if score > top:
                        chosen, top = child, score
            if chosen == index:
                break
            index = chosen
        return index

    def _share(self, tree: Tree, index: int) -> float:
        """What priors below a node are divided by."""
        if self._prior != "normalised":
            return 1.0
        return math.fsum(weight(tree.nodes[child].prior) for child in tree.children[index]) or 1.0


class _Widening(Frontier):
    """Room for children that grows with the visits."""

    def __init__(self, width: int | None, k: float, a: float) -> None:
        super().__init__(width)
        if k <= 0 or not 0 < a < 1:
            raise ValueError(f"progressive widening needs k > 0 and 0 < a < 1, got k={k}, a={a}")
        self._k, self._a = k, a

    def allowed(self, tree: Tree, index: int) -> int | None:
        """At least one child, at most ceil(k N^a) and the width."""
        room: int = max(1, math.ceil(self._k * tree.visits[index] ** self._a))
        return room if self.width is None else min(room, self.width)
