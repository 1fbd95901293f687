"""Seeded sampling, one slot per row: inverse CDF in float64 on numbers from a counter-based generator."""

import secrets
from dataclasses import dataclass

import numpy as np
import torch

from tirage.models.base import Sampling


@dataclass(slots=True)
class Row:
    """The sampling state of one draw."""

    sampling: Sampling
    numbers: np.random.Generator

    @classmethod
    def start(cls, sampling: Sampling, draw: int) -> "Row":
        """Draw `draw` of a request: Philox keyed by (seed, draw), so its numbers depend on nothing else."""
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        key = np.array([seed % 2**64, draw], dtype=np.uint64)
        return cls(sampling, np.random.Generator(np.random.Philox(key=key)))


def sample(logits: torch.Tensor, rows: list[Row | None]) -> tuple[list[int], list[float] | None]:
    """One token per slot; idle slots (None) get a meaningless one.

    A token is the first whose cumulative probability, in vocabulary order, exceeds u: softmax(logits / T) after
    top-k, then top-p (the smallest set that holds at least top_p of what top-k left). T = 0 takes the maximum.

    Args:
        logits: [slots, vocabulary], float32.
        rows: One per slot.

    Returns:
        Ids, and the log-probabilities of these ids under the unscaled, unfiltered model (temperature 1), or None
        when no row asks for them.
    """
    greedy = logits.argmax(-1)
    active = [row for row in rows if row is not None]
    warm = [row is not None and row.sampling.temperature > 0 for row in rows]
    chosen = greedy
    if any(warm):
        chosen = torch.where(torch.tensor(warm, device=logits.device), _draw(logits, rows), greedy)
    logprobs = None
    if any(row.sampling.logprobs for row in active):
        table = torch.log_softmax(logits.double(), -1)
        logprobs = [round(value, 7) for value in table.gather(-1, chosen[:, None])[:, 0].tolist()]
    return chosen.tolist(), logprobs


def _draw(logits: torch.Tensor, rows: list[Row | None]) -> torch.Tensor:
    temperatures = [row.sampling.temperature or 1.0 if row is not None else 1.0 for row in rows]
    uniform = [row.numbers.random() if row is not None and row.sampling.temperature > 0 else 0.5 for row in rows]
    device = logits.device
    scaled = logits.double() / torch.tensor(temperatures, dtype=torch.float64, device=device)[:, None]
    if any(row is not None and (row.sampling.top_k > 0 or row.sampling.top_p < 1) for row in rows):
        scaled = _filter(scaled, rows)
    heap = torch.softmax(scaled, -1).cumsum(-1)
    place = torch.tensor(uniform, dtype=torch.float64, device=device)[:, None] * heap[:, -1:]
    found = torch.searchsorted(heap, place, right=True)[:, 0]
    # u * total can round up to the total; the last token with any probability is then the answer.
    last = (heap < heap[:, -1:]).sum(-1)
    return torch.minimum(found, last)


def _filter(scaled: torch.Tensor, rows: list[Row | None]) -> torch.Tensor:
    """Set what top-k and top-p exclude to -inf, [slots, vocabulary]; ties go to the lower id."""
    size = scaled.shape[-1]
    top_k = [row.sampling.top_k if row is not None and row.sampling.top_k > 0 else size for row in rows]
    top_p = [row.sampling.top_p if row is not None else 1.0 for row in rows]
    ordered, index = scaled.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(size, device=scaled.device)[None]
    ordered = ordered.masked_fill(rank >= torch.tensor(top_k, device=scaled.device)[:, None], -torch.inf)
    weight = torch.softmax(ordered, -1)
    before = weight.cumsum(-1) - weight
    limit = torch.tensor(top_p, dtype=torch.float64, device=scaled.device)[:, None]
    # A token stays while what precedes it is short of top_p; the first always stays, and top_p = 1 excludes nothing.
    excluded = (before >= limit) & (rank > 0) & (limit < 1)
    ordered = ordered.masked_fill(excluded, -torch.inf)
    return torch.empty_like(scaled).scatter_(-1, index, ordered)
