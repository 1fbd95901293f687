import pytest

from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.rollouts.topology_learning import Batch, Fared, learn_topology
from tirage.teams.edges import EdgeOptimizer
from tirage.teams.stock import stock

TEAM = stock("single", 3)
NEEDED = ("solver-1", "solver-3")


async def needs_one_edge(team, problem, seed):
    return Fared(correct=NEEDED in team.spatial, tokens=100 + 100 * len(team.spatial))


async def test_the_edge_that_answers_need_is_learned_and_the_others_cost_too_much():
    told: list[Batch] = []
    learner = EdgeOptimizer(TEAM)
    problems = [Problem(prompt=f"problem {number}") for number in range(60)]
    await learn_topology(learner, needs_one_edge, problems, batch=4, price=0.5, on_batch=told.append)
    assert [batch.queries for batch in told] == list(range(4, 61, 4))
    assert learner.sample("another", 0)[0].spatial == (NEEDED,)
    assert sum(batch.right for batch in told[-5:]) > sum(batch.right for batch in told[:5])
    assert told[-1].edges < told[0].edges
    with pytest.raises(ConfigError, match="frozen"):
        learner.learn([])


async def test_what_cannot_be_graded_teaches_nothing():
    async def ungraded(team, problem, seed):
        return Fared(correct=None, tokens=1)

    learner = EdgeOptimizer(TEAM)
    told: list[Batch] = []
    await learn_topology(learner, ungraded, [Problem(prompt="x")], on_batch=told.append)
    assert not learner.logits.any()
    assert (told[0].graded, told[0].right) == (0, 0)


async def test_nothing_to_learn_from():
    with pytest.raises(ConfigError, match="at least one problem"):
        await learn_topology(EdgeOptimizer(TEAM), needs_one_edge, [])
