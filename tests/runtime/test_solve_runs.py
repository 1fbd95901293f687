"""The trace of `solve`: kept in a run folder, readable by the commands, never at the price of the answer."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tirage
from tests.cli.command_line import run, script
from tirage.core import Source
from tirage.core.errors import ConfigError
from tirage.runtime.config import AgentConfig
from tirage.runtime.opening.topologies import open_topology
from tirage.testing.models import ScriptedModel
from tirage.traces.jsonl import TraceStore

SEVEN = "What is 6 * 7?"


def test_the_trace_is_kept_in_a_folder_of_its_own(tmp_path: Path, runs: Path) -> None:
    model = script(tmp_path, "\\boxed{42}")
    first = tirage.solve(SEVEN, model=model, answer="42")
    second = tirage.solve(SEVEN, model=model, answer="43")
    assert first.run is not None
    assert second.run is not None
    assert first.run != second.run
    assert first.run.parent == runs
    assert first.run.name.startswith("solve-2")
    (kept,) = TraceStore(first.run).read()
    assert (kept.stage, kept.sample, kept.correct, kept.problem.prompt) == ("solve", 0, True, SEVEN)
    assert kept.tree == first.tree
    assert kept.model.startswith("scripted")
    assert kept.sampling["temperature"] == 0.0
    assert len(kept.config_hash) == 12
    assert [item.correct for item in TraceStore(second.run).read()] == [False]
    config = (first.run / "config.yaml").read_text()
    assert f"model: {model}" in config


def test_without_a_reference_the_trace_is_ungraded(tmp_path: Path) -> None:
    solution = tirage.solve(SEVEN, model=script(tmp_path, "\\boxed{42}"))
    assert solution.verdict is None
    assert solution.run is not None
    (kept,) = TraceStore(solution.run).read()
    assert kept.correct is None
    assert "no reference answer" in kept.verdicts[1].detail


def test_none_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tirage.runtime.solving.RUNS", tmp_path / "runs")
    assert tirage.solve(SEVEN, model=script(tmp_path, "\\boxed{42}"), run=None).run is None
    assert not (tmp_path / "runs").exists()


def test_a_named_folder_takes_samples_of_one_configuration(tmp_path: Path) -> None:
    model, folder = script(tmp_path, "\\boxed{42}", "\\boxed{41}"), tmp_path / "mine"
    for _ in range(2):
        assert tirage.solve(SEVEN, model=model, run=folder).run == folder
    assert tirage.solve("1 + 1?", model=model, run=str(folder)).run == folder
    assert [item.sample for item in TraceStore(folder).read()] == [0, 1, 0]
    asked = ScriptedModel(["\\boxed{1}"])
    with pytest.raises(ConfigError, match=r"another configuration \(different: .*model"):
        tirage.solve(SEVEN, model=asked, run=folder)
    assert asked.requests == [], "a folder that cannot be used is refused before anything is spent"


def test_a_folder_that_cannot_be_written_is_refused_where_it_was_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        tirage.solve(SEVEN, model=script(tmp_path, "\\boxed{42}"), run=tmp_path / "file" / "run")


def test_the_answer_comes_even_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tirage.runtime.solving.RUNS", tmp_path / "file" / "runs")
    solution = tirage.solve(SEVEN, model=script(tmp_path, "\\boxed{42}"))
    assert (solution.answer, solution.run) == ("42", None)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("the trace was not kept: ")
    assert "\n" not in line
    code, out, _ = run(capsys, "solve", SEVEN, "-m", script(tmp_path, "\\boxed{42}"))
    assert code == 0
    assert "answer: 42" in out
    assert "trace:" not in out


def test_a_folder_that_others_write_does_not_cost_the_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, folder = script(tmp_path, "\\boxed{42}"), tmp_path / "mine"
    tirage.solve(SEVEN, model=model, run=folder)
    with TraceStore(folder) as store:
        store.claim()
        solution = tirage.solve(SEVEN, model=model, run=folder)
    assert (solution.answer, solution.run) == ("42", None)
    assert "being written by this process" in caplog.text


def test_the_command_says_where_its_trace_is_and_the_trace_commands_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    model = script(tmp_path, "\\boxed{42}")
    code, out, _ = run(capsys, "solve", SEVEN, "-m", model, "--answer", "42")
    assert code == 0
    last = out.splitlines()[-1]
    assert last.startswith(f"trace: tirage trace show {runs}/solve-")
    folder = last.split()[-1]
    assert "right" in run(capsys, "trace", "ls", folder)[1]
    assert "\\boxed{42}" in run(capsys, "trace", "show", folder)[1]
    code, out, _ = run(capsys, "solve", SEVEN, "-m", model, "--no-run", "--json")
    assert json.loads(out)["run"] is None
    code, out, _ = run(capsys, "solve", SEVEN, "-m", model, "--run", str(tmp_path / "r"), "--json")
    assert json.loads(out)["run"] == str(tmp_path / "r")
    code, _, err = run(capsys, "solve", SEVEN, "-m", model, "--run", str(tmp_path / "r"), "--no-run")
    assert code == 2
    assert "give one of them" in err


def test_objects_among_the_options_are_written_down_by_name(tmp_path: Path) -> None:
    team = AgentConfig(name="team", options={"topology": open_topology("chain", 2), "gate": None, "approve": ()})
    solution = tirage.solve(SEVEN, model=script(tmp_path, *["\\boxed{42}"] * 4), agent=team, run=tmp_path / "r")
    assert (solution.answer, solution.run) == ("42", tmp_path / "r")
    again = tirage.solve(SEVEN, model=script(tmp_path, *["\\boxed{42}"] * 4), agent=team, run=tmp_path / "r")
    assert [item.sample for item in TraceStore(tmp_path / "r").read()] == [0, 1]
    assert again.run == tmp_path / "r"


def test_every_token_keeps_its_author(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="install tirage[local]")
    solution = tirage.solve("What is 12 + 30?", run=tmp_path / "r")
    (kept,) = TraceStore(tmp_path / "r").read()
    assert kept.trajectory is not None
    assert kept.trajectory == solution.trajectory
    assert {Source.PROMPT, Source.POLICY} <= set(kept.trajectory.token_sources or ())
    assert kept.model.startswith("nano@")
    assert len(kept.tokenizer_hash) > 0


SLOW = """
import asyncio, signal, sys
import tirage
from pathlib import Path
from tirage.testing.models import ScriptedModel

signal.signal(signal.SIGINT, signal.default_int_handler)

class Slow(ScriptedModel):
    async def complete(self, request):
        print("asked", flush=True)
        await asyncio.sleep(100)

tirage.solve("1 + 1?", model=Slow(), run=eval(sys.argv[1]))
"""


@pytest.mark.parametrize("place", ["'auto'", "'mine'"])
def test_an_interruption_leaves_no_broken_store(tmp_path: Path, place: str) -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW, place], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"asked\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert b"KeyboardInterrupt" in err
    if place == "'auto'":
        assert not (tmp_path / "runs").exists(), "there was nothing to keep yet"
        return
    assert list(TraceStore(tmp_path / "mine").read()) == []
    # The class is part of no configuration: the same folder goes on.
    assert tirage.solve("1 + 1?", model=ScriptedModel(["\\boxed{2}"]), run=tmp_path / "mine").run == tmp_path / "mine"
    assert [item.sample for item in TraceStore(tmp_path / "mine").read()] == [0]
