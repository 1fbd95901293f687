"""A run folder: the resolved configuration, the traces, the call log, datasets, jobs and the report.

RUN/config.yaml     the run's configuration; a second start with another one is refused
RUN/traces.jsonl    every finished rollout (the truth), index.sqlite beside it (derived)
RUN/searches.jsonl  what became of every trial of a tree search, from which an unfinished tree is resumed
RUN/tools.json      what its tools answered from, where that can change: a second start with another content is refused
RUN/begun.jsonl     one line per rollout that was begun: finished ones are never begun again
RUN/datasets/NAME   rows and manifest       RUN/jobs/NAME   training jobs and their checkpoints
RUN/timing.jsonl    wall time by part          RUN/report.json, RUN/report.html
"""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.rollouts.runner import rollout_key
from tirage.runtime.config_files import named
from tirage.tools.base import Tool
from tirage.traces.jsonl import TraceStore
from tirage.traces.lines import LineLog
from tirage.traces.search_log import SearchLog, TreeLog

RUNS = Path("runs")
"""Where run folders are made unless one is named: beneath the working directory."""


class RunFolder:
    """One run on disk, opened for writing by one process."""

    def __init__(self, folder: Path, config: BaseModel) -> None:
        """Create or reopen `folder`. Raises `ConfigError` when it cannot be written or holds another configuration."""
        self.folder = folder
        self.name = folder.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_config(config)
            self._begun, self._timing = LineLog(folder / "begun.jsonl"), LineLog(folder / "timing.jsonl")
        except OSError as error:
            raise ConfigError(f"run folder {folder} cannot be written: {error.strerror}; give another with --run") from error
        self.store = TraceStore(folder)
        self._searches: SearchLog | None = None

    def _check_config(self, config: BaseModel) -> None:
        path = self.folder / "config.yaml"
        plain = config.model_dump(mode="json", fallback=named)
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        if path.exists():
            found = _known(type(config), yaml.safe_load(path.read_text(encoding="utf-8")))
            changed = sorted(key for key in {*found, *plain} if found.get(key) != plain.get(key))
            if changed:
                raise ConfigError(
                    f"run folder {self.folder} was started with another configuration (different: {', '.join(changed)}); "
                    "give another folder with --run, or delete this one"
                )
            return
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)

    def check_tools(self, tools: Mapping[str, Tool]) -> None:
        """Compare what the tools answer from with what they did when the run began. Raises `ConfigError` where it has changed."""
        path = self.folder / "tools.json"
        marks = {name: item.fingerprint for name, item in tools.items()}
        found = {name: mark for name, mark in marks.items() if mark is not None}
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for name, mark in found.items():
            if known.get(name, mark) != mark:
                raise ConfigError(
                    f"run folder {self.folder} was begun with other content behind the tool {name!r} (fingerprint {known[name]}, "
                    f"now {mark}); put the former back, give another folder with --run, or delete {path} to continue with what there is now"
                )
        if found.items() - known.items():
            scratch = path.with_suffix(f".{os.getpid()}.tmp")
            scratch.write_text(json.dumps({**known, **found}), encoding="utf-8")
            scratch.replace(path)

    def __enter__(self) -> "RunFolder":
        """Become the folder's one writer; raises `DataError` naming the process that already is."""
        self.store.claim()
        self._begun.heal()
        self._timing.heal()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close the store and the logs."""
        self.close()

    def close(self) -> None:
        """Close the store and the logs; others may write then."""
        self.store.close()
        self._begun.close()
        if self._searches is not None:
            self._searches.close()
        self._timing.close()

    def searches(self) -> Callable[[str], TreeLog]:
        """The search logs of the run's rollouts, by key."""
        if self._searches is None:
            self._searches = SearchLog(self.folder, self.store.keys())
        return self._searches.of

    def begun(self, key: str) -> None:
        """Log that a rollout begins."""
        self._begun.append({"key": key, "pid": os.getpid()})

    def add(self, rollout: Rollout) -> Rollout:
        """Store a finished rollout as the next sample of its problem and stage, and return it under the key that it got."""
        sample = free_sample(self.store.keys(rollout.stage), rollout.stage, rollout.problem)
        kept = replace(rollout, key=rollout_key(rollout.stage, rollout.problem, sample), sample=sample)
        self.begun(kept.key)
        self.store.append(kept)
        return kept

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the block's wall time to what `what` took, over all interruptions."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._timing.append({"what": what, "seconds": round(time.monotonic() - started, 3)})

    def seconds(self) -> dict[str, float]:
        """Seconds by part of the run."""
        total: dict[str, float] = {}
        for entry in self._timing.read():
            total[entry["what"]] = round(total.get(entry["what"], 0.0) + entry["seconds"], 3)
        return total

    def finished(self, stage: str, problems: Sequence[Problem], samples: int) -> int:
        """How many rollouts of a stage are finished."""
        known = self.store.keys(stage)
        return sum(rollout_key(stage, problem, sample) in known for problem in problems for sample in range(samples))

    def dataset(self, name: str) -> Path:
        """Folder of a dataset."""
        return self.folder / "datasets" / name

    def job(self, name: str) -> Path:
        """Folder of a training job."""
        return self.folder / "jobs" / name


def fresh_folder(parent: Path, name: str) -> Path:
    """Make `parent/name-DATE-TIME`, with a number behind it where that is taken, and return it. Raises `OSError`."""
    parent.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("the numbers do not end")


def free_sample(keys: Set[str], stage: str, problem: Problem) -> int:
    """The lowest number of a sample whose key is not among `keys`."""
    return next(sample for sample in itertools.count() if rollout_key(stage, problem, sample) not in keys)


def _known(kind: type[BaseModel], data: Any) -> dict[str, Any]:
    """A stored configuration with the defaults of keys that it was written without; as it is when it no longer fits."""
    try:
        plain: dict[str, Any] = kind.model_validate(data).model_dump(mode="json")
    except ValidationError:
        return data if isinstance(data, dict) else {}
    return plain
