"""RFT: keep the correct and mutually different trajectories of each problem (arXiv 2308.01825, section 3.2).

On the no-hint stage it is the control of Hint-RFT; with `require_tool` it is START's second round. The paper also
adds the gold solutions; problems here hold gold answers only, so there is nothing to add. Fine-tune from the base.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from tirage.traces.base import TraceSource
from tirage.training.filters import HeldOut, edit_distance, executed
from tirage.training.manifest import Manifest
from tirage.training.rows import TokenRow, mask_spans, row_id, trained_sources
from tirage.training.selection import Build, Candidate, Kept, SelectionConfig, row_meta, write_selection

STEPS = ("read", "decontaminate", "score", "filter", "dedupe", "near-duplicates", "cap")


class RFTConfig(SelectionConfig):
    """Choices of rejection-sampling fine-tuning."""

    stage: str = "train-unhinted"
    """Stage of the run whose rollouts are read."""
    require_tool: bool = False
    """Keep only trajectories in which a tool call really ran (START's second round)."""
    hint_loss: bool = False
    """Train hint spans too, where the stage has hints."""
    per_problem: int | None = Field(default=4, ge=1)
    """At most this many trajectories per problem, after dedupe; None for no cap."""


class RFT:
    """Rejection-sampling fine-tuning."""

    name = "rft"
    version = 1
    settings = RFTConfig

    def __init__(self, config: RFTConfig | None = None) -> None:
        self.config = config or RFTConfig()

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a run that it reads."""
        return (self.config.stage,)

    def build(self, traces: TraceSource, out: Path, *, run: str = "", heldout: HeldOut | None = None) -> Manifest:
        """Write the dataset folder `out`. Raises `TrainingError` when no row is left or traces have no token ids."""

        def select(build: Build) -> tuple[Sequence[Kept], tuple[str, ...]]:
            kept = [self._keep(build, candidate, run) for candidate in build.read(traces, self.config.stage) if self._fit(build, candidate)]
            distinct = build.drop_near_duplicates(_one_per_signature(build, kept))
            return build.cap(distinct, self.config.per_problem), STEPS

        return write_selection(self.name, self.version, self.config, out, select, run=run, heldout=heldout)

    def _fit(self, build: Build, candidate: Candidate) -> bool:
        if not build.fit(candidate):
            return False
        if self.config.require_tool and not executed(candidate.trajectory):
            build.ledger.dropped("filter", "no-tool")
            return False
        build.ledger.passed("filter")
        return True

    def _keep(self, build: Build, candidate: Candidate, run: str) -> Kept:
        build.tokenizer.check(candidate.rollout)
        trained = trained_sources(hint_loss=self.config.hint_loss, forced_loss=self.config.forced_loss)
        spans = candidate.trajectory.spans
        ids, labels = mask_spans(spans, trained)
        row = TokenRow(
            id=row_id(
                candidate.rollout, candidate.nodes, f"{self.name}:hint_loss={self.config.hint_loss},forced_loss={self.config.forced_loss}"
            ),
            input_ids=ids,
            labels=labels,
            meta=row_meta(candidate, self.name, run, spans),
        )
        return build.spool.add(row, candidate, candidate.verdict.answer if candidate.verdict else None)


def _one_per_signature(build: Build, kept: Sequence[Kept]) -> list[Kept]:
    """Step `dedupe`: one trajectory for each way of solving a problem."""
    scopes: dict[str, dict[str, list[Kept]]] = {}
    for item in kept:
        scopes.setdefault(item.scope, {}).setdefault(item.signature, []).append(item)
    left = [pick for groups in scopes.values() for pick in _representatives(build, list(groups.values()))]
    build.ledger.passed("dedupe", len(left))
    build.ledger.dropped("dedupe", "same-signature", len(kept) - len(left))
    return left


def _representatives(build: Build, groups: list[list[Kept]]) -> list[Kept]:
    """From each group the trajectory farthest, in summed edit distance, from those already picked; the shortest first."""

    def size(item: Kept) -> tuple[int, str]:
        return item.trained, item.row

    groups = sorted((sorted(group, key=size) for group in groups), key=lambda group: size(group[0]))
    picked = [groups[0][0]]
    if all(len(group) == 1 for group in groups):
        return [group[0] for group in groups]
    texts = [build.spool.trained_ids(picked[0])]
    for group in groups[1:]:
        own = [build.spool.trained_ids(item) for item in group]
        far = [sum(edit_distance(ids, text) for text in texts) for ids in own] if len(group) > 1 else [0]
        best = far.index(max(far))
        picked.append(group[best])
        texts.append(own[best])
    return picked
