"""HALO's workflow search: which role speaks next, where every node is one role's answer (arXiv 2505.13516, "WorkflowAgent Search Engine").

One iteration: `ask` for the node whose turn it is, have every role answer it, `tell` the answers, workflow on from the one that comes back,
`back_up` how that went. The tree's own `visits`, `value_sum` and `values` are N, W and the scores, so nothing is kept twice and other
nodes may stand between.
"""

import math
from collections.abc import Sequence
from typing import Literal

from tirage.core.tree import Tree

Status = Literal["success", "fail", "continue"]
"""What is said of an answer: it does what was asked, it leads nowhere, or another role should go on from it."""
WON, LOST = 0.7, -0.3
"""Rewards."""


class RoleSearch:
    """The search below one node of a tree."""

    def __init__(self, tree: Tree, root: int, *, c: float = 1.4, depth: int = 5) -> None:
        """`c` >= 0: weight of exploration; `depth` >= 1: answers on a path at most. Raises ValueError for others."""
        if c < 0 or depth < 1:
            raise ValueError(f"a search over roles needs c >= 0 and depth >= 1, got c={c}, depth={depth}")
        self.root = root
        self.c = c
        self.depth = depth
        self.parents: dict[int, int] = {}
        """Answer to the answer, or the root, that it goes on from."""
        self.status: dict[int, Status] = {}
        self.found: int | None = None
        """The answer that ended the search."""
        self._tree = tree
        self._children: dict[int, list[int]] = {}
        self._lost: set[int] = set()
        """Where nothing is left to try: failed, as deep as allowed, or with such children alone."""

    def ask(self) -> int | None:
        """The node that every role is to answer. None: the search is over, with an answer `found` or with nothing left to try."""
        index = self.root
        while index not in self._lost and index in self._children:
            index = self._best(index)
        if index in self._lost:
            return None
        if self.status.get(index) == "success":
            self.found = index
            return None
        return index

    def tell(self, parent: int, answers: Sequence[tuple[int, Status]]) -> int:
        """The answers that node `parent` was given, at least one; returns the one to workflow on from."""
        self._children[parent] = [index for index, _ in answers]
        for index, status in answers:
            self.parents[index] = parent
            self.status[index] = status
            if status == "fail" or (status == "continue" and self.level(index) >= self.depth):
                self._lost.add(index)
        chosen = self._best(parent)
        above: int | None = parent
        while above is not None and self._lost.issuperset(self._children[above]):
            self._lost.add(above)
            above = self.parents.get(above)
        return chosen

    def back_up(self, index: int, won: bool) -> float:
        """Count a visit and the reward on every answer from `index` up and on the root: N += 1, W += r. The reward."""
        reward = WON if won else LOST
        at: int | None = index
        while at is not None:
            self._tree.visits[at] += 1
            self._tree.value_sum[at] += reward
            at = self.parents.get(at)
        return reward

    def level(self, index: int) -> int:
        """Answers on the path down to `index`, itself included; 0 for the root."""
        return len(self.path(index))

    def path(self, index: int) -> list[int]:
        """The answers from the root (excluded) down to `index`."""
        found: list[int] = []
        while index != self.root:
            found.append(index)
            index = self.parents[index]
        found.reverse()
        return found

    def choose(self) -> int:
        """The answer that was found, else the best: successes first, then by score, then the earliest; the root without any."""
        if self.found is not None:
            return self.found
        values = self._tree.values
        return max(self.status, key=lambda index: (self.status[index] == "success", values.get(index, 0.0)), default=self.root)

    def _best(self, parent: int) -> int:
        """The child with the largest bound among those that are not lost, among all where all are; ties to the score, then the earliest."""
        children = self._children[parent]
        ways = [child for child in children if child not in self._lost] or children
        return max(ways, key=lambda child: (self.bound(parent, child), self._tree.values.get(child, 0.0)))

    def bound(self, parent: int, child: int) -> float:
        """UCB: W / N + c sqrt(ln N_p / N); infinite before the first visit."""
        visits = self._tree.visits[child]
        if not visits:
            return math.inf
        return self._tree.value_sum[child] / visits + self.c * math.sqrt(math.log(self._tree.visits[parent]) / visits)
