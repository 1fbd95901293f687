"""The files that tie a checkpoint to its dataset and a dataset to its traces, as far as they are needed to follow them back."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tirage.core.errors import DataError
from tirage.traces.base import TRACES

LINEAGE = "lineage.json"
MANIFEST = "manifest.json"
ROWS = "rows.jsonl"
_SEARCHED = 4

M = TypeVar("M", bound=BaseModel)
Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class _File(BaseModel):
    """Files may say more than is needed here."""

    model_config = ConfigDict(extra="allow")


class DatasetRef(_File):
    """Where a checkpoint's rows are, and their hashes."""

    path: str
    rows_sha256: str = ""
    manifest_sha256: str = ""


class InitFrom(_File):
    """The weights that training started from."""

    model: str
    sha256: str = ""


class LineageFile(_File):
    """`lineage.json` in a checkpoint folder."""

    v: int = 1
    checkpoint_sha256: str = ""
    dataset: DatasetRef
    init_from: InitFrom | None = None
    job: dict[str, Any] = Field(default_factory=dict)


class TracesRef(_File):
    """Which traces a dataset was built from: a run folder, how many rollouts were read, and the hash over them."""

    path: str
    sha256: str = ""
    n: int | None = None


class ManifestFile(_File):
    """`manifest.json` in a dataset folder."""

    recipe: str
    version: int | str = 1
    config: dict[str, Any] = Field(default_factory=dict)
    config_hash: str = ""
    rows_sha256: str = ""
    counts: list[dict[str, Any]] = Field(default_factory=list)
    traces: TracesRef
    tokenizer_hash: str = ""


class RowMeta(_File):
    """Where a row came from."""

    trace: str
    run: str = ""
    problem: str = ""
    nodes: list[int] = Field(default_factory=list)


class RowFile(_File):
    """What is looked at in a line of `rows.jsonl`."""

    id: str = ""
    input_ids: list[int] | None = None
    labels: list[int] | None = None
    meta: RowMeta


def load(kind: type[M], path: Path, remedy: str) -> M:
    """Read a JSON file as `kind`. Raises `DataError` naming the file, the place in it and `remedy`."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; {remedy}") from error
    except ValidationError as error:
        raise DataError(f"{path}: {_first_fault(error)}; {remedy}") from error


def read_rows(path: Path, progress: Progress | None = None) -> Iterator[RowFile]:
    """The rows of a dataset. Raises `DataError` naming file and line."""
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield RowFile.model_validate_json(line)
            except ValidationError as error:
                raise DataError(f"{path}:{number}: {_first_fault(error)}; build the dataset again") from error
            done += len(line)
            if progress is not None:
                progress(done, total)


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def find_run(name: str, dataset: Path) -> Path:
    """The run folder that a dataset names."""
    return find_folder(name, dataset, TRACES)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else fault["msg"]
