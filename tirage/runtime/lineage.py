"""From a checkpoint back to the model calls it learned from, every link checked.

    checkpoint/lineage.json -> dataset/manifest.json + rows.jsonl -> run/traces.jsonl -> node -> model call

A link is broken when a file is missing, a hash differs, or a row names a trace or node that is not there. Paths in
these files are relative to the folder that holds them, or absolute.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tirage.core.errors import DataError, TirageError
from tirage.core.rollout import Rollout
from tirage.core.tree import Node
from tirage.models.embedded import nano_path
from tirage.traces.base import TRACES
from tirage.traces.jsonl import TraceStore
from tirage.training.dataset import MANIFEST, ROWS, Dataset
from tirage.training.lineage import LINEAGE, InitLineage, Lineage, read_lineage, weights_sha256
from tirage.training.manifest import Manifest, StepCount, TraceDigest
from tirage.training.rows import IGNORED, PairRow, TokenRow

Progress = Callable[[int, int], None]
"""Called with rows checked and rows in all."""
_NAMED = {"nano": nano_path}
"""Folders of models that go by a name."""
_SEARCHED = 4
"""Folders around a file in which what it names is looked for."""


class Status(StrEnum):
    """What checking a link gave."""

    OK = "ok"
    BROKEN = "broken"
    UNCHECKED = "unchecked"
    """There is nothing to compare with, such as a hash that was not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step back."""

    kind: str
    """checkpoint, manifest, rows, traces, row or start."""
    name: str
    status: Status
    detail: str = ""
    """What is wrong and what to do, or what was checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One step that a row was made from: what the policy was asked and what it cost."""

    row: str
    trace: str
    node: int
    model: str
    finish: str
    """How the step ended, e.g. `call`, `stop`."""
    hint: str
    tokens_in: int
    tokens_out: int
    correct: bool | None
    """Verdict on the path's end."""
    text: str
    """What the policy wrote."""


