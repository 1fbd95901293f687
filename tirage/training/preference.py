"""A base for recipes of preference pairs: one class with one method, which attempt at a problem is better than which.

    class RightOverWrong(PairRecipe):
        name = "right-over-wrong"

        def pairs(self, problem: Problem, attempts: Sequence[Attempt]) -> Iterator[Pair]:
            right = [item for item in attempts if item.correct]
            wrong = [item for item in attempts if not item.correct]
            for chosen, rejected in zip(right, wrong):
                yield Pair(chosen, rejected)

The base reads the traces, keeps held-out problems out, takes the exact ids with their authors, counts what is dropped, and writes.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from tirage.core.errors import TrainingError
from tirage.core.problem import Problem
from tirage.core.step import Source
from tirage.search.votes import said
from tirage.traces.base import TraceSource
from tirage.training.dataset import RowWriter, decode_row, encode_pair, new_dataset
from tirage.training.filters import HeldOut
from tirage.training.manifest import Ledger, Manifest, TraceDigest
from tirage.training.rows import PairRow, TokenizerGuard, TokenRow, mask_spans, row_id, trained_sources
from tirage.training.selection import Build, Candidate, Kept, NothingKept, SelectionConfig, Spool, row_meta, write_manifest

STEPS = ("read", "decontaminate", "grade", "pair", "cap")
UNITS = {"pair": "pairs", "cap": "pairs"}


class PairConfig(SelectionConfig):
    """What every recipe of pairs lets you choose. A recipe with settings of its own adds fields in a subclass."""

    stage: str | None = None
    """Stage of the run whose rollouts are read; None for all."""
    per_problem: int | None = Field(default=4, ge=1)
    """At most this many pairs per problem, the first that the recipe gives; None for no cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One graded end of a tree: a continuation of the problem's prompt."""

    id: str
    """16 hex digits over its trace nodes, the mask policy and the tokenizer hash."""
    correct: bool
    answer: str | None
    """The final answer that the verifier read; None for none."""
    value: float | None
    """What the search's valuer said of the end; None where nobody was asked."""
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    """Everything after the prompt: the policy's tokens, tools' output, glue."""
    labels: tuple[int, ...]
    """The ids that are the policy's own, `IGNORED` elsewhere."""
    trace: str
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference between two attempts at the same problem."""

    chosen: Attempt
    rejected: Attempt
    margin: float | None = None
    """By how much the chosen one is better; None where nobody says."""


class PairRecipe(ABC):
    """Traces to a dataset of kind `pairs`. A subclass gives `name` and `pairs`."""

    name: ClassVar[str]
    """As the manifest has it."""
    version: ClassVar[int] = 1
    """Rises when the same traces give other rows."""
    settings: ClassVar[type[PairConfig]] = PairConfig
    """What `--set` may say."""

    def __init__(self, config: PairConfig | None = None) -> None:
        self.config = config or self.settings()

    @abstractmethod
    def pairs(self, problem: Problem, attempts: Sequence[Attempt]) -> Iterable[Pair]:
        """The pairs of one problem, the best first. `attempts` are all that were graded, in the order of their traces."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a run that it reads; empty for all."""
        return () if self.config.stage is None else (self.config.stage,)

    def build(self, traces: TraceSource, out: Path, *, run: str = "", heldout: HeldOut | None = None) -> Manifest:
        """Write the dataset folder `out`. Raises `TrainingError` when no pair is left or traces have no token ids."""
        with new_dataset(out) as scratch:
            with Spool(scratch, self.config) as spool, RowWriter(scratch) as writer:
                build = Build(
                    config=self.config, spool=spool, heldout=heldout, ledger=Ledger(), digest=TraceDigest(), tokenizer=TokenizerGuard()
                )
                problems, attempts = self._read(build, traces, run)
                for key in sorted(attempts):
                    for row in sorted(self._rows(build, problems[key], attempts[key]), key=lambda row: row.id):
                        writer.write(encode_pair(row), tokens=row.tokens, trained=row.trained)
            counts = build.ledger.counts(STEPS, UNITS)
            if not writer.rows:
                lost = "; ".join(f"{count.step}: {reason} {n}" for count in counts for reason, n in count.dropped.items())
                raise NothingKept(f"recipe {self.name} made no pair of {counts[0].entered} trajectories ({lost or 'none was paired'})")
            return write_manifest(scratch, build, writer, counts, kind="pairs", recipe=self.name, version=self.version, run=run)

    def _read(self, build: Build, traces: TraceSource, run: str) -> tuple[dict[str, Problem], dict[str, list[Kept]]]:
        """The problems by id, and their graded attempts, which wait in the spool."""
        problems: dict[str, Problem] = {}
        attempts: dict[str, list[Kept]] = {}
        for candidate in build.read(traces, self.config.stage):
            verdict = candidate.verdict
            if verdict is None or verdict.correct is None:
                build.ledger.dropped("grade", "ungraded" if candidate.trajectory.error is None else "error")
                continue
            build.ledger.passed("grade")
            problem = candidate.rollout.problem
            problems[problem.id] = problem
            attempts.setdefault(problem.id, []).append(self._spool(build, candidate, run))
        return problems, attempts

    def _spool(self, build: Build, candidate: Candidate, run: str) -> Kept:
        build.tokenizer.check(candidate.rollout)
        trajectory, verdict = candidate.trajectory, candidate.verdict
        assert verdict is not None
        ids, labels = mask_spans(trajectory.spans, trained_sources(hint_loss=False, forced_loss=self.config.forced_loss))
        meta = {
            **row_meta(candidate, self.name, run, trajectory.spans),
            "prompt": sum(len(span.ids or ()) for span in trajectory.prompt if span.source is Source.PROMPT),
            "correct": verdict.correct,
            "answer": verdict.answer,
            "value": said(candidate.rollout.tree, candidate.node),
        }
        mark = f"{self.name}/{self.version}:forced_loss={self.config.forced_loss}"
        row = TokenRow(id=row_id(candidate.rollout, candidate.nodes, mark), input_ids=ids, labels=labels, meta=meta)
        return build.spool.add(row, candidate, verdict.answer)

    def _rows(self, build: Build, problem: Problem, kept: Sequence[Kept]) -> list[PairRow]:
        """The rows of one problem; steps `pair` and `cap`."""
        rows = [decode_row(build.spool.line(item), "spool") for item in kept]
        rows.sort(key=lambda row: (row.meta["trace"], row.meta["nodes"]))
        metas = {row.id: row.meta for row in rows}
        made: dict[str, PairRow] = {}
        for pair in self.pairs(problem, [_attempt(row) for row in rows]):
            if not isinstance(pair, Pair) or {pair.chosen.id, pair.rejected.id} - metas.keys():
                raise TrainingError(
                    f"recipe {self.name}: pairs() gave {pair!r:.80}; give Pair(chosen, rejected) of the attempts it was given"
                )
            row = self._row(pair, metas)
            reason = _fault(row, pair, made)
            if reason is not None:
                build.ledger.dropped("pair", reason)
                continue
            build.ledger.passed("pair")
            if self.config.per_problem is not None and len(made) >= self.config.per_problem:
                build.ledger.dropped("cap", "over-cap")
                continue
            build.ledger.passed("cap")
            made[row.id] = row
        return list(made.values())

    def _row(self, pair: Pair, metas: dict[str, Any]) -> PairRow:
        chosen, rejected = pair.chosen, pair.rejected
        meta = {name: value for name, value in metas[chosen.id].items() if name not in ("prompt", "correct", "answer", "value")}
        return PairRow(
            id=hashlib.sha256(f"{chosen.id}\0{rejected.id}".encode()).hexdigest()[:16],
            prompt_ids=chosen.prompt_ids,
            chosen_ids=chosen.ids,
            chosen_labels=chosen.labels,
            rejected_ids=rejected.ids,
            rejected_labels=rejected.labels,
            margin=pair.margin,
            q_chosen=chosen.value,
            q_rejected=rejected.value,
            meta={**meta, "rejected": {"trace": rejected.trace, "nodes": list(rejected.nodes)}},
        )


def _attempt(row: TokenRow) -> Attempt:
    meta, start = row.meta, row.meta["prompt"]
    return Attempt(
        id=row.id,
        correct=meta["correct"],
        answer=meta["answer"],
        value=meta["value"],
        prompt_ids=row.input_ids[:start],
        ids=row.input_ids[start:],
        labels=row.labels[start:],
        trace=meta["trace"],
        nodes=tuple(meta["nodes"]),
    )


def _fault(row: PairRow, pair: Pair, made: dict[str, PairRow]) -> str | None:
    """Why a pair is no row; None when it is one."""
    if pair.chosen.prompt_ids != pair.rejected.prompt_ids:
        return "other-prompt"
    if row.chosen_ids == row.rejected_ids:
        return "same-response"
    if not any(label >= 0 for label in row.chosen_labels) or not any(label >= 0 for label in row.rejected_labels):
        return "nothing-sampled"
    return "repeated" if row.id in made else None
