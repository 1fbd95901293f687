"""Run a fine-tuning job in a process of its own: start it, watch it, cancel it, resume it.

Calling `run_job` again is always safe. A finished job gives its checkpoint at once, a live trainer that some
earlier caller left behind is watched instead of started twice, and anything else resumes from the newest
complete checkpoint.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tirage.core.errors import MissingExtra, TrainingError
from tirage.models.template import HFRenderer
from tirage.training.dataset import Dataset
from tirage.training.job_folder import FailureKind, JobFolder, JobRecord, JobState, process_identity
from tirage.training.lineage import read_lineage, weights_sha256
from tirage.training.metrics import MetricsReader, StepMetrics
from tirage.training.spec import SFTSpec, identity_hash

_POLL_S = 0.1
_GRACE_S = 20.0
"""How long a cancelled trainer may take to finish its step and save."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """What a watcher is told."""

    state: JobState
    step: int = 0
    steps: int = 0
    """0 until the plan is known."""
    loss: float | None = None
    lr: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained model on disk."""

    path: Path
    """Model folder in Hugging Face format."""
    sha256: str
    """Hash of the weights, from `weights_sha256`."""
    steps: int
    """Optimiser steps it was trained for; give it to a control as `max_steps`."""
    job: Mapping[str, Any]
    """The job part of the lineage."""


Progress = Callable[[JobProgress], None]


async def run_job(job_dir: Path | str, spec: SFTSpec, on_progress: Progress | None = None) -> Checkpoint:
    """Train as `spec` says in `job_dir` and return the checkpoint.

    Raises `TrainingError` when the job fails, when the folder belongs to a job with other data, base or settings,
    or when it cannot be written. A trainer that runs out of memory is started again with twice the `micro_batches`,
    which changes neither the batches nor, but for rounding, the result; the job's events and lineage tell. Cancelling the call cancels
    the job, which first saves where it is.
    """
    _require_extra()
    folder, spec = _absolute(job_dir, spec)
    identity = _identity(spec)
    tell = on_progress or _ignore
    record = folder.status()
    if record is not None:
        _refuse_other_job(folder, record, identity)
        if record.state is JobState.SUCCEEDED and folder.checkpoint.is_dir():
            tell(JobProgress(state=JobState.SUCCEEDED))
            return load_checkpoint(folder)
    folder.create()
    if folder.trainer_alive():
        folder.event("adopted", pid=record.pid if record else None)
        await _Watcher(folder, tell).follow(None)
        return load_checkpoint(folder)
    if record is not None and record.state is JobState.LOST:
        folder.move(JobState.LOST, message=record.message)
    await _train(folder, spec, identity, tell)
    return load_checkpoint(folder)


async def _train(folder: JobFolder, spec: SFTSpec, identity: dict[str, Any], tell: Progress) -> None:
    """Start trainers until one ends well; after a lack of memory the next one takes smaller bites of the same batches."""
    while True:
        record = folder.read()
        folder.open_job(spec, identity, (record.attempt if record else 0) + 1)
        try:
            return await _Watcher(folder, tell).follow(await _spawn(folder, spec))
        except TrainingError:
            record = folder.read()
            if record is None or record.failure is not FailureKind.OOM or spec.micro_batches >= spec.batch_size:
                raise
        spec = spec.model_copy(update={"micro_batches": min(2 * spec.micro_batches, spec.batch_size)})
        folder.event("smaller-micro-batches", micro_batches=spec.micro_batches)


def load_checkpoint(folder: JobFolder) -> Checkpoint:
    """The checkpoint of a succeeded job. Raises `TrainingError` when it is missing or has no lineage."""
    lineage = read_lineage(folder.checkpoint)
    if lineage is None:
        raise TrainingError(f"job {folder.path} succeeded but {folder.checkpoint} is gone; delete the job folder and run it again")
    return Checkpoint(path=folder.checkpoint, sha256=lineage.checkpoint_sha256, steps=int(lineage.job["steps"]), job=lineage.job)


def _absolute(job_dir: Path | str, spec: SFTSpec) -> tuple[JobFolder, SFTSpec]:
    """The trainer may have another working directory in mind than we do."""
    spec = spec.model_copy(update={"dataset": spec.dataset.resolve(), "init_from": spec.init_from.resolve()})
    return JobFolder(Path(job_dir).resolve()), spec


def _ignore(_: JobProgress) -> None:
    pass


def _require_extra() -> None:
    from importlib.util import find_spec

    for package in ("torch", "transformers", "trl", "datasets"):
        if find_spec(package) is None:
            raise MissingExtra(package, "train")


