"""A topology learned from what teams of it achieve: sample, work, judge, learn."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.rollouts.runner import together
from tirage.teams.learner import TeamOutcome, TopologyLearner
from tirage.teams.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """What became of a team on one problem."""

    correct: bool | None
    tokens: int
    """Sampled by the whole team."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One step of learning."""

    number: int
    queries: int
    """Seen so far."""
    right: int
    """In this batch."""
    graded: int
    """In this batch; what could not be graded teaches nothing."""
    tokens: float
    """Mean per problem of this batch."""
    edges: float
    """Mean per topology of this batch, temporal ones included."""


TeamWork = Callable[[Topology, Problem, int], Awaitable[Fared]]
"""Lets a team work on a problem, with a seed."""


async def learn_topology(
    learner: TopologyLearner,
    work: TeamWork,
    problems: Sequence[Problem],
    *,
    batch: int = 4,
    price: float = 0.0,
    seed: int = 0,
    on_batch: Callable[[Batch], None] | None = None,
) -> TopologyLearner:
    """Learn from each problem once, in order, `batch` of them between two steps; the learner is frozen in the end.

    The utility of a team is 1 for a right answer and 0 for a wrong one, less `price` per 1,000 tokens. Raises `ConfigError` without a
    problem or for a batch below 1, and what `work` raises.
    """
    if not problems or batch < 1:
        raise ConfigError(f"learning needs at least one problem and a batch of 1 or more, got {len(problems)} in batches of {batch}")
    for number, start in enumerate(range(0, len(problems), batch)):
        part = problems[start : start + batch]
        seeds = [derive_seed(seed, "topology", start + place) for place in range(len(part))]
        teams = [learner.sample(problem.prompt, own)[0] for problem, own in zip(part, seeds, strict=True)]
        fared = await together(work(*job) for job in zip(teams, part, seeds, strict=True))
        outcomes = [
            TeamOutcome(query=problem.prompt, seed=own, topology=team, utility=float(result.correct) - price * result.tokens / 1000)
            for problem, own, team, result in zip(part, seeds, teams, fared, strict=True)
            if result.correct is not None
        ]
        if outcomes:
            learner.learn(outcomes)
        if on_batch is not None:
            on_batch(_batch(number, start + len(part), teams, fared))
    learner.freeze()
    return learner


def _batch(number: int, queries: int, teams: Sequence[Topology], fared: Sequence[Fared]) -> Batch:
    return Batch(
        number=number,
        queries=queries,
        right=sum(item.correct is True for item in fared),
        graded=sum(item.correct is not None for item in fared),
        tokens=sum(item.tokens for item in fared) / len(fared),
        edges=sum(len(team.spatial) + len(team.temporal) for team in teams) / len(teams),
    )
