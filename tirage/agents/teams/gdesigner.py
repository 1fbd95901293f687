"""A topology per query, from a graph auto-encoder that a few dozen queries train (G-Designer: Zhang et al. 2024, arXiv 2410.11782)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tirage.agents.teams.learner import (
    Matrix,
    Outcome,
    Walk,
    advantages,
    allowed_pairs,
    check_on_policy,
    log_probability,
    walk,
)
from tirage.agents.teams.refinement import refine
from tirage.agents.teams.spec import GDesignerSettings
from tirage.agents.teams.stock import stock
from tirage.agents.teams.topology import Topology
from tirage.core.errors import ConfigError, DataError, MissingExtra
from tirage.core.seeds import derive_seed
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder

if TYPE_CHECKING:
    import torch

TAU = 1e-2
"""Temperature of the concrete distribution: a drawn entry of the sketch is all but 0 or 1."""


class GDesigner:
    """Spatial edges by query; temporal edges, rounds and decision stay as the team has them."""

    def __init__(
        self,
        team: Topology,
        settings: GDesignerSettings | None = None,
        *,
        anchor: Topology | None = None,
        allowed: Sequence[Sequence[bool]] | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """`anchor` is a simple graph over the same members to start from (a chain when None); `allowed` says who may speak to whom.

        Raises `MissingExtra` without torch, `ConfigError` for an anchor of other members.
        """
        try:
            import torch

            from tirage.agents.teams.autoencoder import AutoEncoder
        except ImportError as error:
            raise MissingExtra("torch", "local") from error

        self.team = team
        self.settings = settings or GDesignerSettings()
        self.anchor = anchor or stock("chain", team.members)
        if self.anchor.names != team.names:
            raise ConfigError(
                f"the anchor {self.anchor.name!r} has other members than topology {team.name!r}; give it the same ones in order"
            )
        self.allowed = allowed_pairs(team, allowed)
        self.embedder = embedder or HashingEmbedder()
        self.baseline: float | None = None
        self.frozen = False
        self._model = AutoEncoder(
            self.embedder.dimension, decoder=self.settings.decoder, seed=derive_seed("g-designer", self.settings.seed)
        )
        self._optimizer = torch.optim.Adam(self._model.weights.values(), lr=self.settings.learning_rate)
        self._links: Matrix = np.array(self.anchor.adjacency(), np.float64)
        self._profiles = self.embedder.embed([member.profile for member in team.members])

    def probabilities(self, query: str) -> Matrix:
        """[members, members]: of each edge of the sketch where no cycle forbids it, without noise; 0 where it is not allowed."""
        return np.where(self.allowed, _sigmoid(self._logits(query, None).detach().numpy()), 0.0)

    def sample(self, query: str, seed: int) -> tuple[Topology, float]:
        """As the port says. The choices are those of the sketch; its refinement into a graph draws nothing."""
        if self.frozen:
            return self._graph(self.probabilities(query)), 0.0
        logits, sketch, steps = self._draw(query, seed)
        return self._graph(sketch), log_probability(logits.detach().numpy().astype(np.float64), steps)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """One step down -mean[(u - b) ln P(sketch)] + b sparsity ||P||_* + anchoring ||A - P||_F^2 / 2, P the edge probabilities.

        b is a running mean of the utilities, as part of sparsity within [0, 1]. Without it, a batch of right answers would make all its
        edges likelier, and a team that fails would lose its edges before it could learn which ones it needs.
        """
        import torch

        if self.frozen:
            raise ConfigError(f"the designer of topology {self.team.name!r} is frozen; learn with a new one")
        weights, self.baseline = advantages(outcomes, self.baseline)
        allowed, anchor = torch.from_numpy(self.allowed), torch.from_numpy(self._links).float()
        success = min(max(self.baseline, 0.0), 1.0)
        loss = torch.zeros(())
        for outcome, weight in zip(outcomes, weights, strict=True):
            logits, sketch, steps = self._draw(outcome.query, outcome.seed)
            check_on_policy(outcome, self._graph(sketch))
            signs = torch.from_numpy(np.where(steps.edges, 1.0, -1.0) * steps.considered).float()
            chosen = (torch.nn.functional.logsigmoid(logits * signs) * signs.abs()).sum()
            chances = torch.sigmoid(logits) * allowed
            sparse = success * self.settings.sparsity * torch.linalg.matrix_norm(chances, "nuc")
            anchored = self.settings.anchoring * (anchor - chances).pow(2).sum() / 2.0
            loss = loss + (sparse + anchored - weight * chosen) / len(outcomes)
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
            learner = cls(team, settings, anchor=anchor, allowed=about["allowed"], embedder=embedder)
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
        uniform = random.uniform(1e-12, 1.0, (size, size))
        drawn = _sigmoid((np.log(uniform) - np.log1p(-uniform) + logits.detach().numpy()) / TAU)
        steps = walk(self.allowed, lambda i, j: bool(drawn[i, j] > 0.5))
        return logits, np.where(steps.considered, drawn, 0.0), steps

    def _graph(self, sketch: Matrix) -> Topology:
        """The refined sketch's edges, row by row, without those that would close a cycle."""
        if self.settings.decoder == "inner_product":
            steps = walk(self.allowed, lambda i, j: bool(sketch[i, j] > 0.5))
            return self.team.with_spatial(steps.edges.tolist())
        weight, rank = self.settings.anchor_weight, self.settings.rank
        refined = refine(sketch, zeta=self.settings.zeta, rank=rank, anchor=self._links * self.allowed, anchor_weight=weight)
        # Half of what an edge weighs that is sketched and not in the anchor. The paper keeps what is positive, but the shrunk
        # singular values leave small positive entries nearly everywhere.
        steps = walk(self.allowed, lambda i, j: bool(refined[i, j] > 0.5 / (1.0 + weight)))
        return self.team.with_spatial(steps.edges.tolist())


def _sigmoid(logits: Any) -> Matrix:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64))))
