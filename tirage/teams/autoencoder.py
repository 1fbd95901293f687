"""The graph auto-encoder of G-Designer (Zhang et al. 2024, arXiv 2410.11782): members and a task in, a logit per edge out.

The paper decodes the edges within a round; those from a round to the next are decoded here by a second output of the same decoder.
"""

import math
from collections.abc import Mapping

import torch

from tirage.teams.spec import Decoder

START_LOG_SIGMA = -3.0
"""Added to ln sigma, so that the noise of an untrained encoder does not drown what it says."""
SELF = 8.0
"""Weight of a node's own features against a neighbour's: with 1, two layers make the nodes of so small a graph all alike."""
TASK = 1.5
"""Weight of the task's code against a member's."""
GAIN = 2.0
"""Of the decoder's first weights: steep enough that one edge can be learned without its neighbours."""
BOUND = 3.0
"""Of a logit, so that no edge is ever given up: probabilities stay within [0.047, 0.953]."""
DROPOUT = 0.5
"""Of the public code's encoder, while learning."""


class AutoEncoder:
    """Weights and the two passes. `sketch` is the paper's model; `inner_product` follows the model of the public code.

    The public code's encoder has no noise but dropout, sees each member beside the query, and its decoder is symmetric: an inner
    product scaled to [-1, 1], so that no probability leaves [0.27, 0.73].
    """

    def __init__(self, dimension: int, *, decoder: Decoder = "sketch", hidden: int = 64, latent: int = 32, seed: int = 0) -> None:
        """`dimension` is the length of a feature; weights start normal with the variance gain^2 / inputs, from `seed`."""
        self.decoder = decoder
        random = torch.Generator().manual_seed(seed)

        def start(rows: int, columns: int, gain: float = 1.0) -> torch.Tensor:
            return (torch.randn(rows, columns, generator=random) * gain / math.sqrt(rows)).requires_grad_()

        if decoder == "sketch":
            self.weights = {
                "mu.0": start(dimension, hidden),
                "mu.1": start(hidden, latent),
                "sigma.0": start(dimension, hidden),
                "sigma.1": start(hidden, latent),
                "pair.0": start(3 * latent, hidden, GAIN),
                "pair.1": start(hidden, hidden, GAIN),
                "pair.2": start(hidden, 2),
            }
        else:
            self.weights = {
                "mu.0": start(2 * dimension, hidden),
                "mu.1": start(hidden, dimension),
                "node.0": start(dimension, latent),
                "node.1": start(latent, latent),
                "later.0": start(dimension, latent),
                "later.1": start(latent, latent),
            }

    def logits(self, features: torch.Tensor, anchor: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """[2, members, members] of `features` [members + 1, dimension], the task last, and `anchor` [2, members, members].

        `noise` [members + 1, `noise_width`] is standard normal, for the reparameterisation or the dropout; None for neither.
        """
        return self._sketch(features, anchor, noise) if self.decoder == "sketch" else self._inner_product(features, anchor, noise)

    @property
    def noise_width(self) -> int:
        """Numbers of noise per node."""
        return int(self.weights["mu.1"].shape[1 if self.decoder == "sketch" else 0])

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take weights of the same names and shapes. Raises ValueError."""
        if {name: weight.shape for name, weight in weights.items()} != {name: weight.shape for name, weight in self.weights.items()}:
            raise ValueError("its weights are of another model")
        self.weights = {name: weight.float().requires_grad_() for name, weight in weights.items()}

    def _sketch(self, features: torch.Tensor, anchor: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Codes h ~ N(mu, sigma^2), mu = GCN_mu(X, A), ln sigma = GCN_sigma(X, A); w_ij = FFN([h_i, h_j, h_task]).

        The means are taken less that of the members and to length sqrt(latent) (PairNorm: Zhao and Akoglu 2020, arXiv 1909.12223):
        what all nodes have in common can tell no edge from another.
        """
        spread = _propagation(anchor, task=True)
        codes = self._convolve("mu", spread, features)
        codes = codes - codes[:-1].mean(dim=0)
        codes = codes * codes.pow(2).mean(dim=1, keepdim=True).clamp_min(1e-12).rsqrt()
        if noise is not None:
            codes = codes + torch.exp(self._convolve("sigma", spread, features).clamp(-3.0, 3.0) + START_LOG_SIGMA) * noise
        members, size = codes[:-1], len(codes) - 1
        parts = (members[:, None], members[None], TASK * codes[-1])
        pairs = torch.cat([part.expand(size, size, -1) for part in parts], dim=-1)
        inner = torch.tanh(torch.tanh(pairs @ self.weights["pair.0"]) @ self.weights["pair.1"])
        return BOUND * torch.tanh((inner @ self.weights["pair.2"]).movedim(-1, 0) / BOUND)

    def _inner_product(self, features: torch.Tensor, anchor: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        spread = _propagation(anchor, task=False)
        beside = torch.cat([features[:-1], features[-1].expand(len(features) - 1, -1)], dim=1)
        inner = torch.relu(spread @ beside @ self.weights["mu.0"])
        if noise is not None:
            # A normal number is positive with probability 1/2.
            inner = inner * (noise[:-1] > 0) / (1.0 - DROPOUT)
        inner = spread @ inner @ self.weights["mu.1"]
        codes = torch.stack([torch.relu(inner @ self.weights[f"{part}.0"]) @ self.weights[f"{part}.1"] for part in ("node", "later")])
        product = codes @ codes.mT
        low, high = product.amin(dim=(1, 2), keepdim=True), product.amax(dim=(1, 2), keepdim=True)
        return (product - low) / (high - low).clamp_min(1e-12) * 2.0 - 1.0

    def _convolve(self, part: str, spread: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Two layers, H' = relu(spread H W), the second without relu (Kipf and Welling 2017, arXiv 1609.02907, eq. 9)."""
        return spread @ torch.relu(spread @ features @ self.weights[f"{part}.0"]) @ self.weights[f"{part}.1"]


def _propagation(anchor: torch.Tensor, *, task: bool) -> torch.Tensor:
    """D^-1/2 (A~ + c I) D^-1/2 with A~ = [[A, 1], [1^T, 0]], A without its directions and kinds; A~ = A unless `task`."""
    anchor = anchor.amax(dim=0)
    size = len(anchor)
    links = torch.ones(size + 1, size + 1)
    links[:size, :size] = torch.maximum(anchor, anchor.T)
    links.fill_diagonal_(SELF)
    part = links if task else links[:size, :size]
    scale = part.sum(dim=1).rsqrt()
    return scale[:, None] * part * scale
