"""The suite of strategies holds on all that are shipped, and finds what is broken."""

from typing import Any

import pytest

from tests.search.makers import maker
from tirage.core import Tree
from tirage.core.tree import Node
from tirage.search import SearchBase, Trial
from tirage.search.strategies import STRATEGIES
from tirage.testing import check_strategy, require


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_shipped_strategy_keeps_its_promises(name: str) -> None:
    require(check_strategy(maker(name)))


class Earliest(SearchBase):
    """The earliest node with room."""

    def __init__(self, *, width: int = 3) -> None:
        super().__init__(width=width)

    def select(self, tree: Tree) -> int | None:
        return self.open_nodes()[0]


def failed(make: Any) -> str:
    return "\n".join(f"{item.name}: {item.detail}" for item in check_strategy(make) if not item.kept)


def test_a_base_with_one_method_is_enough() -> None:
    require(check_strategy(Earliest))
    assert {item.status for item in check_strategy(Earliest)} == {"kept"}


class Forgetful(Earliest):
    def is_closed(self, index: int) -> bool:
        return False


class Hasty(Earliest):
    def is_closed(self, index: int) -> bool:
        return True


class Greedy(Earliest):
    def ask(self, tree: Tree, most: int) -> list[Trial]:
        return super().ask(tree, most + 1)


class Credulous(Earliest):
    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        super().tell(tree, trial, node)
        tree.visits[0] += 1


class Moody(Earliest):
    moods = iter(range(10**9))

    def select(self, tree: Tree) -> int | None:
        nodes = self.open_nodes()
        return nodes[next(self.moods) % 7 % len(nodes)]


class Lost(Earliest):
    def choose(self, tree: Tree, answers: Any) -> int:
        return 1 if len(tree.nodes) > 1 else 0


class Zombie(Earliest):
    def select(self, tree: Tree) -> int | None:
        return len(tree.nodes) - 1


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Forgetful, "is_closed([0]) is False"),
        (Hasty, "is_closed([0"),
        (Greedy, "asked for no trial it gave some"),
        (Credulous, "telling a trial twice has an effect"),
        (Moody, "two searches with one seed grew different trees"),
        (Lost, "with answers at hand it chose a node without one"),
        (Zombie, "Zombie.select named node"),
        (int, "has no ask, tell, is_closed, choose"),
    ],
)
def test_what_is_broken_is_found(kind: Any, says: str) -> None:
    assert says in failed(kind)


def test_nothing_checked_is_no_success() -> None:
    with pytest.raises(AssertionError, match="nothing was checked"):
        require([])
