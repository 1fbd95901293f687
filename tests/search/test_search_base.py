"""The base of strategies: what a subclass can do with it."""

import pytest

from tests.search.toys import Drive, Outcome, needle
from tirage.core import Tree
from tirage.core.tree import ROOT, Node
from tirage.search import SearchBase
from tirage.search.base import Trial


class Earliest(SearchBase):
    def select(self, tree: Tree) -> int | None:
        return self.open_nodes()[0]


class Pruned(Earliest):
    """Gives up what is worth nothing."""

    def told(self, tree: Tree, node: Node, worth: float) -> None:
        if worth == 0.0:
            self.close(node.index)


class Three(Earliest):
    def told(self, tree: Tree, node: Node, worth: float) -> None:
        self.done = len(tree.nodes) > 3


class Waiting(Earliest):
    def select(self, tree: Tree) -> int | None:
        return None if len(tree.nodes) > 4 else super().select(tree)


def test_a_closed_node_gets_no_further_child() -> None:
    drive = Drive(Pruned(width=3), needle(3, 3, "120", guide=1.0)).run(1000)
    assert {len(drive.tree.children[node.index]) for node in drive.tree.nodes if drive.tree.values.get(node.index) == 0.0} == {0}
    assert drive.answers
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)


def test_a_node_stays_closed_when_a_batch_brings_back_what_stood_aside() -> None:
    search = Earliest(width=8)
    drive = Drive(search, lambda tree, trial: Outcome(text="x", value=0.5)).run(1)
    trials = search.ask(drive.tree, 4)
    assert {trial.parent for trial in trials} == {ROOT, 1}
    search.close(ROOT)
    for trial in trials:
        drive.tell(trial)
    assert ROOT not in search.open_nodes()
    assert all(trial.parent != ROOT for trial in search.ask(drive.tree, 8))


@pytest.mark.parametrize(("kind", "nodes"), [(Three, 4), (Waiting, 5)])
def test_a_search_ends_when_it_says_so_and_closes_everything(kind: type[SearchBase], nodes: int) -> None:
    drive = Drive(kind(width=2), lambda tree, trial: Outcome(text="x", value=0.5)).run(50)
    assert len(drive.tree.nodes) == nodes
    assert drive.search.ask(drive.tree, 8) == []
    assert all(drive.search.is_closed(node.index) for node in drive.tree.nodes)


def test_nothing_to_select_while_trials_fly_is_not_the_end() -> None:
    search = Waiting(width=9)
    drive = Drive(search, lambda tree, trial: Outcome(text="x", value=0.5))
    first: list[Trial] = search.ask(drive.tree, 6)
    for trial in first[:4]:
        drive.tell(trial)
    assert search.ask(drive.tree, 6) == []
    assert not search.done
    assert not search.is_closed(ROOT)
    for trial in first[4:]:
        drive.tell(trial)
    assert search.ask(drive.tree, 6) == []
    assert search.is_closed(ROOT)


def test_a_node_that_cannot_be_extended_is_a_mistake_that_is_named() -> None:
    class Wrong(SearchBase):
        def select(self, tree: Tree) -> int | None:
            return 7

    with pytest.raises(ValueError, match=r"Wrong\.select named node 7, which takes no further child"):
        Drive(Wrong(), needle(2, 2, "01")).run(1)


def test_draws_come_from_the_seed() -> None:
    first, second, other = (SearchedAtRandom(seed=seed).rng.random() for seed in (3, 3, 4))
    assert first == second != other


class SearchedAtRandom(SearchBase):
    def select(self, tree: Tree) -> int | None:
        return self.rng.choice(self.open_nodes())


def test_without_values_every_answer_has_one_vote() -> None:
    class Counting(Earliest):
        valued = False

    drive = Drive(Counting(width=3), needle(1, 3, "2")).run(3)
    assert drive.search.choose(drive.tree, {1: "a", 2: "a", 3: "b"}) == 1
    assert Drive(Earliest(width=3), needle(1, 3, "2")).run(3).search.choose(drive.tree, {1: "a", 2: "a", 3: "b"}) == 3