@dataclass(slots=True, kw_only=True)
class Generation:
    """One checkpoint with everything it was made from."""

    checkpoint: Path
    recipe: str = ""
    links: list[Link] = field(default_factory=list)
    counts: list[StepCount] = field(default_factory=list)
    job: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    traces: set[str] = field(default_factory=set)
    problems: set[str] = field(default_factory=set)
    stages: dict[str, int] = field(default_factory=dict)
    """Rows by stage of their trace."""
    models: dict[str, int] = field(default_factory=dict)
    """Rows by model that was sampled from."""
    model_calls: int = 0
    """Steps behind the rows, each counted once."""
    calls: list[ModelCall] = field(default_factory=list)
    """Of the first rows that match; see `why`."""

    @property
    def broken(self) -> list[Link]:
        """Links that do not hold."""
        return [link for link in self.links if link.status is Status.BROKEN]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are followed to their model calls, for reading."""

    row: str | None = None
    """Only the row of this id."""
    trace: str | None = None
    """Only rows made from this trace."""
    limit: int = 5
    """At most so many rows of a dataset."""

    def take(self, row: "TokenRow | PairRow", taken: int) -> bool:
        """Whether `row` is wanted when `taken` rows were."""
        return taken < self.limit and self.row in (None, row.id) and self.trace in (None, row.meta["trace"])


@dataclass(frozen=True, slots=True)
class _Source:
    """Where trained tokens of a row came from: one source of a token row, two of a pair."""

    row: str
    trace: str
    nodes: list[int]
    trained: list[int]


def why(checkpoint: Path, wanted: Wanted | None = None, *, progress: Progress | None = None) -> list[Generation]:
    """Follow a checkpoint back, newest generation first, through the checkpoints it was trained from.

    `progress` is called as the rows of each dataset are checked. Raises `DataError` when `checkpoint` has no
    lineage, or a file is not of the form it must have. A link that does not hold is a result.
    """
    generations: list[Generation] = []
    seen: set[Path] = set()
    place: Path | None = checkpoint
    while place is not None and place.resolve() not in seen:
        seen.add(place.resolve())
        record = read_lineage(place)
        if record is None:
            raise DataError(f"there is no {place / LINEAGE}; name the folder of a checkpoint that tirage trained")
        generation = Generation(checkpoint=place, job=record.job)
        generation.links.append(_compare("checkpoint", str(place), record.checkpoint_sha256, weights_sha256, place))
        _follow_dataset(generation, record, wanted or Wanted(), progress)
        generations.append(generation)
        place = _follow_start(generation, record.init_from)
    return generations


def find_folder(name: str, near: Path, holding: str | None = None) -> Path:
    """The folder that `name` stands for in a file of the folder `near`.

    Tried in turn: relative to `near` and the folders around it, to the working directory, and a folder around
    `near` that has the name (a run that was moved as a whole). Where nothing fits, the path relative to `near`.
    With `holding`, a folder only fits when it has a file of that name.
    """
    path = Path(name)
    around = [near, *near.resolve().parents[:_SEARCHED]]
    named = [folder for folder in around if folder.resolve().name == path.name]
    for place in (*(folder / path for folder in around), path, *named):
        if (place / holding).is_file() if holding is not None else place.is_dir():
            return place
    return near / path


def _follow_dataset(out: Generation, record: Lineage, wanted: Wanted, progress: Progress | None) -> None:
    folder = find_folder(record.dataset.path, out.checkpoint, MANIFEST)
    path = folder / MANIFEST
    out.links.append(_compare("manifest", str(path), record.dataset.manifest_sha256, _file_sha256, path))
    if not path.is_file():
        return
    dataset = Dataset(folder)
    manifest = dataset.manifest
    out.recipe, out.counts = f"{manifest.recipe}/{manifest.version}", manifest.counts
    rows = folder / ROWS
    out.links.append(_compare("rows", str(rows), manifest.rows_sha256, _file_sha256, rows))
    if record.dataset.rows_sha256 not in ("", manifest.rows_sha256):
        detail = (
            f"trained on rows {record.dataset.rows_sha256[:12]}, the manifest is about {manifest.rows_sha256[:12]}; the dataset was rebuilt"
        )
        out.links.append(Link(kind="rows", name=str(rows), status=Status.BROKEN, detail=detail))
    run = find_folder(manifest.traces.path, folder, TRACES)
    out.links.append(_traces_link(run, manifest))
    if rows.is_file() and (run / TRACES).is_file():
        _follow_rows(out, dataset, run, wanted, progress)


def _follow_rows(out: Generation, dataset: Dataset, run: Path, wanted: Wanted, progress: Progress | None) -> None:
    """Walk every row back to its steps and look whether they hold its tokens."""
    store = TraceStore(run)
    seen: set[tuple[str, int]] = set()
    broken = taken = 0
    for row in dataset.pairs() if dataset.manifest.kind == "pairs" else dataset.rows():
        sources = _sources(row, dataset.folder / ROWS)
        out.rows += 1
        out.traces.update(source.trace for source in sources)
        out.problems.add(row.meta.get("problem", ""))
        if progress is not None:
            progress(out.rows, len(dataset))
        try:
            found = [(rollout, _nodes(rollout, source)) for source in sources for rollout in [store.get(source.trace)]]
        except DataError as error:
            broken += 1
            if broken <= wanted.limit:
                out.links.append(Link(kind="row", name=row.id, status=Status.BROKEN, detail=str(error)))
            continue
        first = found[0][0]
        out.stages[first.stage] = out.stages.get(first.stage, 0) + 1
        out.models[first.model] = out.models.get(first.model, 0) + 1
        seen.update((rollout.key, node.index) for rollout, nodes in found for node in nodes)
        if wanted.take(row, taken):
            taken += 1
            out.calls.extend(_call(row.id, rollout, node, nodes[-1].index) for rollout, nodes in found for node in nodes)
    out.model_calls = len(seen)
    detail = f"{broken} of {out.rows} rows have no trace that holds their tokens" if broken else f"{out.rows} rows, each in its trace"
    out.links.append(Link(kind="row", name="all", status=Status.BROKEN if broken else Status.OK, detail=detail))


def _sources(row: TokenRow | PairRow, path: Path) -> list[_Source]:
    """What a row was made from; of a pair the chosen side, then the rejected one. Raises `DataError` when it does not say."""
    sides = [(row.meta, row.labels)] if isinstance(row, TokenRow) else [(row.meta, row.chosen_labels)]
    if isinstance(row, PairRow):
        sides.append((row.meta.get("rejected", {}), row.rejected_labels))
    try:
        return [
            _Source(row.id, meta["trace"], [int(node) for node in meta["nodes"]], [label for label in labels if label != IGNORED])
            for meta, labels in sides
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: row {row.id!r} does not name its trace and nodes ({error}); build the dataset again") from error


def _follow_start(out: Generation, start: InitLineage) -> Path | None:
    """Check the starting weights; their folder when they have a lineage of their own."""
    name = start.model.removeprefix("hf/").removeprefix("vllm/")
    folder = _NAMED[name]() if name in _NAMED else find_folder(name, out.checkpoint)
    if not folder.is_dir():
        out.links.append(Link(kind="start", name=start.model, status=Status.UNCHECKED, detail="no folder of that name here"))
        return None
    out.links.append(_compare("start", str(folder), start.sha256, weights_sha256, folder))
    return folder if (folder / LINEAGE).is_file() else None


def _compare(kind: str, name: str, expected: str, hash_of: Callable[[Path], str], path: Path) -> Link:
    """Whether what is at `path` still has the hash that was written down."""
    if not path.exists():
        return Link(kind=kind, name=name, status=Status.BROKEN, detail="it is gone; restore it, or the chain ends here")
    if not expected:
        return Link(kind=kind, name=name, status=Status.UNCHECKED, detail="no hash was written down")
    try:
        found = hash_of(path)
    except TirageError as error:
        return Link(kind=kind, name=name, status=Status.BROKEN, detail=str(error))
    if found != expected:
        return Link(
            kind=kind, name=name, status=Status.BROKEN, detail=f"sha256 is {found[:12]}, written down was {expected[:12]}; it was changed"
        )
    return Link(kind=kind, name=name, status=Status.OK, detail=f"sha256 {found[:12]}")


def _traces_link(run: Path, manifest: Manifest) -> Link:
    """Whether the run still holds what the recipe read. A run that grew since cannot be compared as a whole; its rows can."""
    name, expected = str(run / TRACES), manifest.traces
    if not (run / TRACES).is_file():
        return Link(kind="traces", name=name, status=Status.BROKEN, detail=f"there is no run {expected.path!r}; put it back where it was")
    store = TraceStore(run)
    # A recipe whose stage is None reads the whole run.
    named = {value for key, value in manifest.config.items() if key == "stage" or key.endswith("_stage")}
    stages = set() if None in named else named
    count = sum(entry.stage in stages for entry in store.entries()) if stages else len(store)
    if count > expected.n:
        detail = f"the run has grown from {expected.n} to {count} rollouts since; rows are checked one by one"
        return Link(kind="traces", name=name, status=Status.UNCHECKED, detail=detail)
    if count < expected.n:
        return Link(kind="traces", name=name, status=Status.BROKEN, detail=f"{expected.n} rollouts were read, {count} are left")
    return _compare("traces", name, expected.sha256, lambda _: _digest(_of_stages(store, stages)), run / TRACES)


def _of_stages(store: TraceStore, stages: set[str]) -> Iterator[Rollout]:
    for rollout in store.read():
        if not stages or rollout.stage in stages:
            yield rollout


def _digest(rollouts: Iterable[Rollout]) -> str:
    digest = TraceDigest()
    for rollout in rollouts:
        digest.add(rollout)
    return digest.sha256


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _nodes(rollout: Rollout, source: _Source) -> list[Node]:
    """The steps a row was made from. Raises `DataError` when they are not there or do not hold the tokens it trains."""
    tree = rollout.tree
    absent = [node for node in source.nodes if not 0 < node < len(tree.nodes)]
    if absent:
        raise DataError(f"trace {rollout.key!r} has no step {absent[0]}; it has {len(tree.nodes) - 1}")
    nodes = [tree.nodes[index] for index in source.nodes]
    written = iter([token for node in nodes if node.step for span in node.step.spans for token in span.ids or ()])
    # A recipe may leave spans out, but what it trains are tokens of these steps, in order.
    if not all(any(token == other for other in written) for token in source.trained):
        raise DataError(f"row {source.row!r} trains tokens that trace {rollout.key!r} does not hold in its steps {source.nodes}")
    return nodes


def _call(row: str, rollout: Rollout, node: Node, last: int) -> ModelCall:
    """The call behind `node`, a step of a row that ends at node `last`."""
    step = node.step
    if step is None:
        raise DataError(f"trace {rollout.key!r}: node {node.index} is the root and holds no model call")
    verdict = rollout.verdicts.get(last)
    return ModelCall(
        row=row,
        trace=rollout.key,
        node=node.index,
        model=rollout.model,
        finish=step.finish.value,
        hint=step.hint.hint_id if step.hint is not None else "",
        tokens_in=step.usage.tokens_in,
        tokens_out=step.usage.tokens_out,
        correct=verdict.correct if verdict is not None else None,
        text=step.policy_text,
    )
