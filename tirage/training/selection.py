"""The machinery recipes share: terminal paths of traces become candidates, the kept ones are sorted and written.

Memory holds one small record per candidate that passed the filters; the rows themselves wait in a spool file. The
rows are written in order of problem and row id, so the order in which traces are read leaves no mark.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from tirage.core.errors import TrainingError
from tirage.core.rollout import Rollout
from tirage.core.seeds import derive_seed
from tirage.core.step import Source, Span
from tirage.core.trajectory import StopReason, Trajectory
from tirage.core.verdict import Reward, Verdict
from tirage.traces.base import TraceSource
from tirage.training.dataset import MANIFEST, RowWriter, encode_row, new_dataset
from tirage.training.filters import HeldOut, failed_final_execution, longest_loop, signature, unfinished
from tirage.training.manifest import Ledger, Manifest, StepCount, TraceDigest, TraceSnapshot, config_hash
from tirage.training.near_duplicates import drop_near_duplicates
from tirage.training.rows import TokenizerGuard, TokenRow


class NothingKept(TrainingError):
    """A recipe found nothing that is fit to train on; the message says at which step what was lost."""


class Recipe(Protocol):
    """Traces to rows."""

    @property
    def name(self) -> str:
        """As in `--recipe`."""
        ...

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a run that it reads."""
        ...

    def build(self, traces: TraceSource, out: Path, *, run: str = "", heldout: HeldOut | None = None) -> Manifest:
        """Write a dataset folder and return its manifest."""
        ...


class SelectionConfig(BaseModel):
    """What every selecting recipe lets you choose."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int = 0
    """Fixes the draw where `prefer` is random."""
    paths: Literal["all", "chosen"] = "all"
    """Which ends of a tree compete: every judged one, or only the rollout's answer."""
    prefer: Literal["random", "shortest"] = "random"
    """Which trajectories of a problem survive its cap. The shortest ones say least about when to use the tool."""
    forced_loss: bool = False
    """Train what was put into the policy's mouth, such as the words that elicited its answer, so that it learns to write them."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longer trajectories are dropped whole; None for no limit."""
    max_loop_tokens: int = Field(default=24, ge=1)
    """A stretch of this many tokens that repeats one n-gram four times or more drops the trajectory."""
    near_duplicate_jaccard: float = Field(default=0.8, gt=0, le=1)
    """5-gram Jaccard similarity from which two trajectories count as the same."""
    dedupe_scope: Literal["problem", "dataset"] = "problem"
    """Compare trajectories of one problem only, or of all. Templated problems give alike texts that are not duplicates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One terminal path of one trace."""

    rollout: Rollout
    node: int
    trajectory: Trajectory
    verdict: Verdict | None

    @property
    def policy_ids(self) -> tuple[int, ...]:
        """Ids the policy sampled, in order; spans without ids count as none."""
        return tuple(token for span in self.trajectory.spans if span.source is Source.POLICY for token in span.ids or ())

    @property
    def tokens(self) -> int:
        """Length of the whole trajectory in tokens, in characters where there are no ids."""
        return sum(len(span.ids if span.ids is not None else span.text) for span in self.trajectory.spans)

    @property
    def nodes(self) -> list[int]:
        """Tree nodes along the path."""
        return [node.index for node in self.rollout.tree.path(self.node)]


def candidates(rollout: Rollout, paths: Literal["all", "chosen"]) -> list[Candidate]:
    """Terminal paths of a rollout; empty when nothing was produced."""
    tree = rollout.tree
    if paths == "chosen":
        ends = [rollout.chosen] if rollout.chosen else []
    else:
        ends = [node.index for node in tree.nodes[1:] if node.stop is not StopReason.OPEN]
    return [Candidate(rollout=rollout, node=end, trajectory=tree.trajectory(end), verdict=rollout.verdicts.get(end)) for end in ends]


