"""`tirage data`, `tirage train` and `tirage jobs` on made-up traces."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tirage.cli.main import app
from tirage.core.errors import ConfigError, DataError, TrainingError
from tirage.testing.builders import Turn, make_problem, make_rollout
from tirage.traces.jsonl import TraceStore
from tirage.training.job_folder import JobFolder, JobState
from tirage.training.spec import SFTSpec


def invoke(*words: str | Path, fails: type[Exception] | None = None) -> Any:
    """Run the command line; returns its output, or the error's text when it `fails`."""
    result: Result = CliRunner().invoke(app, [str(word) for word in words])
    if fails is not None:
        assert isinstance(result.exception, fails), result.output
        return str(result.exception)
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    store = TraceStore(folder)
    for number in range(5):
        problem = make_problem(f"What is {number} times 7?", str(number * 7))
        store.append(make_rollout(Turn(text="3"), problem=problem, stage="train-alone", correct=False))
        turns = (Turn(hint="Python! ", code=f"print({number}*7)", output=str(number * 7)), Turn(text="Done."))
        store.append(make_rollout(*turns, problem=problem, stage="train-hinted", correct=number != 4, answer=str(number * 7)))
    store.close()
    return folder


def test_build_show_check(run: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    output = invoke("data", "build", run, "--recipe", "hint-rft", "--out", rows)
    assert "4 rows" in output
    assert "incorrect 1" in output
    shown = invoke("data", "show", rows)
    assert "row 0 of 4" in shown
    assert "no tokenizer with hash bytes at hand" in shown
    data = json.loads(invoke("data", "show", rows, "--row", "3", "--json"))
    assert data["manifest"]["traces"] == data["manifest"]["traces"] | {"path": str(run), "n": 10}
    assert len(data["row"]["labels"]) == len(data["row"]["input_ids"])
    assert "4 rows, all sound" in invoke("data", "check", rows)
    (rows / "rows.jsonl").write_text("")
    assert "is not sound: rows.jsonl has sha256" in invoke("data", "check", rows, fails=DataError)


def test_settings_and_json(run: Path, tmp_path: Path) -> None:
    words = ("data", "build", run, "--out", tmp_path / "rows", "--set", "hint_loss=false", "--set", "seed=3", "--json")
    manifest = json.loads(invoke(*words))
    assert manifest["config"]["hint_loss"] is False
    assert manifest["config"]["seed"] == 3


def test_held_out_problems_stay_out(run: Path, tmp_path: Path) -> None:
    heldout = tmp_path / "heldout.jsonl"
    heldout.write_text(json.dumps({"prompt": "what is 2 times 7", "answer": "14"}) + "\n")
    manifest = json.loads(invoke("data", "build", run, "--out", tmp_path / "rows", "--heldout", heldout, "--json"))
    assert {count["step"]: count["dropped"] for count in manifest["counts"]}["decontaminate"] == {"held-out": 1}
    assert manifest["heldout"]["n"] == 1


def test_mistakes_are_named(run: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "rows")
    assert "has no traces.jsonl" in invoke("data", "build", tmp_path, *out, fails=DataError)
    assert "no stage 'train-unhinted'; its stages: train-alone, train-hinted" in invoke(
        "data", "build", run, *out, "--recipe", "rft", fails=ConfigError
    )
    assert "recipe 'star' is not known" in invoke("data", "build", run, *out, "--recipe", "star", fails=ConfigError)
    assert "write it as key=value" in invoke("data", "build", run, *out, "--set", "seed", fails=ConfigError)
    assert "per_problem" in invoke("data", "build", run, *out, "--set", "per_problem=0", fails=ConfigError)
    assert "use exact, ngram or lcs" in invoke("data", "build", run, *out, "--overlap", "fuzzy", fails=ConfigError)
    invoke("data", "build", run, *out)
    assert "--row counts from 0" in invoke("data", "show", tmp_path / "rows", "--row", "9", fails=DataError)
    assert "is not a dataset" in invoke("data", "show", run, fails=DataError)


def test_train_checks_its_words_first(run: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    invoke("data", "build", run, "--out", rows)
    words = ("train", rows, "--init", tmp_path, "--out", tmp_path / "job")
    assert "settings: batch_size" in invoke(*words, "--set", "epoch=3", fails=ConfigError)
    assert "learning_rate" in invoke(*words, "--set", "learning_rate=-1", fails=ConfigError)
    assert "holds no .safetensors" in invoke(*words, fails=TrainingError)
    assert "has no weights here to train" in invoke("train", rows, "--init", "openai/x", "--out", tmp_path / "job", fails=ConfigError)
    assert not (tmp_path / "job").exists()


def test_jobs_are_listed_with_their_state(tmp_path: Path) -> None:
    for name, state in (("a", JobState.STARTING), ("b", JobState.CANCELLED)):
        folder = JobFolder(tmp_path / "jobs" / name)
        folder.create()
        spec = SFTSpec(dataset=tmp_path, init_from=tmp_path)
        folder.open_job(spec, spec.identity(rows_sha256="r", init_sha256="i"), 1)
        folder.move(state)
    listed = [json.loads(line) for line in invoke("jobs", "ls", tmp_path, "--json").splitlines()]
    assert [(Path(job["job"]).name, job["state"]) for job in listed] == [("a", "lost"), ("b", "cancelled")]
    assert "cancelled" in invoke("jobs", "ls", tmp_path)
    assert "no jobs below" in invoke("jobs", "ls", tmp_path / "jobs" / "a" / "none")


def test_logs(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.create()
    assert "is not a job folder" in invoke("jobs", "logs", folder.path, fails=DataError)
    spec = SFTSpec(dataset=tmp_path, init_from=tmp_path)
    folder.open_job(spec, spec.identity(rows_sha256="r", init_sha256="i"), 1)
    assert "has no log yet" in invoke("jobs", "logs", folder.path, fails=DataError)
    folder.log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert invoke("jobs", "logs", folder.path, "--lines", "2") == "line 98\nline 99\n"
    assert invoke("jobs", "logs", folder.path, "--lines", "1", "--follow") == "line 99\n"
