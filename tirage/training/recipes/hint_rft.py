"""Hint-RFT: learn from what a hint rescued (START, arXiv 2503.04625, section 3.2).

A problem counts as rescued when the policy failed it alone and solved it after a hint; one trajectory of each such
problem is kept. Fine-tuning on them with `hint_loss` teaches the model to remind itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from tirage.core.step import Source, Span
from tirage.core.trajectory import Trajectory
from tirage.traces.base import TraceSource
from tirage.training.filters import EXECUTED, HeldOut, executed
from tirage.training.manifest import Manifest
from tirage.training.rows import TokenRow, mask_spans, row_id, trained_sources
from tirage.training.selection import Build, Candidate, Kept, SelectionConfig, row_meta, write_selection

STEPS = ("read", "decontaminate", "score", "filter", "modify", "dedupe", "near-duplicates", "cap")


class HintRFTConfig(SelectionConfig):
    """Choices of Hint-RFT."""

    hinted_stage: str = "train-hinted"
    """Stage with the hinted rollouts."""
    unhinted_stage: str = "train-alone"
    """Stage with the same problems without hints."""
    hint_loss: bool = True
    """Train the hint spans (START does, so that the model learns to write them); False masks exactly them."""
    strip_hint: bool = False
    """Remove hint spans from the rows altogether. Spans are token-exact, so nothing is re-tokenised."""
    keep: Literal["all", "from_hint", "mask_to_hint"] = "all"
    """What becomes of the policy's words before the first hint: trained, cut away, or read without loss."""
    plain_prompt: bool = True
    """Put the prompt of the unhinted stage before the response, so that the model learns to do without demonstrations. The same where
    none were shown."""
    require_tool: bool = True
    """Drop trajectories in which no tool call really ran: the hint did not bring them the tool."""
    per_problem: int | None = Field(default=1, ge=1)
    """At most this many trajectories per problem; START keeps one."""