def score(candidate: Candidate, config: SelectionConfig) -> tuple[Reward, str | None]:
    """START's rule-based score (arXiv 2503.04625, section 3.2) and the first reason for which it is below 1.

    +1 for a correct answer; -1 each for a repeated n-gram loop, a failed final execution, and a path that is
    over-long or was not ended by the policy. Only a total of 1 is fit for training.
    """
    trajectory, verdict = candidate.trajectory, candidate.verdict
    right = verdict.correct if verdict is not None else None
    broken = unfinished(trajectory, tokens=candidate.tokens, max_tokens=config.max_tokens)
    loops = right is True and longest_loop(candidate.policy_ids) >= config.max_loop_tokens
    failed = failed_final_execution(trajectory)
    parts = {"correct": float(right is True), "loop": -float(loops), "execution": -float(failed), "whole": -float(broken is not None)}
    reasons = [
        "ungraded" if right is None and broken != "error" else None,
        "incorrect" if right is False else None,
        broken,
        "repetition" if loops else None,
        "failed-execution" if failed else None,
    ]
    return Reward(parts=parts), next((reason for reason in reasons if reason is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A candidate that passed the filters; its row waits in the spool."""

    problem: str
    row: str
    rank: tuple[float, int]
    """Smaller is preferred among the problem's trajectories."""
    signature: str
    trained: int
    """Tokens that carry loss."""
    tokens: int
    offset: int
    size: int
    scope: str


class Spool:
    """Rows on disk while it is not yet known which of them stay."""

    def __init__(self, folder: Path, config: SelectionConfig) -> None:
        self._path = folder / "spool"
        self._file: BinaryIO = self._path.open("w+b")
        self._end = 0
        self._config = config

    def add(self, row: TokenRow, candidate: Candidate, answer: str | None) -> Kept:
        """Store a row and return its record."""
        line = encode_row(row)
        self._file.seek(self._end)
        self._file.write(line)
        trained = row.trained_ids
        draw = derive_seed(self._config.seed, row.id)
        kept = Kept(
            problem=candidate.rollout.problem.id,
            row=row.id,
            rank=(0.0, draw) if self._config.prefer == "random" else (float(len(row.input_ids)), draw),
            signature=signature(candidate.trajectory, answer),
            trained=len(trained),
            tokens=len(row.input_ids),
            offset=self._end,
            size=len(line),
            scope=candidate.rollout.problem.id if self._config.dedupe_scope == "problem" else "",
        )
        self._end += len(line)
        return kept

    def line(self, kept: Kept) -> bytes:
        """The encoded row of a record."""
        self._file.seek(kept.offset)
        return self._file.read(kept.size)

    def trained_ids(self, kept: Kept) -> list[int]:
        """The ids of a record's row that carry loss."""
        return [label for label in json.loads(self.line(kept))["labels"] if label >= 0]

    def __enter__(self) -> "Spool":
        """The file is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the spool."""
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(slots=True, kw_only=True)
class Build:
    """One run of a recipe: counters, guards and the spool."""

    config: SelectionConfig
    spool: Spool
    heldout: HeldOut | None
    ledger: Ledger
    digest: TraceDigest
    tokenizer: TokenizerGuard

    def read(self, traces: TraceSource, stage: str | None) -> Iterator[Candidate]:
        """Candidates of a stage, of all for None, that may be trained on at all: steps `read` and `decontaminate`."""
        for rollout in traces.read(stage):
            self.digest.add(rollout)
            found = candidates(rollout, self.config.paths)
            if not found:
                self.ledger.dropped("read", "no-outcome")
                continue
            self.ledger.passed("read", len(found))
            if self.heldout is not None and self.heldout.overlaps(rollout.problem.prompt):
                self.ledger.dropped("decontaminate", "held-out", len(found))
                continue
            self.ledger.passed("decontaminate", len(found))
            yield from found

    def fit(self, candidate: Candidate) -> bool:
        """Step `score`: whether the candidate is correct, whole, free of loops and ended well."""
        _, reason = score(candidate, self.config)
        if reason is not None:
            self.ledger.dropped("score", reason)
            return False
        self.ledger.passed("score")
        return True

    def drop_near_duplicates(self, kept: list[Kept]) -> list[Kept]:
        """Step `near-duplicates`, in the order of preference."""
        ordered = sorted(kept, key=lambda item: (item.problem, item.rank, item.row))
        left = drop_near_duplicates(ordered, self.config.near_duplicate_jaccard, scope=lambda item: item.scope, load=self.spool.trained_ids)
        self.ledger.passed("near-duplicates", len(left))
        self.ledger.dropped("near-duplicates", "near-duplicate", len(ordered) - len(left))
        return left

    def cap(self, kept: list[Kept], limit: int | None) -> list[Kept]:
        """Step `cap`: at most `limit` trajectories per problem, the preferred ones."""
        left, taken = [], dict[str, int]()
        for item in sorted(kept, key=lambda item: (item.problem, item.rank, item.row)):
            taken[item.problem] = taken.get(item.problem, 0) + 1
            if limit is None or taken[item.problem] <= limit:
                left.append(item)
        self.ledger.passed("cap", len(left))
        self.ledger.dropped("cap", "over-cap", len(kept) - len(left))
        return left


def write_selection(
    recipe: str,
    version: int,
    config: SelectionConfig,
    out: Path,
    select: Callable[[Build], tuple[Sequence[Kept], tuple[str, ...]]],
    *,
    run: str,
    heldout: HeldOut | None,
) -> Manifest:
    """Run `select` and write what it keeps as a dataset folder.

    `select` returns the kept records and the names of its steps in order. Raises `NothingKept` when nothing is left.
    """
    with new_dataset(out) as scratch:
        with Spool(scratch, config) as spool, RowWriter(scratch) as writer:
            build = Build(config=config, spool=spool, heldout=heldout, ledger=Ledger(), digest=TraceDigest(), tokenizer=TokenizerGuard())
            kept, steps = select(build)
            counts = build.ledger.counts(steps)
            if not kept:
                lost = "; ".join(f"{count.step}: {reason} {n}" for count in counts for reason, n in count.dropped.items())
                raise NothingKept(f"recipe {recipe} kept none of {counts[0].entered} trajectories ({lost or 'no traces in the stage'})")
            for item in sorted(kept, key=lambda item: (item.problem, item.row)):
                writer.write(spool.line(item), tokens=item.tokens, trained=item.trained)
        return write_manifest(scratch, build, writer, counts, kind="sft", recipe=recipe, version=version, run=run)


def write_manifest(
    folder: Path,
    build: Build,
    writer: RowWriter,
    counts: list[StepCount],
    *,
    kind: Literal["sft", "pairs"],
    recipe: str,
    version: int,
    run: str,
) -> Manifest:
    """The manifest of the rows that `writer` wrote into the dataset `folder`; it is the last file."""
    settings: dict[str, Any] = build.config.model_dump(mode="json")
    heldout = build.heldout
    manifest = Manifest(
        kind=kind,
        recipe=recipe,
        version=version,
        config=settings,
        config_hash=config_hash(settings),
        rows=writer.rows,
        rows_sha256=writer.sha256,
        tokens=writer.tokens,
        tokens_trained=writer.tokens_trained,
        counts=counts,
        traces=TraceSnapshot(path=run, sha256=build.digest.sha256, n=build.digest.n),
        heldout=None if heldout is None else {"n": len(heldout), "sha256": heldout.sha256, "mode": heldout.mode},
        tokenizer_hash=build.tokenizer.hash or "",
    )
    (folder / MANIFEST).write_text(manifest.to_json())
    return manifest


def row_meta(candidate: Candidate, recipe: str, run: str, spans: Sequence[Span]) -> dict[str, Any]:
    """Where a row came from, as stored with it. `spans` are those left in the row."""
    hinted = {place: step.hint.hint_id for place, step in enumerate(candidate.trajectory.steps) if step.hint is not None}
    present = {id(span) for span in spans}
    return {
        "trace": candidate.rollout.key,
        "run": Path(run).name,
        "problem": candidate.rollout.problem.id,
        "nodes": candidate.nodes,
        "recipe": recipe,
        "hint_ids": [
            hint_id
            for place, hint_id in hinted.items()
            if any(span.source is Source.HINT and id(span) in present for span in candidate.trajectory.steps[place].spans)
        ],
    }
