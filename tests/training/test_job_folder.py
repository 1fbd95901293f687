import json
import os
from pathlib import Path

import pytest

from tirage.core.errors import DataError, TrainingError
from tirage.training.job_folder import JobFolder, JobState, process_identity
from tirage.training.spec import SFTSpec, identity_hash


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "job")
    made.create()
    spec = SFTSpec(dataset=tmp_path, init_from=tmp_path)
    made.open_job(spec, spec.identity(rows_sha256="r", init_sha256="i"), 1)
    return made


def test_a_job_goes_through_its_states(folder: JobFolder) -> None:
    for state in (JobState.STARTING, JobState.RUNNING, JobState.SUCCEEDED):
        assert folder.move(state).state is state
    history = [json.loads(line)["event"] for line in folder.events.read_text().splitlines()]
    assert history == ["queued", "starting", "running", "succeeded"]


def test_impossible_moves_are_refused(folder: JobFolder) -> None:
    with pytest.raises(TrainingError, match="cannot go from queued to succeeded"):
        folder.move(JobState.SUCCEEDED)


def test_a_running_job_without_a_trainer_is_lost(folder: JobFolder) -> None:
    folder.move(JobState.STARTING)
    held = folder.hold()
    assert held is not None
    with held:
        assert folder.trainer_alive()
        status = folder.status()
        assert status is not None
        assert status.state is JobState.STARTING
    assert not folder.trainer_alive()
    status = folder.status()
    assert status is not None
    assert status.state is JobState.LOST
    record = folder.read()
    assert record is not None
    assert record.state is JobState.STARTING, "looking changes nothing"


@pytest.mark.parametrize("text", ["", "{}", '{"state": "resting", "identity": {}}'])
def test_a_broken_record_is_named(folder: JobFolder, text: str) -> None:
    folder.record.write_text(text)
    with pytest.raises(DataError, match=r"job.json is not a job record"):
        folder.read()


def test_no_record_is_no_job(tmp_path: Path) -> None:
    assert JobFolder(tmp_path / "none").status() is None


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot write the job folder"):
        JobFolder(tmp_path / "file" / "job").create()


def test_process_identity_tells_processes_apart() -> None:
    assert process_identity(os.getpid()) == process_identity(os.getpid()) != process_identity(1)
    assert process_identity(2**22 + 1) == ""


def test_identity_is_about_the_weights(tmp_path: Path) -> None:
    def identity(**settings: object) -> str:
        spec = SFTSpec.model_validate({"dataset": tmp_path, "init_from": tmp_path} | settings)
        return identity_hash(spec.identity(rows_sha256="r", init_sha256="i"))

    assert identity() == identity(dataset=tmp_path / "moved", threads=3, device="cpu", micro_batches=2, save_every=7)
    assert len({identity(), identity(epochs=3), identity(seed=1), identity(lora_rank=4), identity(max_length=9)}) == 5
