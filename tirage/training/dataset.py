"""A dataset folder: `rows.jsonl` and `manifest.json`, written as a whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tirage.core.errors import DataError, TrainingError
from tirage.training.durable import sync_tree
from tirage.training.manifest import Kind, Manifest
from tirage.training.rows import IGNORED, PairRow, TokenRow

ROWS, MANIFEST = "rows.jsonl", "manifest.json"
_PAIR = TypeAdapter(PairRow)


def encode_row(row: TokenRow) -> bytes:
    """One line of `rows.jsonl`, newline included."""
    data = {"id": row.id, "input_ids": row.input_ids, "labels": row.labels, "meta": dict(row.meta)}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode_row(line: str | bytes, where: str) -> TokenRow:
    """Read one line; `where` names it in the `DataError` raised when it is not a row."""
    try:
        data: Any = json.loads(line)
        row = TokenRow(id=data["id"], input_ids=tuple(data["input_ids"]), labels=tuple(data["labels"]), meta=data["meta"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not a training row ({type(error).__name__}: {error}); rebuild the dataset") from error
    if len(row.input_ids) != len(row.labels):
        raise DataError(f"{where}: {len(row.input_ids)} ids but {len(row.labels)} labels; rebuild the dataset")
    return row


def encode_pair(row: PairRow) -> bytes:
    """One line of `rows.jsonl` of a dataset of pairs, newline included."""
    data = {item.name: getattr(row, item.name) for item in fields(row)}
    return json.dumps({**data, "meta": dict(row.meta)}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode_pair(line: str | bytes, where: str) -> PairRow:
    """Read one line; `where` names it in the `DataError` raised when it is not a row of pairs."""
    try:
        row = _PAIR.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{where}: not a row of pairs ({'.'.join(map(str, first['loc']))}: {first['msg']}); rebuild the dataset") from None
    for side, ids, labels in (("chosen", row.chosen_ids, row.chosen_labels), ("rejected", row.rejected_ids, row.rejected_labels)):
        if len(ids) != len(labels):
            raise DataError(f"{where}: {len(ids)} {side} ids but {len(labels)} labels; rebuild the dataset")
    return row


class RowWriter:
    """Writes rows and keeps the sums the manifest needs."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / ROWS).open("wb")
        self._hash = hashlib.sha256()
        self.rows = self.tokens = self.tokens_trained = 0

    def write(self, line: bytes, *, tokens: int, trained: int) -> None:
        """Append an encoded row."""
        self._file.write(line)
        self._hash.update(line)
        self.rows += 1
        self.tokens += tokens
        self.tokens_trained += trained

    @property
    def sha256(self) -> str:
        """Hash of all rows written so far."""
        return self._hash.hexdigest()

    def __enter__(self) -> "RowWriter":
        """The file is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Flush to disk."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


@contextmanager
def new_dataset(out: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of `out` when the block ends well and vanishes when it does not.

    An existing dataset at `out` is replaced; anything else there is refused. Raises `TrainingError` when the disk
    is full or the place cannot be written.
    """
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} exists and is not a dataset; give an empty or new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise TrainingError(f"cannot write a dataset to {out}: {error.strerror}; choose another folder") from error
    try:
        yield scratch
        sync_tree(scratch)
        scratch.chmod(0o755)
        if out.exists():
            old = scratch.with_name(scratch.name + "-old")
            out.rename(old)
            scratch.rename(out)
            shutil.rmtree(old)
        else:
            scratch.rename(out)
    except OSError as error:
        raise TrainingError(
            f"writing the dataset {out} failed: {error.strerror or error}; free disk space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class Dataset:
    """A dataset on disk. Rows are read one at a time."""

    def __init__(self, folder: Path | str) -> None:
        """Read the manifest. Raises `DataError` when `folder` holds no dataset or a broken one."""
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        try:
            text = path.read_text()
        except OSError as error:
            raise DataError(f"{self.folder} is not a dataset: {error.strerror} ({MANIFEST}); build one with `tirage data build`") from error
        try:
            self.manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; rebuild the dataset") from error
        self.manifest_sha256 = hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        """Number of rows according to the manifest."""
        return self.manifest.rows

    def rows(self) -> Iterator[TokenRow]:
        """The token rows in file order. Raises `DataError` naming file and line, `TrainingError` for a dataset of another kind."""
        self.demand("sft")
        return (decode_row(line, where) for line, where in self._lines())

    def pairs(self) -> Iterator[PairRow]:
        """The pairs in file order. Raises as `rows`."""
        self.demand("pairs")
        return (decode_pair(line, where) for line, where in self._lines())

    def demand(self, kind: Kind) -> None:
        """Raise `TrainingError` when the rows are of another kind."""
        if self.manifest.kind != kind:
            raise TrainingError(f"dataset {self.folder} holds rows of kind {self.manifest.kind!r}, not {kind!r}; give one of that kind")

    def _lines(self) -> Iterator[tuple[bytes, str]]:
        """Each line with where it stands."""
        path = self.folder / ROWS
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    yield line, f"{path}:{number}"
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; rebuild the dataset") from error

    def check(self) -> list[str]:
        """What is wrong with the dataset, one sentence each; empty when rows, hashes and counts agree."""
        problems = []
        try:
            found = hashlib.sha256((self.folder / ROWS).read_bytes()).hexdigest()
        except OSError as error:
            return [f"{ROWS}: {error.strerror}"]
        if found != self.manifest.rows_sha256:
            problems.append(f"{ROWS} has sha256 {found[:12]}, the manifest says {self.manifest.rows_sha256[:12]}")
        faults = _check_pairs(self.pairs()) if self.manifest.kind == "pairs" else _check_rows(self.rows())
        return problems + _check_counts(self.manifest) + _count_rows(faults, self.manifest.rows)


def _check_counts(manifest: Manifest) -> list[str]:
    problems = []
    for before, after in zip(manifest.counts, manifest.counts[1:], strict=False):
        if before.unit == after.unit and before.left != after.entered:
            problems.append(f"step {after.step} took {after.entered} but {before.step} gave {before.left}")
    for count in manifest.counts:
        if count.entered - sum(count.dropped.values()) != count.left:
            problems.append(f"step {count.step}: {count.entered} in, {sum(count.dropped.values())} dropped, {count.left} out")
    if manifest.counts and manifest.counts[-1].left != manifest.rows:
        problems.append(f"the last step gave {manifest.counts[-1].left}, the manifest counts {manifest.rows} rows")
    return problems


def _count_rows(rows: Iterable[tuple[str, list[str]]], expected: int) -> list[str]:
    """What is wrong with rows, each given by its id and its own faults."""
    problems, seen, total = [], set(), 0
    for number, (row_id, faults) in enumerate(rows, 1):
        total = number
        if row_id in seen:
            problems.append(f"row {number}: id {row_id} occurs twice")
        seen.add(row_id)
        problems += [f"row {number}: {fault}" for fault in faults]
    if total != expected:
        problems.append(f"{total} rows on disk, the manifest counts {expected}")
    return problems


def _check_rows(rows: Iterable[TokenRow]) -> Iterator[tuple[str, list[str]]]:
    for row in rows:
        yield row.id, _check_labels(row.input_ids, row.labels, "")


def _check_pairs(rows: Iterable[PairRow]) -> Iterator[tuple[str, list[str]]]:
    for row in rows:
        faults = _check_labels(row.chosen_ids, row.chosen_labels, " of the chosen side")
        faults += _check_labels(row.rejected_ids, row.rejected_labels, " of the rejected side")
        if not row.prompt_ids:
            faults.append("the prompt is empty")
        if row.chosen_ids == row.rejected_ids:
            faults.append("both sides are the same")
        yield row.id, faults


def _check_labels(ids: Sequence[int], labels: Sequence[int], side: str) -> list[str]:
    differ = any(label not in (IGNORED, token) for token, label in zip(ids, labels, strict=True))
    faults = [f"a label{side} differs from its token"] if differ else []
    return faults if any(label != IGNORED for label in labels) else [*faults, f"nothing{side} is trained"]
