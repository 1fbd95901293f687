"""The ask/tell contract: an algorithm says which node to extend, the caller does the costly work and tells the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tirage.core.tree import Node, Tree


@dataclass(frozen=True, slots=True)
class Trial:
    """An order to extend one node by one step."""

    id: int
    """Unique within a search, increasing in the order of asking."""
    parent: int
    """Node to extend."""
    sample: int
    """Which draw of the parent's continuation this is; with the depth it fixes the seed of the draw."""
    exclusive: bool = False
    """True when the parent will never be extended again, so that its interpreter state may be moved instead of branched."""
    move: str = ""
    """Which of the policy's moves to make; empty leaves it to the policy."""
    siblings: tuple[int, ...] = ()
    """Children of the parent that the policy is shown, so that it does something else."""
    reflections: tuple[int, ...] = ()
    """Nodes whose notes, reflections on failures, the policy is shown."""


class Search(Protocol):
    """A search over one tree. Pure: no I/O, no clock; same tells, same asks.

    What the valuer said of a told node stands in `tree.values`; the search keeps `tree.visits` and `tree.value_sum`.
    """

    valued: bool
    """Whether it goes by values; else none need be asked for."""

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` trials that can run at once; empty while everything possible is pending or done."""
        ...

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Report a trial's outcome, in any order; None when the trial gave no node (budget, cancellation)."""
        ...

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again and nothing is in flight at or below it; all are, once the search is over."""
        ...

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The node whose path is the answer, 0 when there is none. `answers`: extracted answer of each ended leaf."""
        ...


class SearchMaker(Protocol):
    """Makes a fresh search for each tree."""

    def __call__(self, *, seed: int) -> Search:
        """`seed`: of the search's draws, the tree's own; searches that draw nothing need not look at it."""
        ...
