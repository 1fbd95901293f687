"""Hints as moves: different siblings, rounds down a path."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.search.toys import Drive, Outcome, needle
from tirage.core import HintPosition, HintUse
from tirage.search.best_of_n import BestOfN
from tirage.search.hint_moves import HintedChildren, HintedRounds, draw
from tirage.search.lats import LATS
from tirage.search.mcts import MCTS
from tirage.search.rstar import RStar

FAMILIES = {"c1": "calculate", "c2": "calculate", "c3": "calculate", "r1": "reflect", "d1": "debug", "d2": "debug"}


def test_no_family_comes_again_before_the_others_had_their_turn() -> None:
    orders = [draw(FAMILIES, seed) for seed in range(50)]
    for order in orders:
        assert sorted(order) == sorted(FAMILIES)
        assert len({FAMILIES[name] for name in order[:3]}) == 3
        assert {FAMILIES[name] for name in order[3:5]} == {"calculate", "debug"}
    assert len({tuple(order) for order in orders}) > 30
    assert draw(FAMILIES, 7) == draw(dict(reversed(FAMILIES.items())), 7)


@pytest.mark.parametrize("search", [lambda: MCTS(width=5), lambda: LATS(n=5, seed=0)])
def test_the_first_child_is_the_policys_own_and_its_siblings_have_hints_of_their_own(search: "type[MCTS]") -> None:
    tree = Drive(HintedChildren(search(), FAMILIES, seed=3), needle(4, 5, "0000")).run(150, batch=6, shuffle=2).tree
    full = [children for children in tree.children if len(children) == 5]
    assert len(full) > 10
    for children in full:
        moves = {tree.nodes[child].sample: tree.nodes[child].move for child in children}
        assert moves[0] == ""
        hints = [moves[sample].removeprefix("hint:") for sample in range(1, 5)]
        assert len(set(hints)) == 4
        assert set(hints) <= set(FAMILIES)
        assert len({FAMILIES[hint] for hint in hints[:3]}) == 3
    assert len({tree.nodes[children[1]].move for children in full}) > 2


def test_once_hints_are_used_up_children_are_the_policys_own() -> None:
    tree = Drive(HintedChildren(MCTS(width=6), {"a": "x", "b": "y"}, seed=0), needle(1, 6, "0")).run(6).tree
    assert sorted(node.move for node in tree.nodes[1:]) == ["", "", "", "", "hint:a", "hint:b"]


def test_moves_of_the_search_itself_are_left_alone() -> None:
    tree = Drive(HintedChildren(RStar(seed=0, rollouts=2), FAMILIES, seed=0), lambda tree, trial: Outcome(text="x")).run(30).tree
    assert {node.move for node in tree.nodes[1:]} <= {"A1", "A2", "A3", "A4", "A5"}


class Placing(Drive):
    """A drive whose policy places a hint in every step but the second, and says so."""

    def place(self, nodes: int) -> "Placing":
        for _ in range(nodes):
            for trial in self.search.ask(self.tree, 1):
                node = self.tell(trial)
                assert node is not None
                assert node.step is not None
                if trial.move and node.depth != 2:
                    use = HintUse(hint_id=trial.move[5:], family="", position=HintPosition.END_OF_THINKING, offset=0, reason="")
                    self.tree.nodes[node.index] = node._replace(step=replace(node.step, hint=use))
        return self


def test_rounds_go_down_one_path_with_another_family_each() -> None:
    drive = Placing(HintedRounds(BestOfN(1), FAMILIES, seed=5, rounds=3), lambda tree, trial: Outcome(text="x")).place(7)
    moves = [node.move.removeprefix("hint:") for node in drive.tree.nodes[1:]]
    # The second hint found no place in its step and is offered again; after three the policy is left to answer.
    assert moves[1] == moves[2]
    assert moves[4:] == ["", "", ""]
    assert len({FAMILIES[hint] for hint in moves[:4]}) == 3


def test_every_chain_draws_its_own_order() -> None:
    drive = Drive(HintedRounds(BestOfN(12), FAMILIES, seed=0, rounds=1), lambda tree, trial: Outcome(text="x")).run(12, batch=12)
    assert len(Counter(node.move for node in drive.tree.nodes[1:])) > 3


def test_the_rest_is_the_wrapped_searchs() -> None:
    plain, hinted = MCTS(width=3), HintedChildren(MCTS(width=3), FAMILIES, seed=0)
    first, second = Drive(plain, needle(3, 3, "120")).run(60), Drive(hinted, needle(3, 3, "120")).run(60)
    assert [trial.parent for trial in first.trials] == [trial.parent for trial in second.trials]
    assert first.answer == second.answer == "120"
    assert hinted.valued
    assert [hinted.is_closed(node.index) for node in second.tree.nodes] == [plain.is_closed(node.index) for node in first.tree.nodes]


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        HintedChildren(BestOfN(1), {}, seed=0)
    for rounds in (0, 4):
        with pytest.raises(ValueError, match="rounds"):
            HintedRounds(BestOfN(1), FAMILIES, seed=0, rounds=rounds)
