"""What learns who should speak to whom: the port, its feedback, and the walk that turns edge probabilities into a graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tirage.agents.teams.topology import Topology
from tirage.core.errors import ConfigError

Matrix = npt.NDArray[np.float64]
"""[members, members]: row i, column j is about member i speaking to member j."""
Mask = npt.NDArray[np.bool_]
MOMENTUM = 0.8
"""Share of the old baseline that a batch leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a sampled team fared on a query."""

    query: str
    seed: int
    """What it was sampled with."""
    topology: Topology
    utility: float
    """1 for a right answer, 0 for a wrong one; less the price of its tokens where they are to be saved."""


class TopologyLearner(Protocol):
    """Samples a topology per query and learns from what became of it."""

    @property
    def team(self) -> Topology:
        """The members, with the temporal edges, rounds and decision that stay."""
        ...

    def sample(self, query: str, seed: int) -> tuple[Topology, float]:
        """A topology, and the natural logarithm of the probability of the choices that led to it: 0 when frozen, for nothing is drawn."""
        ...

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take one step from a batch that was sampled since the last step. Raises `ConfigError` when frozen, and for older samples."""
        ...

    def freeze(self) -> None:
        """From now on sample the same topology for the same query, whatever the seed, and refuse to learn."""
        ...


@dataclass(frozen=True, slots=True)
class Walk:
    """A graph without cycles, and where it was open whether there should be an edge."""

    edges: Mask
    considered: Mask
    """False where no edge was allowed or one would have closed a cycle."""


def walk(allowed: Mask, keep: Callable[[int, int], bool]) -> Walk:
    """Go over the ordered pairs row by row, skip what is not allowed and what would close a cycle, and ask `keep` about the rest."""
    size = len(allowed)
    edges, considered = np.zeros((size, size), np.bool_), np.zeros((size, size), np.bool_)
    reach = np.eye(size, dtype=np.bool_)
    for i in range(size):
        for j in range(size):
            if i == j or not allowed[i, j] or reach[j, i]:
                continue
            considered[i, j] = True
            if keep(i, j):
                edges[i, j] = True
                reach |= np.outer(reach[:, i], reach[j])
    return Walk(edges, considered)


def allowed_pairs(team: Topology, allowed: Sequence[Sequence[bool]] | None) -> Mask:
    """The mask as an array, nobody speaking to itself; all pairs when None. Raises `ConfigError` for a mask of another size."""
    size = len(team.members)
    mask = np.ones((size, size), np.bool_) if allowed is None else np.array(allowed, np.bool_)
    if mask.shape != (size, size):
        raise ConfigError(
            f"topology {team.name!r} has {size} members, its mask of allowed edges the shape {mask.shape}; give {size} x {size}"
        )
    return mask & ~np.eye(size, dtype=np.bool_)


def log_probability(logits: Matrix, steps: Walk) -> float:
    """Sum over the pairs considered of ln p where the edge was taken and ln(1 - p) where not, with p = sigmoid(logit)."""
    signed = np.where(steps.edges, logits, -logits)[steps.considered]
    return float(-np.logaddexp(0.0, -signed).sum())


def advantages(outcomes: Sequence[Outcome], baseline: float | None) -> tuple[list[float], float]:
    """Utilities less the running mean, and the mean after this batch. The first batch is measured against its own mean."""
    mean = sum(outcome.utility for outcome in outcomes) / len(outcomes)
    before = mean if baseline is None else baseline
    return [outcome.utility - before for outcome in outcomes], MOMENTUM * before + (1 - MOMENTUM) * mean


def check_on_policy(outcome: Outcome, again: Topology) -> None:
    """Raises `ConfigError` when sampling again gives another graph."""
    if again.spatial != outcome.topology.spatial:
        raise ConfigError(
            f"the outcome of {outcome.query!r:.60} was sampled before the last step or with another seed; learn once from each batch, "
            "right after sampling it"
        )
