"""Interrupting and killing a run from outside: what was finished stays, the next start does the rest."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
def rollout(problems: Path, port: int, run: Path) -> Iterator["subprocess.Popen[str]"]:
    model = f"http://127.0.0.1:{port}/v1#echo"
    command = [sys.executable, "-m", "tirage.cli.main", "rollout", str(problems), "-m", model, "--run", str(run), "--concurrency", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


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
