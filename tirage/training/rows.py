"""Token rows: the exact ids of a trace with a loss mask derived from who wrote each span. Nothing is re-tokenised."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tirage.core.errors import TrainingError
from tirage.core.rollout import Rollout
from tirage.core.step import Source, Span

IGNORED = -100
"""Label of a token that carries no loss (the convention of PyTorch's cross-entropy)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One training example."""

    id: str
    """16 hex digits over the trace nodes, the mask policy and the tokenizer hash."""
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """Same length as `input_ids`: the id where it is trained, `IGNORED` elsewhere."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Where it came from: trace, run, problem, nodes, recipe, hint_ids."""

    @property
    def trained_ids(self) -> tuple[int, ...]:
        """The ids that carry loss, in order."""
        return tuple(label for label in self.labels if label != IGNORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """One preference: a prompt, and two ways on from it of which one is better."""

    id: str
    """16 hex digits over the trace nodes of both sides, the mask policy and the tokenizer hash."""
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    chosen_labels: tuple[int, ...]
    """Same length as `chosen_ids`: the id where it counts as the policy's own, `IGNORED` elsewhere."""
    rejected_ids: tuple[int, ...]
    rejected_labels: tuple[int, ...]
    margin: float | None = None
    """By how much the chosen side is better; None where nobody says."""
    q_chosen: float | None = None
    """Estimated value of the chosen side, in the unit of the valuer."""
    q_rejected: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    """As of a `TokenRow`, of the chosen side; `rejected` holds `trace` and `nodes` of the other."""

    @property
    def tokens(self) -> int:
        """Ids in all, the prompt counted once."""
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def trained(self) -> int:
        """Ids of both sides that count as the policy's own."""
        return sum(label != IGNORED for label in (*self.chosen_labels, *self.rejected_labels))


def trained_sources(*, hint_loss: bool, forced_loss: bool = False) -> frozenset[Source]:
    """Authors whose tokens carry loss: the policy always, hints and forced words when asked; prompt, glue and observations never."""
    asked = {Source.HINT: hint_loss, Source.FORCED: forced_loss}
    return frozenset({Source.POLICY, *(source for source, wanted in asked.items() if wanted)})


def mask_spans(spans: Sequence[Span], trained: frozenset[Source], *, mask_until: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """`(input_ids, labels)` of `spans`, read in order.

    Spans before index `mask_until` carry no loss whoever wrote them. The end-of-turn id is the last id of a
    policy span whose step finished by stop, so it is trained. Raises `TrainingError` for a span without ids.
    """
    ids: list[int] = []
    labels: list[int] = []
    for place, span in enumerate(spans):
        if span.ids is None:
            raise TrainingError(
                f"a {span.source} span ({span.text[:40]!r}) has no token ids, so no exact training row can be made of it; "
                "sample with a back end that returns ids (nano, hf/..., vllm/...)"
            )
        ids.extend(span.ids)
        labels.extend(span.ids if place >= mask_until and span.source in trained else (IGNORED,) * len(span.ids))
    return tuple(ids), tuple(labels)


def row_id(rollout: Rollout, nodes: Sequence[int], mask_policy: str) -> str:
    """Identity of a row: which nodes of which trace, read by which tokenizer, under which mask policy."""
    parts = (rollout.model, rollout.config_hash, rollout.tokenizer_hash, mask_policy, *(f"{rollout.key}#{node}" for node in nodes))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def decode_trainable(row: TokenRow, decode: Callable[[tuple[int, ...]], str]) -> str:
    """Text of the trained tokens only, each unbroken stretch decoded on its own."""
    stretches: list[list[int]] = [[]]
    for label in row.labels:
        if label != IGNORED:
            stretches[-1].append(label)
        elif stretches[-1]:
            stretches.append([])
    return "".join(decode(tuple(stretch)) for stretch in stretches if stretch)


class TokenizerGuard:
    """Refuses rows whose ids come from different tokenizers."""

    def __init__(self, expected: str | None = None) -> None:
        """`expected` fixes the hash; None takes that of the first rollout."""
        self.hash = expected

    def check(self, rollout: Rollout) -> None:
        """Raise `TrainingError` when `rollout` has no tokenizer hash or another one."""
        if not rollout.tokenizer_hash:
            raise TrainingError(
                f"trace {rollout.key} of model {rollout.model} has no tokenizer hash, so its text was never tokens here; "
                "sample with a back end that returns ids (nano, hf/..., vllm/...)"
            )
        if self.hash is None:
            self.hash = rollout.tokenizer_hash
        elif rollout.tokenizer_hash != self.hash:
            raise TrainingError(
                f"trace {rollout.key} has ids of tokenizer {rollout.tokenizer_hash}, the others of {self.hash}; "
                "build one dataset per tokenizer (restrict the recipe's stage)"
            )