def _identity(spec: SFTSpec) -> dict[str, Any]:
    dataset = Dataset(spec.dataset)
    dataset.demand("sft")
    if not len(dataset):
        raise TrainingError(f"dataset {spec.dataset} is empty; look at the counts in its manifest")
    weights = weights_sha256(spec.init_from)
    tokenizer, expected = HFRenderer(spec.init_from).hash, dataset.manifest.tokenizer_hash
    if tokenizer != expected:
        raise TrainingError(
            f"dataset {spec.dataset} holds ids of tokenizer {expected}, but {spec.init_from} has tokenizer {tokenizer}; "
            "start from a model with the tokenizer that sampled the traces"
        )
    return spec.identity(rows_sha256=dataset.manifest.rows_sha256, init_sha256=weights)


def _refuse_other_job(folder: JobFolder, record: JobRecord, identity: dict[str, Any]) -> None:
    if identity_hash(record.identity) == identity_hash(identity):
        return
    names = sorted(name for name in identity.keys() | record.identity.keys() if identity.get(name) != record.identity.get(name))
    changes = ", ".join(f"{name}: {_short(record.identity.get(name))} -> {_short(identity.get(name))}" for name in names)
    raise TrainingError(f"job folder {folder.path} belongs to another job ({changes}); use a new folder or delete this one")


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


async def _spawn(folder: JobFolder, spec: SFTSpec) -> asyncio.subprocess.Process:
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if spec.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    else:
        # One device per job: TRL refuses to train on several in one process.
        environment["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    with folder.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tirage.training.sft_main",
            str(folder.path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )


class _Watcher:
    """Follows a trainer to its end, whether it is our child or was left behind by an earlier caller."""

    def __init__(self, folder: JobFolder, tell: Progress) -> None:
        self._folder, self._tell = folder, tell
        self._metrics = MetricsReader(folder.metrics)
        self._told: JobState | None = None
        self._last: StepMetrics | None = None

    async def follow(self, child: asyncio.subprocess.Process | None) -> None:
        """Return when the job succeeded; raise `TrainingError` when it did not."""
        try:
            while child.returncode is None if child is not None else self._folder.trainer_alive():
                self._report()
                await asyncio.sleep(_POLL_S)
        except asyncio.CancelledError:
            await asyncio.shield(self._stop(child))
            raise
        self._report()
        self._conclude(child)

    def _report(self) -> None:
        record = self._folder.read()
        for metrics in self._metrics.new():
            self._last = metrics
            self._tell(_progress(JobState.RUNNING, metrics))
        if record is not None and record.state is not self._told:
            self._told = record.state
            self._tell(_progress(record.state, self._last))

    def _conclude(self, child: asyncio.subprocess.Process | None) -> None:
        record = self._folder.read()
        if record is None:
            raise TrainingError(f"job folder {self._folder.path} vanished while the job ran")
        if record.state is JobState.SUCCEEDED:
            return
        if record.state in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING):
            record = self._died(child)
        hint = f"; log: {self._folder.log}"
        raise TrainingError(
            f"job {self._folder.path} {record.state}{f' ({record.failure})' if record.failure else ''}: {record.message}{hint}"
        )

    def _died(self, child: asyncio.subprocess.Process | None) -> JobRecord:
        code = child.returncode if child is not None else None
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            cause = f"the trainer was killed by {name}" + (" (often: the kernel ran out of memory)" if name == "SIGKILL" else "")
        else:
            cause = "the trainer ended without a word" if code is None else f"the trainer ended with status {code}"
        kind = FailureKind.KILLED if code is None or code < 0 else FailureKind.INFRA
        return self._folder.move(JobState.FAILED, failure=kind, message=f"{cause}; run the job again to resume it")

    async def _stop(self, child: asyncio.subprocess.Process | None) -> None:
        """Ask the trainer to save and end; kill its process group when it does not."""
        record = self._folder.read()
        pid = child.pid if child is not None else _live_pid(record)
        if pid is None:
            return
        for number, patience in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
            deadline = asyncio.get_running_loop().time() + patience
            while asyncio.get_running_loop().time() < deadline:
                if not self._folder.trainer_alive() and (child is None or child.returncode is not None):
                    break
                await asyncio.sleep(0.05)
            else:
                continue
            break
        record = self._folder.read()
        if record is not None and record.state in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING):
            self._folder.move(JobState.CANCELLED, message="cancelled; run the job again to resume it")


def _live_pid(record: JobRecord | None) -> int | None:
    """The recorded trainer's pid, if that very process still lives."""
    if record is None or record.pid is None or process_identity(record.pid) != record.pid_started:
        return None
    return record.pid


def _progress(state: JobState, last: StepMetrics | None) -> JobProgress:
    if last is None:
        return JobProgress(state=state)
    return JobProgress(state=state, step=last.step, steps=last.steps, loss=last.loss, lr=last.lr, tokens_per_s=last.tokens_per_s)
