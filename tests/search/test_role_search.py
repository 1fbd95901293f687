import copy

import pytest

from tirage.core.step import Finish, Source, Span, Step
from tirage.core.tree import ROOT, Tree
from tirage.search.role_search import LOST, WON, RoleSearch


def tree():
    return Tree(problem_id="p", policy_id="q", seed=0, prompt=())


def grow(search, parent, *answers):
    """Answers below `parent`, each (status, score); what `tell` says."""
    grown = search._tree
    told = []
    for status, score in answers:
        node = grown.add(parent, Step(spans=(Span(Source.POLICY, "x"),), finish=Finish.STOP))
        grown.values[node.index] = score
        told.append((node.index, status))
    return search.tell(parent, told)


def test_the_unvisited_come_first_and_of_these_the_best_score():
    search = RoleSearch(tree(), ROOT)
    assert search.ask() == ROOT
    assert grow(search, ROOT, ("continue", 0.4), ("continue", 0.6), ("continue", 0.6)) == 2
    search.back_up(2, True)
    assert search.ask() == 3
    assert search._tree.visits == [1, 0, 1, 0]
    assert search._tree.value_sum == [WON, 0, WON, 0]


def test_a_failed_leaf_is_passed_over_while_there_is_another_way():
    search = RoleSearch(tree(), ROOT)
    assert grow(search, ROOT, ("fail", 0.9), ("continue", 0.1)) == 2
    search.back_up(2, False)
    assert search.ask() == 2
    assert grow(search, 2, ("fail", 0.2), ("fail", 0.3)) == 4
    search.back_up(4, False)
    assert search.ask() is None
    assert search.found is None
    assert search.choose() == 1


def test_the_deepest_answer_allowed_is_not_gone_on_from():
    search = RoleSearch(tree(), ROOT, depth=2)
    grow(search, ROOT, ("continue", 0.5))
    grow(search, 1, ("continue", 0.5), ("success", 0.2))
    assert search.level(3) == 2
    assert search.path(3) == [1, 3]
    assert search.ask() is None
    assert search.found == search.choose() == 3
    search = RoleSearch(tree(), ROOT, depth=1)
    grow(search, ROOT, ("continue", 0.5))
    assert search.ask() is None
    assert search.found is None


def test_growth_on_a_copy_is_lost():
    """The reference code selects on a deep copy: its own tree stays as it was, and it comes to the same leaf for ever."""
    search = RoleSearch(tree(), ROOT)
    grow(search, ROOT, ("continue", 0.5))
    search.back_up(1, False)
    copied = copy.deepcopy(search)
    grow(copied, copied.ask(), ("success", 0.5))
    assert search.ask() == 1
    grow(search, search.ask(), ("success", 0.5))
    assert search.ask() is None
    assert search.found == 2


def test_nothing_is_chosen_where_nothing_was_answered():
    search = RoleSearch(tree(), ROOT)
    assert search.choose() == ROOT
    assert search.back_up(ROOT, False) == LOST


@pytest.mark.parametrize("options", [{"c": -1}, {"depth": 0}])
def test_senseless_numbers(options):
    with pytest.raises(ValueError, match="needs c >= 0 and depth >= 1"):
        RoleSearch(tree(), ROOT, **options)
