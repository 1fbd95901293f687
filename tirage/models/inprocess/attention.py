"""Attention over fixed-size key/value blocks, registered with transformers as `tirage_blocks`.

Batch-invariant by construction: every matrix product has a shape that depends only on the number of slots and the
block size, blocks are accumulated one after the other, and a masked block adds exact zeros. So the result for one
row is the same to the last bit however long its neighbours are.
"""

import threading
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tirage.core.errors import ModelError

NAME = "tirage_blocks"
_MASKED = -1e30
"""Absorbs any score in float32 and, unlike -inf, never gives NaN in a block that is masked as a whole."""


@dataclass(slots=True)
class StepPlan:
    """What the attention of one forward pass needs to know; the same for all layers."""

    positions: torch.Tensor
    """Position of each query, [rows, queries]."""
    blocks: int
    """How many blocks hold a visible key for some row."""
    block: int
    """Keys per block."""
    last: int
    """Keys in the last block: `block`, except in a prefill, where the last block ends with the prompt."""
    biases: dict[tuple[int | None, int, int], list[torch.Tensor]] = field(default_factory=dict)
    """Masks already built, by window and head layout."""

    def bias(self, window: int | None, kv_heads: int, group: int) -> list[torch.Tensor]:
        """One mask per block for layers of this kind: 0 for visible, `_MASKED` for hidden.

        Args:
            window: Sliding window; None for full attention.
            kv_heads: Key heads.
            group: Query heads per key head.

        Returns:
            Per block [rows * kv_heads, group * queries, keys].
        """
        kind = (window, kv_heads, group)
        if kind not in self.biases:
            self.biases[kind] = [self._bias(number, *kind) for number in range(self.blocks)]
        return self.biases[kind]

    def _bias(self, number: int, window: int | None, kv_heads: int, group: int) -> torch.Tensor:
        size = self.last if number == self.blocks - 1 else self.block
        keys = torch.arange(number * self.block, number * self.block + size, device=self.positions.device)
        queries = self.positions[:, None, None, :, None]
        hidden = keys > queries
        if window is not None:
            hidden = hidden | (keys <= queries - window)
        rows, count = self.positions.shape
        bias = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device).masked_fill_(hidden, _MASKED)
        return bias.expand(rows, kv_heads, group, count, size).reshape(rows * kv_heads, group * count, size)


class _Current(threading.local):
    """The plan of the forward pass that runs on this thread."""

    plan: StepPlan | None = None


current = _Current()


def block_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """softmax(scaling * q k^T + mask) v in float32, block by block.

    Args:
        module: The attention layer; only its head dimension is looked at.
        query: [rows, heads, queries, dim].
        key: The cache, [rows, kv_heads, capacity, dim]; keys beyond the plan's blocks are not read.
        value: Like `key`.
        attention_mask: Ignored: visibility follows from the plan's positions.
        scaling: Factor on the scores; dim ** -0.5 when None.
        sliding_window: Keys further back than this are hidden.
        softcap: Scores s become softcap * tanh(s / softcap), Gemma 2.
        **rest: Arguments of other implementations; sinks and position biases are refused.

    Returns:
        [rows, queries, heads, dim], and None for the weights.
    """
    plan = current.plan
    if plan is None:
        raise ModelError("block attention was called outside the engine; load the model with another attn_implementation")
    refused = [name for name in ("s_aux", "position_bias") if rest.get(name) is not None]
    if refused:
        raise ModelError(f"this architecture needs {refused[0]} in attention, which in-process generation lacks; serve it with vllm/NAME")
    rows, heads, queries, dim = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    scale = dim**-0.5 if scaling is None else scaling
    # [rows * kv_heads, group * queries, dim]: query heads that share a key head are rows of one product.
    q = (query.float() * scale).reshape(rows * kv_heads, group * queries, dim)
    scores, top = [], None
    for number, bias in enumerate(plan.bias(sliding_window, kv_heads, group)):
        keys = _block(key, plan, number, bias.shape[-1])
        if softcap is None:
            score = torch.baddbmm(bias, q, keys.transpose(1, 2))
        else:
            score = torch.bmm(q, keys.transpose(1, 2)).div_(softcap).tanh_().mul_(softcap).add_(bias)
        scores.append(score)
        peak = score.amax(-1, keepdim=True)
        top = peak if top is None else torch.maximum(top, peak)
    total = out = None
    for number, score in enumerate(scores):
        weight = score.sub_(top).exp_()
        values = _block(value, plan, number, weight.shape[-1])
        mass = weight.sum(-1, keepdim=True)
        total = mass if total is None else total + mass
        out = torch.bmm(weight, values) if out is None else torch.baddbmm(out, weight, values)
    if out is None:
        raise ModelError("attention over no keys")
    out = (out / total).to(query.dtype).view(rows, heads, queries, value.shape[-1])
    return out.transpose(1, 2).contiguous(), None


def _block(store: torch.Tensor, plan: StepPlan, number: int, size: int) -> torch.Tensor:
    """One block of the cache as [rows * kv_heads, size, dim] float32, a view where it can be."""
    rows, kv_heads, capacity, dim = store.shape
    start = number * plan.block
    return store.view(rows * kv_heads, capacity, dim)[:, start : start + size].float()


ALL_ATTENTION_FUNCTIONS.register(NAME, block_attention)
