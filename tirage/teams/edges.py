"""One probability per edge, whatever the query, learned by REINFORCE (GPTSwarm: Zhuge et al. 2024, arXiv 2402.16823)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tirage.core.errors import ConfigError, DataError
from tirage.core.seeds import derive_seed
from tirage.teams.learner import (
    Matrix,
    PairMask,
    TeamOutcome,
    Walk,
    advantages,
    allowed_pairs,
    check_on_policy,
    joined,
    log_probability,
    walk,
)
from tirage.teams.topology import Topology


class EdgeOptimizer:
    """A logit per ordered pair of members within a round, and from a round to the next where there are several."""

    def __init__(
        self,
        team: Topology,
        *,
        allowed: PairMask | None = None,
        allowed_temporal: PairMask | None = None,
        learning_rate: float = 1.5,
        sparsity: float = 0.1,
    ) -> None:
        """`allowed` and `allowed_temporal` say who may speak to whom in a round and in the one after; `sparsity` is the price of an edge.

        The team's own temporal edges stay where it has one round or `allowed_temporal` allows none. The price is in utility.
        """
        self.team = team
        self.allowed = allowed_pairs(team, allowed, allowed_temporal)
        self.learning_rate = learning_rate
        self.sparsity = sparsity
        self.logits: Matrix = np.zeros(self.allowed.shape)
        self.baseline: float | None = None
        self.frozen = False

    def probabilities(self) -> Matrix:
        """[2, members, members]: of each edge where no cycle forbids it; 0 where it is not allowed."""
        return np.where(self.allowed, 1.0 / (1.0 + np.exp(-self.logits)), 0.0)

    def sample(self, query: str, seed: int) -> tuple[Topology, float]:
        """As the port says; the query matters to the draw alone."""
        if self.frozen:
            return self._joined(walk(self.allowed, self.logits > 0)), 0.0
        steps = self._draw(query, seed)
        return self._joined(steps), log_probability(self.logits, steps)

    def learn(self, outcomes: Sequence[TeamOutcome]) -> None:
        """Ascend the mean of (u - b) grad ln P(graph) with a running-mean baseline b, less the gradient of `sparsity` sum p."""
        if self.frozen:
            raise ConfigError(f"the edges of topology {self.team.name!r} are frozen; learn with a new learner")
        weights, self.baseline = advantages(outcomes, self.baseline)
        chances = self.probabilities()
        gradient = -self.sparsity * chances * (1.0 - chances)
        for outcome, weight in zip(outcomes, weights, strict=True):
            steps = self._draw(outcome.query, outcome.seed)
            check_on_policy(outcome, self._joined(steps))
            # d ln P / d logit of a Bernoulli draw is its value less its probability.
            gradient += weight * np.where(steps.considered, steps.edges - chances, 0.0) / len(outcomes)
        self.logits = self.logits + self.learning_rate * gradient

    def freeze(self) -> None:
        """Keep what is likelier than not."""
        self.frozen = True

    def save(self, path: Path) -> None:
        """Write JSON."""
        data = {
            "kind": "edges",
            "team": self.team.to_dict(),
            "allowed": self.allowed.tolist(),
            "logits": self.logits.tolist(),
        }
        path.write_text(json.dumps(data), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "EdgeOptimizer":
        """Read what `save` wrote, frozen. Raises `DataError`."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            spatial, temporal = data["allowed"]
            learner = cls(Topology.from_dict(data["team"]), allowed=spatial, allowed_temporal=temporal)
            learner.logits = np.array(data["logits"], np.float64).reshape(learner.allowed.shape)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} holds no learned edges ({type(error).__name__}: {error}); name a file written by EdgeOptimizer.save"
            ) from error
        learner.freeze()
        return learner

    def _draw(self, query: str, seed: int) -> Walk:
        chances = self.probabilities()
        uniform = np.random.default_rng(derive_seed("edges", query, seed)).random(chances.shape)
        return walk(self.allowed, uniform < chances)

    def _joined(self, steps: Walk) -> Topology:
        return joined(self.team, self.allowed, steps.edges)
