"""Interrupting and killing a run from outside: what was finished stays, the next start does the rest."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.processes import interruptible
from tirage.traces.jsonl import TraceStore

PROBLEMS = 24
SERVER = Path(__file__).with_name("echo_server.py")


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Say {number}.", "answer": str(number)}) + "\n" for number in range(PROBLEMS)))
    return path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(port: int) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([sys.executable, str(SERVER), str(port)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == "ready"
            yield server
        finally:
            server.kill()


@contextmanager
def command(port: int, *words: str) -> Iterator["subprocess.Popen[str]"]:
    line = [sys.executable, "-m", "tirage.cli.main", *words, "-m", f"http://127.0.0.1:{port}/v1#echo"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=interruptible) as process:
        try:
            yield process
        finally:
            process.kill()


def rollout(problems: Path, port: int, run: Path) -> AbstractContextManager["subprocess.Popen[str]"]:
    return command(port, "rollout", str(problems), "--run", str(run), "--concurrency", "2")


def finished(run: Path) -> list[str]:
    with TraceStore(run) as store:
        return [entry.key for entry in store.entries()] if (run / "traces.jsonl").exists() else []


def wait_for(run: Path, count: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while len(finished(run)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(problems: Path, port: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serve(port):
        with rollout(problems, port, run) as process:
            wait_for(run, 3, process)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "run the same command again to resume" in err
        assert "Traceback" not in err
        before = finished(run)
        assert 3 <= len(before) < PROBLEMS
        with rollout(problems, port, run) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        keys = finished(run)
        assert keys[: len(before)] == before
        assert len(keys) == len(set(keys)) == PROBLEMS


@pytest.mark.slow
def test_learning_a_topology_is_interrupted_and_goes_on(problems: Path, port: int, tmp_path: Path) -> None:
    def learned(name: str) -> tuple[Path, list[str]]:
        out = tmp_path / f"{name}.json"
        team = ["topology", "train", "single", "--members", "2", "--learner", "edges", "--price", "0", "--batch", "2"]
        return out, [*team, "--problems", str(problems), "--queries", str(PROBLEMS), "--out", str(out)]

    (broken, words), (whole, others) = learned("broken"), learned("whole")
    run = broken.with_suffix(".run")
    with serve(port):
        with command(port, *words) as process:
            wait_for(run, 3, process)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert (process.returncode, broken.exists()) == (130, False)
        assert "run the same command again to resume" in err
        before = finished(run)
        assert 3 <= len(before) < PROBLEMS
        for line in (words, others):
            with command(port, *line) as process:
                shown, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert (f"{len(before)} of {PROBLEMS} problems were finished before" in shown) == (line is words)
    keys = finished(run)
    assert keys[: len(before)] == before
    assert len(keys) == len(set(keys)) == PROBLEMS
    assert json.loads(broken.read_text()) == json.loads(whole.read_text())


@pytest.mark.slow
def test_a_server_that_dies_is_retried_reported_and_resumed(problems: Path, port: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serve(port) as server, rollout(problems, port, run) as process:
        wait_for(run, 3, process)
        server.kill()
        _, err = process.communicate(timeout=120)
    assert process.returncode == 4
    assert f"127.0.0.1:{port}" in err
    assert "Traceback" not in err
    before = finished(run)
    assert 3 <= len(before) < PROBLEMS
    with serve(port):
        with rollout(problems, port, run) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    keys = finished(run)
    assert keys[: len(before)] == before
    assert len(keys) == len(set(keys)) == PROBLEMS
