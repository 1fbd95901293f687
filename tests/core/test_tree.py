import pytest

from tirage.core import Failure, Finish, Source, Span, Step, StopReason, Tree, Usage
from tirage.core.tree import ROOT


def _step(text, tokens=1):
    return Step(spans=(Span(Source.POLICY, text),), finish=Finish.STOP, usage=Usage(tokens_out=tokens, model_calls=1))


@pytest.fixture
def tree():
    return Tree(problem_id="p", policy_id="x", seed=3, prompt=(Span(Source.PROMPT, "Q"),))


def test_a_new_tree_has_its_root(tree):
    assert len(tree.nodes) == 1
    root = tree.nodes[ROOT]
    assert (root.parent, root.depth, root.step, tree.chosen) == (-1, 0, None, ROOT)
    assert list(tree.leaves()) == []
    assert tree.path(ROOT) == []
    with pytest.raises(ValueError, match="root is not a trajectory"):
        tree.trajectory(ROOT)


def test_branches_share_their_past(tree):
    a = tree.add(ROOT, _step("a", 5))
    left = tree.add(a.index, _step("b", 7), stop=StopReason.ANSWERED, sample=0, prior=0.75)
    right = tree.add(a.index, _step("c", 11), stop=StopReason.LENGTH, sample=1)
    assert tree.children == [[1], [2, 3], [], []]
    assert [node.depth for node in tree.nodes] == [0, 1, 2, 2]
    assert list(tree.leaves()) == [left.index, right.index]
    one, other = tree.trajectory(left.index), tree.trajectory(right.index)
    assert one.steps[0] is other.steps[0]
    assert (one.response, other.response) == ("ab", "ac")
    assert (one.stop, other.stop, one.seed, one.problem_id) == (StopReason.ANSWERED, StopReason.LENGTH, 3, "p")
    assert (left.prior, right.prior, right.sample) == (0.75, None, 1)


def test_usage_counts_every_branch_once(tree):
    a = tree.add(ROOT, _step("a", 5))
    tree.add(a.index, _step("b", 7))
    tree.add(a.index, _step("c", 11))
    assert tree.usage == Usage(tokens_out=23, model_calls=3)
    assert tree.trajectory(2).usage == Usage(tokens_out=12, model_calls=2)


@pytest.mark.parametrize("stop", [stop for stop in StopReason if stop is not StopReason.OPEN])
def test_an_ended_path_does_not_grow(tree, stop):
    tree.add(ROOT, _step("a"), stop=stop)
    with pytest.raises(ValueError, match=f"node 1 has ended .{stop}.; it cannot have children"):
        tree.add(1, _step("b"))
    assert len(tree.nodes) == len(tree.children) == len(tree.visits) == len(tree.value_sum) == 2


def test_an_error_ends_up_on_the_trajectory(tree):
    failure = Failure(boundary="tool", kind="ToolError", message="gone")
    tree.add(ROOT, _step("a"), stop=StopReason.ERROR, error=failure)
    assert tree.trajectory(1).error == failure


def test_an_unknown_parent_is_a_mistake(tree):
    with pytest.raises(IndexError):
        tree.add(5, _step("a"))


def test_statistics_start_at_zero_for_every_node(tree):
    for index in range(3):
        tree.add(index, _step("s"))
    assert tree.visits == [0, 0, 0, 0]
    assert tree.value_sum == [0.0, 0.0, 0.0, 0.0]


def test_a_chain_of_thousands_is_walked_without_recursion(tree):
    for index in range(20_000):
        tree.add(index, _step("s"))
    assert len(tree.path(20_000)) == 20_000
    assert tree.trajectory(20_000).usage.tokens_out == 20_000
