"""A team whose utility depends on planted edges: no model, known answers."""

import random
from collections.abc import Callable
from dataclasses import replace

from tirage.teams.learner import TeamOutcome, TopologyLearner
from tirage.teams.topology import EdgeKind, Member, Topology

TEAM = Topology(
    name="planted",
    members=(
        Member(name="Analyst", role="reads the figures and states what is known"),
        Member(name="Critic", role="looks for mistakes"),
        Member(name="Solver", role="computes the answer"),
        Member(name="Writer", role="writes the report"),
    ),
    decision="Solver",
)
TWICE = replace(TEAM, name="planted twice", rounds=2)
EDGE = ("Analyst", "Solver")
BACK = ("Critic", "Solver")
TOKENS_PER_EDGE = 200
TOKENS_PER_MEMBER = 50
Family = Callable[[random.Random], str]
THINGS = ("apples", "trains", "interest", "tax", "distance", "speed", "gallons", "profit", "angles", "dice")


def sums(draw: random.Random) -> str:
    """Needs the planted edge."""
    return f"compute how many {draw.choice(THINGS)} are left after {draw.randrange(1000)} days from the table"


def poems(draw: random.Random) -> str:
    """Needs no edge."""
    return f"write a short poem about {draw.choice(THINGS)} number {draw.randrange(1000)} please"


def is_right(query: str, topology: Topology) -> bool:
    """Whether the team answers: poems always, sums exactly when the analyst speaks to the solver."""
    return query.startswith("write") or EDGE in topology.spatial


def is_mended(query: str, topology: Topology) -> bool:
    """Whether the solver hears in the second round what the critic found in the first; an edge within a round says nothing new."""
    return BACK in topology.temporal


def tokens(topology: Topology) -> int:
    """What a run costs: every member speaks once, every edge makes somebody read."""
    return TOKENS_PER_MEMBER * len(topology.members) + TOKENS_PER_EDGE * len(topology.spatial)


def train(
    learner: TopologyLearner,
    queries: int,
    *families: Family,
    seed: int,
    utility: Callable[[str, Topology], float] = is_right,
    batch: int = 4,
) -> None:
    """Learn from so many queries, the families in turn."""
    draw = random.Random(seed)
    asked = [families[index % len(families)](draw) for index in range(queries)]
    for start in range(0, queries, batch):
        outcomes = []
        for place, query in enumerate(asked[start : start + batch]):
            topology, _ = learner.sample(query, seed=start + place)
            outcomes.append(TeamOutcome(query=query, seed=start + place, topology=topology, utility=float(utility(query, topology))))
        learner.learn(outcomes)


def samples(learner: TopologyLearner, family: Family, count: int = 60) -> list[Topology]:
    """Graphs for queries that were not trained on."""
    draw = random.Random("unseen")
    return [learner.sample(family(draw), seed=10_000 + index)[0] for index in range(count)]


def share(drawn: list[Topology], edge: tuple[str, str] = EDGE, kind: EdgeKind = "spatial") -> float:
    """In which part of them the edge is."""
    return sum(edge in (topology.spatial if kind == "spatial" else topology.temporal) for topology in drawn) / len(drawn)
