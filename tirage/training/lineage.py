"""Lineage: what a checkpoint was made from, written beside its weights as `lineage.json`."""

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tirage.core.errors import DataError, TrainingError
from tirage.training.durable import write_json

LINEAGE = "lineage.json"


class DatasetLineage(BaseModel):
    """The rows a checkpoint was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    rows_sha256: str
    manifest_sha256: str


class InitLineage(BaseModel):
    """The weights training started from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    sha256: str


class Lineage(BaseModel):
    """One hop of the way back: checkpoint to dataset, starting weights and job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    checkpoint_sha256: str
    """From `weights_sha256` of the checkpoint."""
    dataset: DatasetLineage
    init_from: InitLineage
    job: dict[str, Any]
    """Resolved settings, steps done, rows used and left out, versions of the libraries."""


def weights_sha256(folder: Path) -> str:
    """Hash over the `.safetensors` files of a model folder, names included. Raises `TrainingError` when there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise TrainingError(f"{folder} holds no .safetensors weights; give a model folder in Hugging Face format")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as weights:
            digest.update(hashlib.file_digest(weights, "sha256").digest())
    return digest.hexdigest()


def write_lineage(folder: Path, lineage: Lineage) -> None:
    """Write `lineage.json` into a checkpoint folder."""
    write_json(folder / LINEAGE, lineage.model_dump(mode="json"))


def read_lineage(folder: Path) -> Lineage | None:
    """The lineage of a checkpoint; None for a model that was not trained here. Raises `DataError` when it is broken."""
    path = folder / LINEAGE
    try:
        return Lineage.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first["loc"] else first["msg"]
        raise DataError(f"{path} is not a lineage record: {fault}; name the folder of a checkpoint that tirage trained") from error
