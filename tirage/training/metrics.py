"""`metrics.jsonl`: one line per optimiser step, written by the trainer, followed by its watcher."""

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """What one optimiser step reported."""

    step: int
    """From 1."""
    steps: int
    """Planned in all."""
    loss: float
    """Mean over the trained tokens of the step."""
    lr: float
    grad_norm: float
    """Before clipping."""
    tokens_per_s: float
    """Tokens through the model, padding included."""


class MetricsWriter:
    """Appends steps; a resumed run first forgets those after its checkpoint."""

    def __init__(self, path: Path, *, resume_step: int = 0) -> None:
        kept = [line for line in _lines(path) if (read := _parse(line)) is not None and read.step <= resume_step]
        aside = path.with_suffix(".part")
        aside.write_text("".join(kept))
        aside.replace(path)
        self._out = path.open("a", buffering=1)

    def __enter__(self) -> "MetricsWriter":
        """The file is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; every line is on its way to disk already."""
        self._out.close()

    def write(self, *, step: int, steps: int, loss: float, lr: float, grad_norm: float, tokens_per_s: float) -> None:
        """Append one step; fields as in `StepMetrics`."""
        values = {"step": step, "steps": steps, "loss": loss, "lr": lr, "grad_norm": grad_norm, "tokens_per_s": round(tokens_per_s, 1)}
        self._out.write(json.dumps(values) + "\n")


def read_metrics(path: Path) -> list[StepMetrics]:
    """All complete lines; empty when there is no file."""
    return [read for line in _lines(path) if (read := _parse(line)) is not None]


class MetricsReader:
    """Follows a metrics file that grows, and notices when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._inode = path, 0, -1

    def new(self) -> list[StepMetrics]:
        """Steps reported since the last call, in order."""
        try:
            with self._path.open() as lines:
                inode = os.fstat(lines.fileno()).st_ino
                if inode != self._inode:
                    self._offset, self._inode = 0, inode
                lines.seek(self._offset)
                text = lines.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        self._offset += len(whole.encode())
        return [read for line in whole.splitlines(keepends=True) if (read := _parse(line)) is not None]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []


def _parse(line: str) -> StepMetrics | None:
    """None for a line that was cut off by a crash."""
    try:
        return StepMetrics(**json.loads(line)) if line.endswith("\n") else None
    except (ValueError, TypeError):
        return None
