"""What every tree search keeps about its nodes: what was ordered, what is in flight, what can still be ordered.

Lists indexed by node beside the tree's own; an order or an outcome costs O(depth) at worst, nothing scans and nothing recurses.
"""

import math
from collections.abc import Callable

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial

WORST = frozenset({StopReason.MALFORMED, StopReason.LENGTH, StopReason.CALLS, StopReason.GAVE_UP})
"""Ends that are the policy's own failure: worth the lowest value where the valuer says nothing."""
NO_OUTCOME = frozenset({StopReason.ERROR, StopReason.BUDGET, StopReason.MERGED})
"""Ends that say nothing about the path's worth: nothing is backed up."""

UNSEEN = 1e9
"""Stands for 1 / sqrt(0): what was never looked at comes first."""
_SPREAD = [UNSEEN, *(1 / math.sqrt(count) for count in range(1, 1024))]


def _spread(count: int) -> float:
    return _SPREAD[count] if count < len(_SPREAD) else 1 / math.sqrt(count)


class Frontier:
    """Orders below each node. A node is *free* while a trial can be ordered in its subtree, *closed* when none ever will be again."""

    def __init__(self, width: int | None) -> None:
        """`width`: children per node, None for no limit. Raises ValueError below 1."""
        if width is not None and width < 1:
            raise ValueError(f"a node needs room for at least 1 child, got {width}")
        self.width = width
        self.parents = [-1]
        self.ordered = [0]
        """Children ordered so far: the next draw's number."""
        self.seen = [0]
        """Visits with what is in flight: N + O of WU-UCT."""
        self.spread = [UNSEEN]
        """1 / sqrt(seen), kept because UCT reads it far more often than it changes."""
        self._visits = [0]
        """The tree's own list."""
        self.q = [0.0]
        """What a node is worth by what was backed up through it; its parent's worth before anything was."""
        self.free = [1]
        """How many ways lead to something that can be ordered: one for a child of its own, one per free child."""
        self.open = bytearray(b"\1")
        """1 while the node itself can take another child."""
        self._ids = 0
        self._pending: set[int] = set()
        self._aside: list[int] = []
        """Crowded nodes, out of the choice until the batch is full."""

    def batch(
        self, tree: Tree, most: int, select: Callable[[Tree], int | None], order: Callable[[Tree, int], Trial] | None = None
    ) -> list[Trial]:
        """Up to `most` trials, each for the node that `select` names among what is free; None from it when it wants none.

        A node that has half of the batch is crowded and stands aside while `select` finds another one.
        """
        place, free = order or self.order, self.free
        if most == 1:
            parent = select(tree) if free[ROOT] else None
            return [] if parent is None else [place(tree, parent)]
        trials: list[Trial] = []
        half: float = (most + 1) // 2
        given: dict[int, int] = {}
        while len(trials) < most:
            parent = select(tree) if free[ROOT] else None
            if parent is None:
                if not self._aside:
                    break
                # There is no other way: from here on the crowded ones are asked too.
                self._bring_back(tree)
                half = math.inf
            elif given.get(parent, 0) >= half:
                self.shut(parent)
                self._aside.append(parent)
            else:
                given[parent] = given.get(parent, 0) + 1
                trials.append(place(tree, parent))
        self._bring_back(tree)
        return trials

    def _bring_back(self, tree: Tree) -> None:
        while self._aside:
            self.review(tree, self._aside.pop())

    def allowed(self, tree: Tree, index: int) -> int | None:
        """Children that node `index` may have now; None for no limit."""
        return self.width

    def is_closed(self, index: int) -> bool:
        """True when nothing below node `index` is in flight and nothing can be ordered there."""
        return not self.free[index] and not self.in_flight(index)

    def in_flight(self, index: int) -> int:
        """Trials in flight in the subtree of node `index`, its own children included."""
        return self.seen[index] - self._visits[index]

    def order(self, tree: Tree, parent: int, *, move: str = "", siblings: tuple[int, ...] = (), reflections: tuple[int, ...] = ()) -> Trial:
        """One more child of `parent`, which can take one."""
        sample = self.ordered[parent]
        self.ordered[parent] = sample + 1
        trial = Trial(self._ids, parent, sample, self.width == 1 and parent != ROOT, move, siblings, reflections)
        self._pending.add(self._ids)
        self._ids += 1
        self._visits = tree.visits
        self._see(parent)
        self.review(tree, parent)
        return trial

    def is_news(self, trial: Trial) -> bool:
        """True the first time that a trial is told; telling it again has no effect."""
        if trial.id not in self._pending:
            return False
        self._pending.remove(trial.id)
        return True

    def take(self, tree: Tree, trial: Trial, node: Node | None, *, discount: float = 1.0, highest: bool = False) -> float | None:
        """What a trial gave: backed up as by `credit` where it is worth something, settled where it says nothing. The worth."""
        value = None if node is None else worth(tree, node)
        if node is None or value is None:
            self.settle(tree, trial, node)
            return None
        self.credit(tree, node, value, discount=discount, highest=highest)
        return value

    def settle(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """The trial is over and gave nothing to back up; a node that can be extended is free from now on."""
        self._visits = tree.visits
        seen, parents = self.seen, self.parents
        index = trial.parent
        # A visit in flight without a value is taken back on the way up.
        while index >= 0:
            seen[index] -= 1
            self.spread[index] = _spread(seen[index])
            index = parents[index]
        if node is not None:
            self.grow(tree, node)

    def credit(self, tree: Tree, node: Node, value: float, *, discount: float = 1.0, highest: bool = False) -> None:
        """The trial that gave `node` is over: count a visit and add the value on every node from there to the root.

        Each level up the value is worth `discount` of the one below. `highest`: a node is worth the best that was backed up, not the mean.
        """
        self.grow(tree, node)
        self.seen[node.index], self.spread[node.index] = 1, 1.0
        self._land(tree, node.index, value, discount, highest)

    def visit(self, tree: Tree, index: int, value: float, *, discount: float = 1.0, highest: bool = False) -> None:
        """As `credit`, but for a node that is known, without a trial."""
        self._see(index)
        self._land(tree, index, value, discount, highest)

    def _see(self, index: int) -> None:
        """Count what is in flight from node `index` up."""
        seen, spread, parents, known = self.seen, self.spread, self.parents, len(_SPREAD)
        while index >= 0:
            seen[index] = count = seen[index] + 1
            spread[index] = _SPREAD[count] if count < known else 1 / math.sqrt(count)
            index = parents[index]

    def _land(self, tree: Tree, index: int, value: float, discount: float, highest: bool) -> None:
        """What was in flight below a node and those above it becomes a visit."""
        self._visits = visits = tree.visits
        parents, q, sums = self.parents, self.q, tree.value_sum
        while index >= 0:
            visits[index] = count = visits[index] + 1
            sums[index] = total = sums[index] + value
            if not highest:
                q[index] = total / count
            elif value > q[index] or count == 1:
                q[index] = value
            if discount != 1.0:
                value *= discount
            index = parents[index]

    def grow(self, tree: Tree, node: Node) -> None:
        """Know a node that the tree has gained."""
        if node.index != len(self.parents):
            raise ValueError(f"node {node.index} was told after node {len(self.parents) - 1}; tell each node once, in the tree's order")
        self.parents.append(node.parent)
        self.ordered.append(0)
        self.seen.append(0)
        self.spread.append(UNSEEN)
        self.q.append(self.q[node.parent])
        self.free.append(0)
        self.open.append(0)
        if node.stop is StopReason.OPEN:
            self.review(tree, node.index)

    def review(self, tree: Tree, index: int) -> None:
        """See again whether node `index` can take a child, and tell those above when its subtree has become free or stopped to be."""
        allowed = self.allowed(tree, index)
        now = allowed is None or self.ordered[index] < allowed
        if now != self.open[index]:
            self.open[index] = now
            self._change(index, 1 if now else -1)

    def shut(self, index: int) -> None:
        """Node `index` takes no further child, for good."""
        if self.open[index]:
            self.open[index] = 0
            self._change(index, -1)

    def _change(self, index: int, by: int) -> None:
        free, parents = self.free, self.parents
        while index >= 0:
            before = free[index]
            free[index] = before + by
            # Those above care only for the change between some and none.
            if before and before + by:
                return
            index = parents[index]


def worth(tree: Tree, node: Node) -> float | None:
    """The value that an outcome backs up: the valuer's, 0 for the policy's own failures, None when it says nothing."""
    if node.stop in NO_OUTCOME:
        return None
    value = tree.values.get(node.index)
    if value is not None and math.isfinite(value):
        return value
    return 0.0 if node.stop in WORST else None


def weight(prior: float | None) -> float:
    """A node's prior; one without, or with something that is no finite number, counts as 1."""
    return prior if prior is not None and math.isfinite(prior) else 1.0
