"""A topology per query, from a graph auto-encoder that a few dozen queries train (G-Designer: Zhang et al. 2024, arXiv 2410.11782)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tirage.core.errors import ConfigError, DataError, MissingExtra
from tirage.core.seeds import derive_seed
from tirage.teams.baseline import QueryBaseline
from tirage.teams.learner import (
    Matrix,
    PairMask,
    TeamOutcome,
    Walk,
    allowed_pairs,
    check_on_policy,
    joined,
    log_probability,
    walk,
)
from tirage.teams.refinement import refine
from tirage.teams.spec import GDesignerSettings
from tirage.teams.stock import stock
from tirage.teams.topology import Topology
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder

if TYPE_CHECKING:
    import torch

TAU = 1e-2
"""Temperature of the concrete distribution: a drawn entry of the sketch is all but 0 or 1."""
SURE = 4
"""Power of the expected utility that sparsity is weighted with: edges are given up once nearly all answers are right."""


class GDesigner:
    """Edges by query, within a round and, where there are several, from a round to the next; one draw serves all rounds of a problem."""

    def __init__(
        self,
        team: Topology,
        settings: GDesignerSettings | None = None,
        *,
        anchor: Topology | None = None,
        allowed: PairMask | None = None,
        allowed_temporal: PairMask | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """`anchor` is a simple graph over the same members to start from, a chain when None.

        `allowed` and `allowed_temporal` say who may speak to whom in a round and in the one after; the team's own temporal edges stay
        where it has one round or none is allowed. Raises `MissingExtra` without torch, `ConfigError` for an anchor of other members.
        """
        try:
            import torch

            from tirage.teams.autoencoder import AutoEncoder
        except ImportError as error:
            raise MissingExtra("torch", "local") from error

        self.team = team
        self.settings = settings or GDesignerSettings()
        self.anchor = anchor or stock("chain", team.members)
        if self.anchor.names != team.names:
            raise ConfigError(
                f"the anchor {self.anchor.name!r} has other members than topology {team.name!r}; give it the same ones in order"
            )
        self.allowed = allowed_pairs(team, allowed, allowed_temporal)
        self.embedder = embedder or HashingEmbedder()
        self._baseline = QueryBaseline()
        self.frozen = False
        self._model = AutoEncoder(
            self.embedder.dimension, decoder=self.settings.decoder, seed=derive_seed("g-designer", self.settings.seed)
        )
        self._optimizer = torch.optim.Adam(self._model.weights.values(), lr=self.settings.learning_rate)
        self._links: Matrix = np.array([self.anchor.adjacency(), self.anchor.adjacency("temporal")], np.float64)
        self._profiles = self.embedder.embed([member.profile for member in team.members])

    def probabilities(self, query: str) -> Matrix:
        """[2, members, members]: of each edge of the sketch where no cycle forbids it, without noise; 0 where it is not allowed."""
        return np.where(self.allowed, _sigmoid(self._logits(query, None).detach().numpy()), 0.0)

    def sample(self, query: str, seed: int) -> tuple[Topology, float]:
        """As the port says. The choices are those of the sketch; its refinement into a graph draws nothing."""
        if self.frozen:
            return self._graph(self.probabilities(query)), 0.0
        logits, sketch, steps = self._draw(query, seed)
        return self._graph(sketch), log_probability(logits.detach().numpy().astype(np.float64), steps)

    def learn(self, outcomes: Sequence[TeamOutcome]) -> None:
        """One step down the mean of -(u - b) ln P(sketch) + b^4 sparsity ||P||_* - (1 - b) exploration H(P) + anchoring ||A - P||_F^2 / 2.

        P are the edge probabilities, H(P) their entropy. b is what `QueryBaseline` expects of the query, within [0, 1] except in u - b.
        Without it, a batch of right answers would make all its edges likelier; a team that fails would lose its edges before it could
        learn which ones it needs; and an edge that was given up too early would never be tried again.
        """
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

        if self.frozen:
            raise ConfigError(f"the designer of topology {self.team.name!r} is frozen; learn with a new one")
        expected = self._baseline.expect(
            self.embedder.embed([outcome.query for outcome in outcomes]), [outcome.utility for outcome in outcomes]
        )
        allowed, anchor = torch.from_numpy(self.allowed), torch.from_numpy(self._links).float()
        loss = torch.zeros(())
        for outcome, usual in zip(outcomes, expected.tolist(), strict=True):
            logits, sketch, steps = self._draw(outcome.query, outcome.seed)
            check_on_policy(outcome, self._graph(sketch))
            signs = torch.from_numpy(np.where(steps.edges, 1.0, -1.0) * steps.considered).float()
            chosen = (logsigmoid(logits * signs) * signs.abs()).sum()
            chances = torch.sigmoid(logits) * allowed
            success = min(max(usual, 0.0), 1.0)
            sparse = success**SURE * self.settings.sparsity * torch.linalg.matrix_norm(chances, "nuc").sum()
            entropy = (binary_cross_entropy_with_logits(logits, chances, reduction="none") * allowed).sum()
            explored = (1.0 - success) * self.settings.exploration * entropy
            anchored = self.settings.anchoring * (anchor - chances).pow(2).sum() / 2.0
            loss = loss + (sparse - explored + anchored - (outcome.utility - usual) * chosen) / len(outcomes)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    def freeze(self) -> None:
        """From now on no noise: the refined edge probabilities decide."""
        self.frozen = True

    def save(self, path: Path) -> None:
        """Write the weights as safetensors, and in its header what else `load` needs."""
        from safetensors.torch import save_file

        about = {
            "kind": "g-designer",
            "team": self.team.to_dict(),
            "anchor": self.anchor.to_dict(),
            "allowed": self.allowed.tolist(),
            "settings": self.settings.model_dump(),
            "embedder": self.embedder.id,
        }
        save_file({name: weight.detach().contiguous() for name, weight in self._model.weights.items()}, path, {"tirage": json.dumps(about)})

    @classmethod
    def load(cls, path: Path, embedder: Embedder | None = None) -> "GDesigner":
        """Read what `save` wrote, frozen. Raises `DataError`, and `ConfigError` when the embedder is another one."""
        try:
            from safetensors import safe_open
        except ImportError as error:
            raise MissingExtra("safetensors", "local") from error
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads(file.metadata()["tirage"])
                weights = {name: file.get_tensor(name) for name in file.keys()}
            settings = GDesignerSettings(**about["settings"])
            team, anchor = Topology.from_dict(about["team"]), Topology.from_dict(about["anchor"])
            spatial, temporal = about["allowed"]
            learner = cls(team, settings, anchor=anchor, allowed=spatial, allowed_temporal=temporal, embedder=embedder)
            if learner.embedder.id != about["embedder"]:
                raise ConfigError(
                    f"{path} was learned with the embedder {about['embedder']}, not {learner.embedder.id}; open it with that one"
                )
            learner._model.load(weights)
        except (ConfigError, MissingExtra):
            raise
        except Exception as error:  # safetensors raises many kinds for a damaged file; all mean the same here
            raise DataError(f"{path} holds no designer ({type(error).__name__}: {error}); name a file written by GDesigner.save") from error
        learner.freeze()
        return learner

    def _logits(self, query: str, noise: "torch.Tensor | None") -> "torch.Tensor":
        import torch

        # Unit vectors have small entries; features of unit mean square make the first layer move.
        features = np.concatenate([self._profiles, self.embedder.embed([query])]) * np.sqrt(self.embedder.dimension)
        return self._model.logits(torch.from_numpy(features).float(), torch.from_numpy(self._links).float(), noise)

    def _draw(self, query: str, seed: int) -> "tuple[torch.Tensor, Matrix, Walk]":
        """Logits w under noise; the sketch S_ij = sigmoid((ln e - ln(1 - e) + w_ij) / tau), e uniform in (0, 1); which entries exceed 1/2.

        That P(S_ij > 1/2) = sigmoid(w_ij), whatever tau, is what makes the choices' probability exact.
        """
        import torch

        random = np.random.default_rng(derive_seed("g-designer", query, seed))
        size = len(self.team.members)
        noise = torch.from_numpy(random.standard_normal((size + 1, self._model.noise_width))).float()
        logits = self._logits(query, noise)
        uniform = random.uniform(1e-12, 1.0, (2, size, size))
        drawn = _sigmoid((np.log(uniform) - np.log1p(-uniform) + logits.detach().numpy()) / TAU)
        steps = walk(self.allowed, drawn > 0.5)
        return logits, np.where(steps.considered, drawn, 0.0), steps

    def _graph(self, sketch: Matrix) -> Topology:
        """The refined sketch's edges, row by row, without those that would close a cycle."""
        if self.settings.decoder == "inner_product":
            return joined(self.team, self.allowed, walk(self.allowed, sketch > 0.5).edges)
        zeta, rank, weight = self.settings.zeta, self.settings.rank, self.settings.anchor_weight
        pairs = zip(sketch, self._links * self.allowed, strict=True)
        refined = np.stack([refine(drawn, zeta=zeta, rank=rank, anchor=anchor, anchor_weight=weight) for drawn, anchor in pairs])
        # Half of what an edge weighs that is sketched and not in the anchor. The paper keeps what is positive, but the shrunk
        # singular values leave small positive entries nearly everywhere.
        return joined(self.team, self.allowed, walk(self.allowed, refined > 0.5 / (1.0 + weight)).edges)


def _sigmoid(logits: Any) -> Matrix:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64))))
