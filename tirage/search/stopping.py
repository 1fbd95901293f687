"""When a search may stop before its budget: composable rules, each told every ended path once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tirage.core.tree import Node, Tree


class StopRule(Protocol):
    """Watches a tree grow. Pure: the same tells give the same word."""

    def tell(self, tree: Tree, node: Node, answer: str | None) -> str | None:
        """A node was added; `answer` is that of a path that ended. A reason to stop, or None."""
        ...


@dataclass(slots=True)
class Solved:
    """An answered path whose value reaches `value`."""

    value: float = 1.0

    def tell(self, tree: Tree, node: Node, answer: str | None) -> str | None:
        """`solved` as soon as there is one."""
        return "solved" if answer is not None and tree.values.get(node.index, float("-inf")) >= self.value else None


@dataclass(slots=True)
class Converged:
    """One answer leads the next by `lead` votes: further ones are unlikely to change it (Aggarwal et al. 2023, arXiv 2305.11860)."""

    lead: int = 3
    _votes: dict[str, int] = field(default_factory=dict)

    def tell(self, tree: Tree, node: Node, answer: str | None) -> str | None:
        """`converged` once the lead is there."""
        if answer is None:
            return None
        self._votes[answer] = self._votes.get(answer, 0) + 1
        mine = self._votes[answer]
        others = max((count for other, count in self._votes.items() if other != answer), default=0)
        return "converged" if mine - others >= self.lead else None


@dataclass(slots=True)
class Saturated:
    """The best value has not risen over the last `patience` nodes that have one."""

    patience: int = 32
    _best: float = float("-inf")
    _since: int = 0

    def tell(self, tree: Tree, node: Node, answer: str | None) -> str | None:
        """`saturated` once the patience is over."""
        value = tree.values.get(node.index)
        if value is None:
            return None
        self._since = 0 if value > self._best else self._since + 1
        self._best = max(self._best, value)
        return "saturated" if self._since >= self.patience else None


def first_reason(rules: Sequence[StopRule], tree: Tree, node: Node, answer: str | None) -> str | None:
    """Tell every rule; the first reason to stop, None while there is none."""
    reasons = [rule.tell(tree, node, answer) for rule in rules]
    return next((reason for reason in reasons if reason is not None), None)
