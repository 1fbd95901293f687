"""Rows that teach a critic: (problem, a student's solution) -> critique, without what the critic saw besides.

From the traces of `tirage.systems.scrit` and `tirage.systems.realcritic`. SCRIT (arXiv 2501.05727, section 3) keeps a critique whose
correction reaches the answer; Critic-CoT (arXiv 2408.16326) one whose labels fit, step by step. The prompt of a row is not that of the
trace: it is rendered again. The critique keeps the ids that were sampled, except where a phrase that names a reference is cut out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from tirage.agents.replies import Unreadable
from tirage.core.message import Message
from tirage.core.step import Finish, Source, Span
from tirage.judging.critique_text import Critique, read_critique, split_steps
from tirage.models.base import Renderer
from tirage.models.embedded import nano_path
from tirage.models.template import HFRenderer
from tirage.systems.realcritic import CORRECTED, CRITIC, GIVEN
from tirage.systems.scrit import scrub
from tirage.traces.base import TraceSource
from tirage.training.filters import HeldOut
from tirage.training.manifest import Manifest
from tirage.training.rows import TokenRow, mask_spans, row_id, trained_sources
from tirage.training.selection import Build, Candidate, Kept, SelectionConfig, row_meta, write_selection
from tirage.verification.extract import final_answer

STEPS = ("read", "decontaminate", "critiques", "validate", "scrub", "near-duplicates", "cap")
Validation = Literal["labels", "correction", "steps", "off"]


class CritiqueConfig(SelectionConfig):
    """Choices of the critique recipe."""

    stage: str = "scrit"
    """Stage of the run whose rollouts are read."""
    validation: Validation = "labels"
    """labels: the correction is right and the conclusion fits the student's solution; correction: the correction is right, whatever the
    conclusion (SCRIT's own rule); steps: the labels of all steps fit and a wrong solution is corrected (Critic-CoT); off: everything."""
    template: str = CRITIC.template
    """The prompt of the rows, over `{problem}`, `{solution}` and `{answer}`."""
    tokenizer: str | None = None
    """Folder of the tokenizer of the traces' model; None for `nano`'s."""
    per_problem: int | None = Field(default=1, ge=1)
    """At most this many critiques per problem; None for no cap."""


def fault(critique: Critique, *, steps: int, student_right: bool, correction_right: bool, validation: Validation) -> str | None:
    """Why a critique is not fit for training; None when it is. `steps`: of the student's solution."""
    if validation == "off":
        return None
    if validation == "steps":
        if student_right:
            return None if critique.finds(steps) is True else "right-solution-not-accepted"
        return "wrong-solution-not-rejected" if not critique.rejects else None if correction_right else "wrong-correction"
    if not correction_right:
        return "wrong-correction"
    if validation == "labels" and _conclusion(critique, steps) is not student_right:
        return "label-conflict"
    return None


def _conclusion(critique: Critique, steps: int) -> bool | None:
    """What it concludes on the whole, in words or else by its labels."""
    return critique.finds(steps) if critique.verdict is None else critique.verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Critiqued:
    """A critique in a trace."""

    candidate: Candidate
    """Its last node, with the verdict on its correction."""
    critique: Critique
    student: str
    student_right: bool | None


class CritiqueRecipe:
    """Self-validated critiques."""

    name = "critique"
    version = 1
    settings = CritiqueConfig

    def __init__(self, config: CritiqueConfig | None = None, renderer: Renderer | None = None) -> None:
        """`renderer` renders the prompts of rows; by default that of the configuration's tokenizer."""
        self.config = config or CritiqueConfig()
        self._renderer = renderer

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a run that it reads."""
        return (self.config.stage,)

    def build(self, traces: TraceSource, out: Path, *, run: str = "", heldout: HeldOut | None = None) -> Manifest:
        """Write the dataset folder `out`. Raises `TrainingError` when no row is left, or for ids of another tokenizer."""
        renderer = self._renderer or HFRenderer(Path(self.config.tokenizer) if self.config.tokenizer else nano_path())

        def select(build: Build) -> tuple[Sequence[Kept], tuple[str, ...]]:
            build.tokenizer.hash = renderer.hash
            kept = [item for found in self._read(build, traces) if (item := self._keep(build, found, renderer, run)) is not None]
            return build.cap(build.drop_near_duplicates(kept), self.config.per_problem), STEPS

        return write_selection(self.name, self.version, self.config, out, select, run=run, heldout=heldout)

    def _read(self, build: Build, traces: TraceSource) -> Iterator[_Critiqued]:
        """The critiques with a correction that pass the step `validate`."""
        for candidate in build.read(traces, self.config.stage):
            found = _find(candidate)
            if isinstance(found, str):
                build.ledger.dropped("critiques", found)
                continue
            build.ledger.passed("critiques")
            verdict = candidate.verdict.correct if candidate.verdict is not None else None
            reason = "ungraded" if self.config.validation != "off" and None in (verdict, found.student_right) else None
            reason = reason or fault(
                found.critique,
                steps=len(split_steps(found.student)),
                student_right=found.student_right is True,
                correction_right=verdict is True,
                validation=self.config.validation,
            )
            if reason is not None:
                build.ledger.dropped("validate", reason)
                continue
            build.ledger.passed("validate")
            yield found

    def _keep(self, build: Build, found: _Critiqued, renderer: Renderer, run: str) -> Kept | None:
        """Step `scrub`, and the row; None where the scrubbed critique would say something else."""
        candidate = found.candidate
        build.tokenizer.check(candidate.rollout)
        written = [span for step in candidate.trajectory.steps for span in step.spans]
        spans = [_scrubbed(span, renderer) for span in written]
        changed = any(new is not old for new, old in zip(spans, written, strict=True))
        if changed and not _says_the_same(found, "".join(span.text for span in spans)):
            build.ledger.dropped("scrub", "changed-by-scrubbing")
            return None
        build.ledger.passed("scrub")
        if changed:
            build.ledger.noted("scrub", "scrubbed")
        question = self.config.template.format(
            problem=candidate.rollout.problem.prompt, solution=found.student, answer=final_answer(found.student), history=""
        )
        everything = [*renderer.render((Message(role="user", content=question),)), *spans]
        ids, labels = mask_spans(everything, trained_sources(hint_loss=False))
        row = TokenRow(
            id=row_id(candidate.rollout, candidate.nodes, f"{self.name}:{self.config.template}"),
            input_ids=ids,
            labels=labels,
            meta=row_meta(candidate, self.name, run, everything),
        )
        return build.spool.add(row, candidate, candidate.verdict.answer if candidate.verdict else None)


def _find(candidate: Candidate) -> _Critiqued | str:
    """The critique that a correction was taken from; else why there is none."""
    rollout, tree = candidate.rollout, candidate.rollout.tree
    if tree.nodes[candidate.node].move != CORRECTED:
        return "original" if tree.nodes[candidate.node].move in (GIVEN, "solver") else "no-correction"
    end = tree.nodes[candidate.node].parent
    path = tree.trajectory(end)
    student = next(node.index for node in tree.nodes if node.move in (GIVEN, "solver") and node.index in rollout.verdicts)
    if path.steps[-1].finish is not Finish.STOP:
        return "cut"
    try:
        critique = read_critique(path.response)
    except Unreadable:
        return "unreadable"
    return _Critiqued(
        candidate=replace(candidate, node=end, trajectory=path),
        critique=critique,
        student=tree.trajectory(student).response,
        student_right=rollout.verdicts[student].correct,
    )


def _scrubbed(span: Span, renderer: Renderer) -> Span:
    """The span as it is, or, where it named a reference, its scrubbed text encoded again, its end of turn kept."""
    text = scrub(span.text) if span.source is Source.POLICY else span.text
    if text == span.text or span.ids is None:
        return span
    ended = span.ids[-1:] if span.ids and span.ids[-1] in renderer.eos_ids else ()
    return Span(span.source, text, (*renderer.encode(text), *ended))


def _says_the_same(found: _Critiqued, text: str) -> bool:
    """Whether the labels, the conclusion and the answer of the correction are what they were."""
    try:
        critique = read_critique(text)
    except Unreadable:
        return False
    before = found.critique
    answers = [None if one.correction is None else final_answer(one.correction) for one in (before, critique)]
    return (critique.marks, critique.verdict, answers[1]) == (before.marks, before.verdict, answers[0])
