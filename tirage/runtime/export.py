"""Traces for other tools: chat messages, ShareGPT, token rows, Parquet, Hugging Face datasets. One rollout in memory at a time."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError, MissingExtra
from tirage.core.rollout import Rollout
from tirage.core.trajectory import Trajectory
from tirage.traces.messages import to_messages, to_sharegpt
from tirage.training.rows import mask_spans, trained_sources

_BATCH = 500

Row = dict[str, Any]


class Format(StrEnum):
    """What an export writes."""

    OPENAI = "openai"
    """JSONL of `{"messages": [...], "meta": {...}}`."""
    SHAREGPT = "sharegpt"
    """JSONL of `{"id": ..., "conversations": [...], "meta": {...}}`."""
    TRL = "trl"
    """JSONL of `{"input_ids": [...], "labels": [...], "meta": {...}}`: exact ids, -100 outside the policy's tokens."""
    PARQUET = "parquet"
    """One row per path with all of the above as columns."""
    HF = "hf"
    """A folder that `datasets.load_from_disk` reads, with the columns of the Parquet form."""


@dataclass(slots=True)
class Exported:
    """What an export did."""

    path: Path
    rows: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    """Paths that the format cannot hold, by reason."""

    def skip(self, reason: str) -> None:
        """Count a path that was left out."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


def export(
    rollouts: Iterable[Rollout], form: Format, out: Path, *, leaves: bool = False, hint_loss: bool = False, overwrite: bool = False
) -> Exported:
    """Write `rollouts` to `out` (a file; a folder for `hf`), which appears whole or not at all.

    Args:
        rollouts: Consumed one by one.
        form: What to write.
        out: Must not exist, unless `overwrite`.
        leaves: Every ended path of a tree instead of the chosen one.
        hint_loss: Label hint tokens as if the policy had written them (token rows and columns only).
        overwrite: Replace `out`.

    Raises:
        ConfigError: `out` exists, or its folder does not.
        MissingExtra: `hf` without the datasets library.
    """
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists; choose another place or say that it may be replaced (--force)")
    if not out.parent.is_dir():
        raise ConfigError(f"there is no folder {out.parent} to write {out.name} into; make it first")
    done = Exported(path=out)
    paths = _paths(rollouts, done, leaves=leaves)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        part = Path(scratch) / out.name
        if form is Format.PARQUET:
            _write_parquet(_columns(paths, hint_loss=hint_loss), part, done)
        elif form is Format.HF:
            _write_dataset(_columns(paths, hint_loss=hint_loss), part, done)
        else:
            _write_jsonl(_rows(paths, form, done, hint_loss=hint_loss), part, done)
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        os.replace(part, out)
    return done


def _paths(rollouts: Iterable[Rollout], done: Exported, *, leaves: bool) -> Iterator[tuple[Rollout, int]]:
    for rollout in rollouts:
        ends = list(rollout.tree.leaves()) if leaves else [rollout.chosen] if rollout.chosen else []
        if not ends:
            done.skip("nothing was produced")
        for end in ends:
            yield rollout, end


def _rows(paths: Iterable[tuple[Rollout, int]], form: Format, done: Exported, *, hint_loss: bool) -> Iterator[Row]:
    for rollout, end in paths:
        meta = _meta(rollout, end)
        if form is Format.OPENAI:
            yield {"messages": to_messages(rollout, end), "meta": meta}
        elif form is Format.SHAREGPT:
            yield {"id": _name(rollout, end), "conversations": to_sharegpt(rollout, end), "meta": meta}
        else:
            tokens = _tokens(rollout.tree.trajectory(end), hint_loss=hint_loss)
            if tokens is None:
                done.skip("no token ids")
            else:
                yield {"input_ids": tokens[0], "labels": tokens[1], "meta": meta}


def _tokens(path: Trajectory, *, hint_loss: bool) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """`(input_ids, labels)` of a path; None when some span has no ids."""
    if any(span.ids is None for span in path.spans):
        return None
    return mask_spans(path.spans, trained_sources(hint_loss=hint_loss))


def _logprobs(path: Trajectory) -> list[float | None]:
    """Log-probabilities under the policy that sampled, one per id; None where none was returned."""
    found: list[float | None] = []
    for span in path.spans:
        found.extend(span.logprobs if span.logprobs is not None else [None] * len(span.ids or ()))
    return found


def _name(rollout: Rollout, end: int) -> str:
    return rollout.key if end == rollout.chosen else f"{rollout.key}#{end}"


def _meta(rollout: Rollout, end: int) -> Row:
    verdict = rollout.verdicts.get(end)
    return {
        "trace": rollout.key,
        "node": end,
        "stage": rollout.stage,
        "problem": rollout.problem.id,
        "family": rollout.problem.family,
        "model": rollout.model,
        "tokenizer_hash": rollout.tokenizer_hash,
        "correct": rollout.correct if end == rollout.chosen else verdict.correct if verdict else None,
        "score": verdict.score if verdict else None,
    }


def _columns(paths: Iterable[tuple[Rollout, int]], *, hint_loss: bool) -> Iterator[Row]:
    for rollout, end in paths:
        path, verdict = rollout.tree.trajectory(end), rollout.verdicts.get(end)
        tokens = _tokens(path, hint_loss=hint_loss)
        spans = [(0, span) for span in path.prompt]
        for node in rollout.tree.conversation(end):
            spans.extend((node.index, span) for span in (node.step.spans if node.step else ()))
        messages = to_messages(rollout, end)
        usage = path.usage
        yield {
            **_meta(rollout, end),
            "tier": rollout.problem.tier,
            "sample": rollout.sample,
            "question": rollout.problem.prompt,
            "reference": rollout.problem.answer,
            "response": path.response,
            "answer": verdict.answer if verdict else None,
            "stop": path.stop.value,
            "used_tool": path.used_tool,
            "hinted": bool(path.hints),
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "messages": [_flat_message(message) for message in messages],
            "spans": [{"node": node, "source": span.source.value, "text": span.text} for node, span in spans],
            "input_ids": tokens[0] if tokens else None,
            "labels": tokens[1] if tokens else None,
            "logprobs": _logprobs(path) if tokens else None,
        }


def _flat_message(message: Row) -> Row:
    """Arrow gives all rows of a column one type, so the calls travel as JSON text."""
    calls = message.get("tool_calls")
    return {
        "role": message["role"],
        "content": message["content"],
        "tool_calls": json.dumps(calls, ensure_ascii=False) if calls else None,
        "tool_call_id": message.get("tool_call_id"),
    }


def _write_jsonl(rows: Iterable[Row], path: Path, done: Exported) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            done.rows += 1


def _write_parquet(rows: Iterable[Row], path: Path, done: Exported) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(pa)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            try:
                table = pa.Table.from_pylist(batch, schema=schema)
            except UnicodeEncodeError:
                # Arrow holds UTF-8 only: halves of surrogate pairs become question marks. The ids beside them stay exact.
                batch = json.loads(json.dumps(batch, ensure_ascii=False).encode(errors="replace"))
                table = pa.Table.from_pylist(batch, schema=schema)
            writer.write_table(table)
            done.rows += len(batch)


def _write_dataset(rows: Iterable[Row], path: Path, done: Exported) -> None:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "train") from error
    table = path.with_name("rows.parquet")
    _write_parquet(rows, table, done)
    quiet = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        datasets.Dataset.from_parquet(str(table), cache_dir=str(path.with_name("cache"))).save_to_disk(str(path))
    finally:
        if not quiet:
            datasets.enable_progress_bars()


def _batches(rows: Iterable[Row], size: int = _BATCH) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _schema(pa: Any) -> Any:
    """The columns of an export; `pa` is pyarrow, imported by the caller because it is slow to load."""
    text, number, flag, real = pa.string(), pa.int64(), pa.bool_(), pa.float64()
    message = pa.struct([("role", text), ("content", text), ("tool_calls", text), ("tool_call_id", text)])
    span = pa.struct([("node", pa.int32()), ("source", text), ("text", text)])
    names = [
        (text, "trace stage problem family tier model tokenizer_hash question reference response answer stop"),
        (number, "node sample tokens_in tokens_out"),
        (flag, "correct used_tool hinted"),
        (real, "score"),
    ]
    plain = [(name, kind) for kind, group in names for name in group.split()]
    lists = [("messages", pa.list_(message)), ("spans", pa.list_(span))]
    ids = [("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32())), ("logprobs", pa.list_(real))]
    return pa.schema([*plain, *lists, *ids])