class HintRFT:
    """Rejection-sampling fine-tuning on hinted trajectories of problems that fail without a hint."""

    name = "hint-rft"
    version = 1
    settings = HintRFTConfig

    def __init__(self, config: HintRFTConfig | None = None) -> None:
        self.config = config or HintRFTConfig()

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a run that it reads."""
        return (self.config.hinted_stage, self.config.unhinted_stage)

    def build(self, traces: TraceSource, out: Path, *, run: str = "", heldout: HeldOut | None = None) -> Manifest:
        """Write the dataset folder `out`. Raises `TrainingError` when no row is left or traces have no token ids."""

        def select(build: Build) -> tuple[Sequence[Kept], tuple[str, ...]]:
            alone, prompts = self._alone(build, traces)
            kept = []
            for candidate in build.read(traces, self.config.hinted_stage):
                if build.fit(candidate) and self._rescued(build, candidate, alone):
                    kept.append(self._keep(build, candidate, prompts.get(candidate.rollout.problem.id), run))
            distinct = build.drop_near_duplicates(_drop_same(build, kept))
            return build.cap(distinct, self.config.per_problem), STEPS

        return write_selection(self.name, self.version, self.config, out, select, run=run, heldout=heldout)

    def _alone(self, build: Build, traces: TraceSource) -> tuple[dict[str, bool | None], dict[str, tuple[Span, ...]]]:
        """By problem id: solved by some unhinted rollout, failed by all graded ones, or None when none was graded; and its prompt there."""
        alone: dict[str, bool | None] = {}
        prompts: dict[str, tuple[Span, ...]] = {}
        for rollout in traces.read(self.config.unhinted_stage):
            build.digest.add(rollout)
            known, correct = alone.get(rollout.problem.id), rollout.correct
            alone[rollout.problem.id] = known if correct is None else bool(known) or correct
            if self.config.plain_prompt and rollout.tree.prompt:
                prompts[rollout.problem.id] = rollout.tree.prompt
        return alone, prompts

    def _rescued(self, build: Build, candidate: Candidate, alone: dict[str, bool | None]) -> bool:
        reason = None
        problem = candidate.rollout.problem.id
        if problem not in alone:
            reason = "no-unhinted-run"
        elif alone[problem] is None:
            reason = "unhinted-ungraded"
        elif alone[problem]:
            reason = "solved-unhinted"
        elif not candidate.trajectory.hints:
            reason = "no-hint-given"
        elif self.config.require_tool and not executed(candidate.trajectory):
            reason = "no-tool"
        if reason is not None:
            build.ledger.dropped("filter", reason)
            return False
        build.ledger.passed("filter")
        return True

    def _keep(self, build: Build, candidate: Candidate, prompt: tuple[Span, ...] | None, run: str) -> Kept:
        """Step `modify`, which drops nothing but may shorten, mask, or put `prompt` before the response."""
        build.tokenizer.check(candidate.rollout)
        trajectory = candidate.trajectory if prompt is None else replace(candidate.trajectory, prompt=prompt)
        spans, mask_until, removed = self.modify(trajectory)
        config = self.config
        trained = trained_sources(hint_loss=config.hint_loss, forced_loss=config.forced_loss)
        ids, labels = mask_spans(spans, trained, mask_until=mask_until)
        changes = f"strip={config.strip_hint},keep={config.keep},plain_prompt={config.plain_prompt}"
        policy = f"{self.name}:hint_loss={config.hint_loss},forced_loss={config.forced_loss},{changes}"
        row = TokenRow(
            id=row_id(candidate.rollout, candidate.nodes, policy),
            input_ids=ids,
            labels=labels,
            meta=row_meta(candidate, self.name, run, spans),
        )
        build.ledger.passed("modify")
        if removed:
            build.ledger.noted("modify", "hint-spans-removed", removed)
        return build.spool.add(row, candidate, candidate.verdict.answer if candidate.verdict else None)

    def modify(self, trajectory: Trajectory) -> tuple[list[Span], int, int]:
        """The spans that go into the row, how many of the first carry no loss, and how many hint spans were removed.

        A hint stays only when `strip_hint` is off and code after it, before the next hint, really ran. `keep` refers
        to the first hint that led to code, also where it was stripped; without one the whole trajectory is used.
        """
        response: list[Span] = []
        first_hint, removed = None, 0
        for place, step in enumerate(trajectory.steps):
            ran = step.hint is not None and _led_to_execution(trajectory, place)
            for span in step.spans:
                if span.source is not Source.HINT:
                    response.append(span)
                    continue
                if ran and first_hint is None:
                    first_hint = len(response)
                if ran and not self.config.strip_hint:
                    response.append(span)
                else:
                    removed += 1
        prompt = list(trajectory.prompt)
        if first_hint is None or self.config.keep == "all":
            return prompt + response, 0, removed
        if self.config.keep == "from_hint":
            return prompt + response[first_hint:], 0, removed
        return prompt + response, len(prompt) + first_hint, removed


def _led_to_execution(trajectory: Trajectory, place: int) -> bool:
    """Whether code ran in step `place` or after it, before the next hint."""
    for later, step in enumerate(trajectory.steps[place:]):
        if later and step.hint is not None:
            return False
        if any(seen.status in EXECUTED for seen in step.observations):
            return True
    return False


def _drop_same(build: Build, kept: list[Kept]) -> list[Kept]:
    """Step `dedupe`: one trajectory for each pair of normalised code and final answer, the preferred one."""
    left: dict[tuple[str, str], Kept] = {}
    for item in sorted(kept, key=lambda item: (item.rank, item.row)):
        left.setdefault((item.scope, item.signature), item)
    build.ledger.passed("dedupe", len(left))
    build.ledger.dropped("dedupe", "same-code-and-answer", len(kept) - len(left))
    return list(left.values())
