"""A job on disk: its specification, state, events, metrics and log. The trainer and its watcher meet only here.

`trainer.lock` is held by the trainer for as long as it lives and released by the kernel when it dies, so two
trainers can never work in one folder and a dead one is never taken for a live one.
"""

import fcntl
import json
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from tirage.core.errors import DataError, TrainingError
from tirage.training.durable import write_json
from tirage.training.spec import SFTSpec


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    """The trainer process is there and loads libraries and weights."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Neither ended nor alive: the trainer and whoever watched it are gone."""


class FailureKind(StrEnum):
    """Why a job failed."""

    OOM = "oom"
    NAN = "nan"
    CONFIG = "config"
    DATA = "data"
    KILLED = "killed"
    DISK = "disk"
    INFRA = "infra"


_NEXT = {
    JobState.QUEUED: {JobState.STARTING, JobState.CANCELLED, JobState.FAILED},
    JobState.STARTING: {JobState.RUNNING, JobState.FAILED, JobState.CANCELLED, JobState.LOST},
    JobState.RUNNING: {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST},
    JobState.SUCCEEDED: {JobState.QUEUED},
    JobState.FAILED: {JobState.QUEUED},
    JobState.CANCELLED: {JobState.QUEUED},
    JobState.LOST: {JobState.QUEUED},
}

LIVE = frozenset({JobState.STARTING, JobState.RUNNING})


class JobRecord(BaseModel):
    """The content of `job.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: int = 1
    state: JobState
    identity: dict[str, Any]
    """What decides the weights; a job folder belongs to one identity."""
    attempt: int = 1
    """Counts trainer processes."""
    pid: int | None = None
    pid_started: str = ""
    """Boot id and start tick of `pid`, so that a reused number is not mistaken for it."""
    failure: FailureKind | None = None
    message: str = ""
    """What went wrong and what to do; empty while nothing did."""
    changed_at: float = 0.0
    """Unix time of the last change."""


class JobFolder:
    """Paths and records of one job."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.spec = self.path / "spec.json"
        self.record = self.path / "job.json"
        self.events = self.path / "events.jsonl"
        self.metrics = self.path / "metrics.jsonl"
        self.log = self.path / "log.txt"
        self.lock = self.path / "trainer.lock"
        self.heartbeat = self.path / "heartbeat"
        self.steps = self.path / "steps"
        self.checkpoint = self.path / "checkpoint"

    def create(self) -> None:
        """Make the folder. Raises `TrainingError` when it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock.touch()
        except OSError as error:
            raise TrainingError(f"cannot write the job folder {self.path}: {error.strerror}; choose another folder") from error

    def read(self) -> JobRecord | None:
        """The job's record; None when there is none. Raises `DataError` when it is broken."""
        try:
            return JobRecord.model_validate_json(self.record.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValidationError) as error:
            raise DataError(f"{self.record} is not a job record: {error}; delete the job folder and start again") from error

    def read_spec(self) -> SFTSpec:
        """What the job was asked to do. Raises `DataError` when it is missing or broken."""
        try:
            spec: SFTSpec = SFTSpec.model_validate_json(self.spec.read_text())
        except (OSError, ValidationError) as error:
            raise DataError(f"{self.spec} is not a job specification: {error}") from error
        return spec

    def open_job(self, spec: SFTSpec, identity: dict[str, Any], attempt: int) -> JobRecord:
        """Write specification and record of a job that waits for its trainer."""
        write_json(self.spec, spec.model_dump(mode="json"))
        record = JobRecord(state=JobState.QUEUED, identity=identity, attempt=attempt, changed_at=time.time())
        write_json(self.record, record.model_dump(mode="json"))
        self.event(JobState.QUEUED, attempt=attempt)
        return record

    def move(self, state: JobState, **changes: Any) -> JobRecord:
        """Go to `state`. Raises `TrainingError` for a step the state machine does not have."""
        record = self.read()
        if record is None:
            raise TrainingError(f"{self.record} is missing; the job folder was removed while the job ran")
        if state not in _NEXT[record.state]:
            raise TrainingError(f"job {self.path} cannot go from {record.state} to {state}")
        record = record.model_copy(update={"state": state, "changed_at": time.time(), **changes})
        write_json(self.record, record.model_dump(mode="json"))
        self.event(state, **{name: value for name, value in changes.items() if name != "identity"})
        return record

    def event(self, state: str, **details: Any) -> None:
        """Append to the job's history."""
        with self.events.open("a") as out:
            out.write(json.dumps({"at": round(time.time(), 3), "event": state, **details}) + "\n")

    def hold(self) -> BinaryIO | None:
        """Take the trainer's lock for the life of the returned file; None when a trainer holds it."""
        handle = self.lock.open("ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            return None
        return handle

    def trainer_alive(self) -> bool:
        """Whether a trainer works in this folder."""
        if not self.lock.exists():
            return False
        handle = self.hold()
        if handle is None:
            return True
        handle.close()
        return False

    def status(self) -> JobRecord | None:
        """The record as it really is: a job that calls itself running without a trainer is `lost`."""
        record = self.read()
        if record is not None and record.state in LIVE and not self.trainer_alive():
            record = self.read()  # the trainer may have ended between the two looks
            if record is not None and record.state in LIVE:
                return record.model_copy(update={"state": JobState.LOST, "message": "the trainer is gone; run the job again to resume it"})
        return record


def process_identity(pid: int) -> str:
    """Boot id and start tick of a live process; empty when there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"


def own_identity() -> tuple[int, str]:
    """Pid and identity of this process."""
    return os.getpid(), process_identity(os.getpid())
