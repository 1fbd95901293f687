"""What learns who should speak to whom: the port, its feedback, and the walk that turns edge probabilities into a graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tirage.core.errors import ConfigError
from tirage.teams.topology import Topology

Matrix = npt.NDArray[np.float64]
"""[2, members, members]: at k, i, j about member i speaking to member j, within a round for k = 0, from a round to the next for k = 1."""
Mask = npt.NDArray[np.bool_]
SPATIAL, TEMPORAL = 0, 1
"""Places of the kinds of edge in a matrix."""
MOMENTUM = 0.8
"""Share of the old baseline that a batch leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamOutcome:
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
        """The members, with the rounds and the decision that stay."""
        ...

    def sample(self, query: str, seed: int) -> tuple[Topology, float]:
        """A topology, and the natural logarithm of the probability of the choices that led to it: 0 when frozen, for nothing is drawn."""
        ...

    def learn(self, outcomes: Sequence[TeamOutcome]) -> None:
        """Take one step from a batch that was sampled since the last step. Raises `ConfigError` when frozen, and for older samples."""
        ...

    def freeze(self) -> None:
        """From now on sample the same topology for the same query, whatever the seed, and refuse to learn."""
        ...


@dataclass(frozen=True, slots=True)
class Walk:
    """Edges of both kinds, the spatial ones without a cycle, and where it was open whether there should be one."""

    edges: Mask
    considered: Mask
    """False where no edge was allowed or one would have closed a cycle."""


def walk(allowed: Mask, keep: Mask) -> Walk:
    """Go over the ordered pairs row by row, skip what is not allowed and what would close a spatial cycle, and keep of the rest `keep`."""
    edges, considered = allowed & keep, allowed.copy()
    size = allowed.shape[-1]
    reach = np.eye(size, dtype=np.bool_)
    for i, j in zip(*np.nonzero(allowed[SPATIAL]), strict=True):
        if reach[j, i]:
            considered[SPATIAL, i, j] = edges[SPATIAL, i, j] = False
        elif keep[SPATIAL, i, j]:
            reach |= np.outer(reach[:, i], reach[j])
    return Walk(edges, considered)


PairMask = Sequence[Sequence[bool]]
"""[members, members]: who may speak to whom."""


def allowed_pairs(team: Topology, spatial: PairMask | None, temporal: PairMask | None) -> Mask:
    """[2, members, members]; all pairs where None. Nobody speaks to itself within a round, and no edge leads out of a single one.

    Raises `ConfigError` for masks of another size.
    """
    size = len(team.members)
    mask = np.ones((2, size, size), np.bool_)
    for kind, given in ((SPATIAL, spatial), (TEMPORAL, temporal)):
        if given is None:
            continue
        if np.shape(given) != (size, size):
            raise ConfigError(
                f"topology {team.name!r} has {size} members, its mask of allowed edges the shape {np.shape(given)}; give {size} x {size}"
            )
        mask[kind] = given
    mask[SPATIAL] &= ~np.eye(size, dtype=np.bool_)
    mask[TEMPORAL] &= team.rounds > 1
    return mask


def joined(team: Topology, allowed: Mask, edges: Mask) -> Topology:
    """The team with these edges; its own temporal ones stay where none is to be chosen."""
    return team.with_edges(edges[SPATIAL].tolist(), edges[TEMPORAL].tolist() if allowed[TEMPORAL].any() else None)


def log_probability(logits: Matrix, steps: Walk) -> float:
    """Sum over the pairs considered of ln p where the edge was taken and ln(1 - p) where not, with p = sigmoid(logit)."""
    signed = np.where(steps.edges, logits, -logits)[steps.considered]
    return float(-np.logaddexp(0.0, -signed).sum())


def advantages(outcomes: Sequence[TeamOutcome], baseline: float | None) -> tuple[list[float], float]:
    """Utilities less the running mean, and the mean after this batch. The first batch is measured against its own mean."""
    mean = sum(outcome.utility for outcome in outcomes) / len(outcomes)
    before = mean if baseline is None else baseline
    return [outcome.utility - before for outcome in outcomes], MOMENTUM * before + (1 - MOMENTUM) * mean


def check_on_policy(outcome: TeamOutcome, again: Topology) -> None:
    """Raises `ConfigError` when sampling again gives another graph."""
    if (again.spatial, again.temporal) != (outcome.topology.spatial, outcome.topology.temporal):
        raise ConfigError(
            f"the outcome of {outcome.query!r:.60} was sampled before the last step or with another seed; learn once from each batch, "
            "right after sampling it"
        )
