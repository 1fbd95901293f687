"""The trainer process and its watcher: kills, cancellation, adoption, refusal."""

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tirage.core.errors import DataError, TrainingError
from tirage.training import job
from tirage.training.dataset import Dataset
from tirage.training.job import JobProgress, run_job
from tirage.training.job_folder import JobFolder, JobState
from tirage.training.lineage import weights_sha256
from tirage.training.metrics import read_metrics
from tirage.training.sft_main import main
from tirage.training.spec import SFTSpec

pytest.importorskip("trl", reason="pip install 'tirage[train]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL, peft and transformers warn about each other

STEPS = 150


@pytest.fixture
def spec(tiny_llama: Path, rescued: Path) -> SFTSpec:
    return SFTSpec(dataset=rescued, init_from=tiny_llama, max_steps=STEPS, save_every=20, batch_size=4, threads=1, device="cpu")


def train_here(folder: JobFolder, spec: SFTSpec, attempt: int = 1) -> str:
    """Run (or go on with) the job in this process; returns the hash of the weights."""
    folder.create()
    identity = spec.identity(rows_sha256=Dataset(spec.dataset).manifest.rows_sha256, init_sha256=weights_sha256(spec.init_from))
    folder.open_job(spec, identity, attempt)
    assert main(str(folder.path)) == 0
    return weights_sha256(folder.checkpoint)


@pytest.fixture(scope="module")
def uninterrupted(tiny_llama: Path, rescued: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash of the weights of a run that nothing disturbed."""
    spec = SFTSpec(dataset=rescued, init_from=tiny_llama, max_steps=STEPS, save_every=20, batch_size=4, threads=1, device="cpu")
    return train_here(JobFolder(tmp_path_factory.mktemp("job") / "whole"), spec)


def events(folder: JobFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.events.read_text().splitlines()]


@pytest.mark.slow
async def test_a_killed_job_resumes_to_the_same_weights(spec: SFTSpec, uninterrupted: str, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    seen: list[JobProgress] = []

    def kill_once(progress: JobProgress) -> None:
        seen.append(progress)
        record = folder.read()
        if progress.step >= 45 and record is not None and record.pid is not None:
            os.kill(record.pid, signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"failed \(killed\): the trainer was killed by SIGKILL"):
        await run_job(folder.path, spec, kill_once)
    assert [progress.state for progress in seen][:2] == [JobState.QUEUED, JobState.STARTING]
    (folder.steps / "checkpoint-149").mkdir()  # a kill in the middle of a save leaves a folder without its marker
    checkpoint = await run_job(folder.path, spec)
    assert checkpoint.sha256 == uninterrupted
    assert checkpoint.steps == STEPS
    assert [event["resume"] for event in events(folder) if event["event"] == "plan"][-1] in range(40, STEPS, 20)
    assert [step.step for step in read_metrics(folder.metrics)] == list(range(1, STEPS + 1))
    began = len(events(folder))
    again = await run_job(folder.path, spec)
    assert again == checkpoint
    assert len(events(folder)) == began, "a finished job is not run again"


@pytest.mark.slow
async def test_a_trainer_left_behind_is_adopted_and_cancelled(spec: SFTSpec, uninterrupted: str, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.create()
    identity = spec.identity(rows_sha256=Dataset(spec.dataset).manifest.rows_sha256, init_sha256=weights_sha256(spec.init_from))
    folder.open_job(spec, identity, 1)
    nowhere = asyncio.subprocess.DEVNULL
    orphan = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tirage.training.sft_main", str(folder.path), stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    while not folder.trainer_alive():
        assert orphan.returncode is None
        await asyncio.sleep(0.05)
    task: asyncio.Task[Any] | None = None

    def cancel_at(progress: JobProgress) -> None:
        if progress.step >= 30 and task is not None:
            task.cancel()

    task = asyncio.create_task(run_job(folder.path, spec, cancel_at))
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(orphan.wait(), 10)
    names = [event["event"] for event in events(folder)]
    assert names.count("starting") == 1, "no second trainer"
    assert "adopted" in names
    record = folder.status()
    assert record is not None
    assert record.state is JobState.CANCELLED
    assert not folder.trainer_alive()
    assert train_here(folder, spec, attempt=2) == uninterrupted
    assert [event["resume"] for event in events(folder) if event["event"] == "plan"][-1] >= 30


async def test_a_lack_of_memory_takes_smaller_bites(spec: SFTSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    script = (
        "import sys; from tirage.training.job_folder import *; job = JobFolder(sys.argv[1]);"
        "job.move(JobState.STARTING); job.move(JobState.FAILED, failure=FailureKind.OOM, message='out of memory')"
    )

    async def starved(folder: JobFolder, spec: SFTSpec) -> asyncio.subprocess.Process:
        tried.append(spec.micro_batches)
        return await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(folder.path))

    monkeypatch.setattr(job, "_spawn", starved)
    with pytest.raises(TrainingError, match=r"failed \(oom\): out of memory"):
        await run_job(tmp_path / "job", spec.model_copy(update={"batch_size": 6}))
    assert tried == [1, 2, 4, 6]
    assert [event["micro_batches"] for event in events(JobFolder(tmp_path / "job")) if event["event"] == "smaller-micro-batches"] == [
        2,
        4,
        6,
    ]


async def test_another_job_in_the_folder_is_refused(spec: SFTSpec, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.create()
    folder.open_job(spec, spec.identity(rows_sha256="0" * 64, init_sha256=weights_sha256(spec.init_from)), 1)
    with pytest.raises(
        TrainingError, match=r"belongs to another job \(rows_sha256: 000000000000 -> \w{12}, seed: 0 -> 3\); use a new folder"
    ):
        await run_job(folder.path, spec.model_copy(update={"seed": 3}))
    assert len(events(folder)) == 1


async def test_bad_inputs_are_named_before_anything_starts(spec: SFTSpec, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a dataset"):
        await run_job(tmp_path / "job", spec.model_copy(update={"dataset": tmp_path}))
    with pytest.raises(TrainingError, match=r"holds no .safetensors weights"):
        await run_job(tmp_path / "job", spec.model_copy(update={"init_from": tmp_path}))
    other = tmp_path / "other"
    shutil.copytree(spec.init_from, other)
    (other / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(TrainingError, match=r"holds ids of tokenizer \w{16}, but .*/other has tokenizer \w{16}; start from a model with"):
        await run_job(tmp_path / "job", spec.model_copy(update={"init_from": other}))
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot write the job folder"):
        await run_job(tmp_path / "file" / "job", spec)
    assert not (tmp_path / "job").exists()
