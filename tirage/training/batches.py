"""The plan of a job: which rows make up each optimiser step, and at which learning rate, fixed before training starts.

The plan depends on lengths, seed and sizes only, so an interrupted job that resumes reads exactly the batches it
would have read, and a control trained for the same number of steps sees as many rows.
"""

import math
import random
from collections.abc import Sequence
from typing import Literal

from tirage.core.seeds import derive_seed

BLANK = -1
"""Stands for an empty micro-batch: a step with fewer rows than micro-batches still has all its micro-batches."""

_CHUNK = 8
"""Rows are sorted by length within chunks of this many batches: little padding, still a fresh mix every epoch."""


def plan_steps(lengths: Sequence[int], *, batch_size: int, seed: int, epochs: float = 1.0, max_steps: int | None = None) -> list[list[int]]:
    """Row indices of each optimiser step: `batch_size` rows, fewer at the end of an epoch.

    `max_steps` overrides `epochs` and goes through the rows as often as needed; a broken last epoch is cut short.
    Raises ValueError for no rows or no steps.
    """
    if not lengths:
        raise ValueError("no rows to plan for")
    if (max_steps is not None and max_steps < 1) or (max_steps is None and epochs <= 0):
        raise ValueError(f"nothing to train: epochs={epochs}, max_steps={max_steps}")
    steps: list[list[int]] = []
    epoch = 0
    while (max_steps is not None and len(steps) < max_steps) or (max_steps is None and epoch < epochs):
        fresh = _one_epoch(lengths, batch_size, derive_seed(seed, "epoch", epoch))
        share = 1.0 if max_steps is not None else min(1.0, epochs - epoch)
        steps += fresh[: math.ceil(share * len(fresh))]
        epoch += 1
    return steps if max_steps is None else steps[:max_steps]


def _one_epoch(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    draw = random.Random(seed)
    order = list(range(len(lengths)))
    draw.shuffle(order)
    chunk = _CHUNK * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(order), chunk):
        near = sorted(order[start : start + chunk], key=lambda row: lengths[row])
        batches += [near[place : place + batch_size] for place in range(0, len(near), batch_size)]
    draw.shuffle(batches)
    return batches


def split_micro(steps: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Cut every step into exactly `count` micro-batches of near-equal row counts, `[BLANK]` where rows run out."""
    micro: list[list[int]] = []
    for step in steps:
        base, extra = divmod(len(step), count)
        start = 0
        for place in range(count):
            size = base + (place < extra)
            micro.append(list(step[start : start + size]) or [BLANK])
            start += size
    return micro


def lr_factor(step: int, steps: int, warmup: float, schedule: Literal["cosine", "linear", "constant"]) -> float:
    """Share of the peak learning rate at `step`, counted from 0, of `steps`.

    Rises linearly over the first `warmup * steps` steps, the first of which already learns; then stays or falls
    towards 0, which would be reached one step after the last. No step is spent at rate 0.
    """
    rise = int(warmup * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    done = (step - rise) / (steps - rise)
    if schedule == "constant":
        return 1.0
    return 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def padded_tokens(steps: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[int]:
    """Tokens that go through the model in each step, padding included."""
    return [len(step) * max(lengths[row] for row in step) for step in steps]
