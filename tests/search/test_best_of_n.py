"""Independent chains and their vote."""

import pytest

from tirage.core import Finish, Source, Span, Step, StopReason, Tree
from tirage.search.best_of_n import BestOfN


def step(text: str) -> Step:
    return Step(spans=(Span(Source.POLICY, text),), finish=Finish.STOP)


def tree() -> Tree:
    return Tree(problem_id="p", policy_id="m", seed=0, prompt=())


def test_every_chain_is_extended_until_it_ends() -> None:
    search, grown = BestOfN(2), tree()
    first = search.ask(grown, 10)
    assert [(trial.parent, trial.sample, trial.exclusive) for trial in first] == [(0, 0, False), (0, 1, False)]
    assert search.ask(grown, 10) == []
    ended = grown.add(0, step("b"), sample=1, stop=StopReason.ANSWERED)
    search.tell(grown, first[1], ended)
    assert search.ask(grown, 10) == []
    inner = grown.add(0, step("a"), sample=0)
    search.tell(grown, first[0], inner)
    (second,) = search.ask(grown, 10)
    assert (second.parent, second.sample, second.exclusive) == (inner.index, 0, True)
    # The root has all its children, yet a step is in flight below it.
    assert not search.is_closed(0)
    assert not search.is_closed(inner.index)
    search.tell(grown, second, grown.add(inner.index, step("c"), stop=StopReason.ANSWERED))
    assert all(search.is_closed(node.index) for node in grown.nodes)


def test_asking_for_fewer_starts_fewer() -> None:
    search, grown = BestOfN(3), tree()
    assert [trial.sample for trial in search.ask(grown, 2)] == [0, 1]
    assert not search.is_closed(0)
    assert [trial.sample for trial in search.ask(grown, 2)] == [2]


def test_a_trial_that_gave_nothing_ends_its_chain() -> None:
    search, grown = BestOfN(1), tree()
    (trial,) = search.ask(grown, 1)
    search.tell(grown, trial, None)
    assert search.ask(grown, 1) == []
    assert search.choose(grown, {}) == 0


def test_the_vote_goes_to_the_most_frequent_answer_and_ties_to_the_earliest_chain() -> None:
    grown = tree()
    for sample in (2, 0, 1, 3):
        grown.add(0, step(str(sample)), sample=sample, stop=StopReason.ANSWERED)
    node = {grown.nodes[index].sample: index for index in grown.leaves()}
    search = BestOfN(4)
    assert search.choose(grown, {node[0]: "a", node[1]: "b", node[2]: "b", node[3]: None}) == node[1]
    assert search.choose(grown, {node[0]: "a", node[1]: "b", node[2]: "b", node[3]: "a"}) == node[0]
    assert search.choose(grown, dict.fromkeys(node.values())) == node[0]


def test_zero_chains_are_refused() -> None:
    with pytest.raises(ValueError, match="N >= 1"):
        BestOfN(0)
