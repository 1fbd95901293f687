"""The life of a managed server, with a stand-in for vLLM that starts in a moment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError, ModelError
from tirage.models.vllm.process import Launch, ServerProcess, find_python

SERVER = """
import http.server, os, subprocess, sys
print("arguments", sys.argv[1:], flush=True)
print("key", os.environ["VLLM_API_KEY"], flush=True)
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", stubborn])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Launch]:
    """A launch whose interpreter runs the given code instead of vLLM."""

    def make(code: str, **options: object) -> Launch:
        (tmp_path / "server.py").write_text(code)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/server.py "$@"\n')
        python.chmod(0o755)
        return Launch(python=python, model="/models/m", served_name="m", device="cpu", **options)  # type: ignore[arg-type]

    return make


def group(pid: int) -> list[int]:
    """Living members of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and int(pgrp) == pid and state != "Z":
            found.append(int(entry.name))
    return found


def children(pid: int) -> list[int]:
    """Processes that `pid`'s main thread started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int, within_s: float = 15.0) -> bool:
    """Wait for a process group to be empty."""
    deadline = time.monotonic() + within_s
    while group(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not group(pid)


async def test_it_becomes_ready_and_stops_with_everything_it_started(launch: Callable[..., Launch], tmp_path: Path) -> None:
    process = ServerProcess(launch(SERVER, block_size=32, arguments=("--seed", "1")), log=tmp_path / "log")
    await process.wait_ready()
    assert process.alive
    assert len(group(process.pid)) >= 3  # guard, server, the worker that ignores SIGTERM
    await process.stop()
    await process.stop()
    assert not process.alive
    assert gone(process.pid)
    log = (tmp_path / "log").read_text()
    assert "'-m', 'vllm.entrypoints.openai.api_server', '--model', '/models/m', '--served-model-name', 'm', '--host', '127.0.0.1'" in log
    assert "'--dtype', 'float32', '--block-size', '32', '--enforce-eager', '--no-enable-chunked-prefill'" in log
    assert "'--structured-outputs-config', '{" in log
    assert "}', '--seed', '1'" in log, "a caller's own arguments come last and count"
    assert f"key {process.api_key}" in log


async def test_an_early_end_shows_the_last_words(launch: Callable[..., Launch]) -> None:
    process = ServerProcess(launch("print('line one'); print('ValueError: no such model'); raise SystemExit(3)"))
    with pytest.raises(ModelError, match=r"ended with code 3(.|\n)*no such model"):
        await process.wait_ready()
    assert gone(process.pid)
    process.log.unlink()


async def test_a_server_that_never_gets_ready_is_stopped(launch: Callable[..., Launch]) -> None:
    process = ServerProcess(launch("import time; print('thinking', flush=True); time.sleep(600)", ready_s=6))
    with pytest.raises(ModelError, match=r"not ready after 6 s(.|\n)*thinking"):
        await process.wait_ready()
    assert gone(process.pid)
    process.log.unlink()


async def test_a_killed_server_takes_its_workers_along(launch: Callable[..., Launch], tmp_path: Path) -> None:
    process = ServerProcess(launch(SERVER), log=tmp_path / "log")
    await process.wait_ready()
    (server,) = children(process.pid)
    os.kill(server, signal.SIGKILL)
    assert gone(process.pid)
    assert not process.alive
    assert "died (code" in str(process.died())
    await process.stop()


async def test_a_killed_guard_leaves_no_orphans_behind_stop(launch: Callable[..., Launch], tmp_path: Path) -> None:
    process = ServerProcess(launch(SERVER), log=tmp_path / "log")
    await process.wait_ready()
    os.kill(process.pid, signal.SIGKILL)
    await process.stop()
    assert gone(process.pid)


def test_the_server_dies_with_whoever_started_it(launch: Callable[..., Launch], tmp_path: Path) -> None:
    launch(SERVER)
    starter = (
        "import asyncio, pathlib, time\n"
        "from tirage.models.vllm.process import Launch, ServerProcess\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "async def main():\n"
        "    launch = Launch(python=folder / 'python', model='m', served_name='m', device='cpu')\n"
        "    process = ServerProcess(launch, log=folder / 'log')\n"
        "    await process.wait_ready()\n"
        "    print(process.pid, flush=True)\n"
        "    time.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        assert len(group(pid)) >= 3
        running.kill()
    assert gone(pid)


def test_the_interpreter_is_found_or_the_remedy_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*scripts/vllm_env\.sh"):
        find_python(tmp_path / "nowhere")
    monkeypatch.setenv("TIRAGE_VLLM_PYTHON", sys.executable)
    assert find_python() == Path(sys.executable)
    monkeypatch.delenv("TIRAGE_VLLM_PYTHON")
    monkeypatch.chdir(tmp_path)
    local = tmp_path / ".venv-vllm" / "bin"
    local.mkdir(parents=True)
    (local / "python").touch()
    assert find_python() == local / "python"


def test_secrets_of_other_services_do_not_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from tirage.models.vllm.process import _environment

    launch = Launch(python=Path("python"), model="m", served_name="m", device="cpu")
    made = _environment(launch, {"OPENAI_API_KEY": "x", "PATH": "/bin", "PYTHONPATH": "/y"}, "k")
    assert "OPENAI_API_KEY" not in made
    assert "PYTHONPATH" not in made
    assert made["VLLM_API_KEY"] == "k"
    assert made["VLLM_CPU_KVCACHE_SPACE"] == "1"
