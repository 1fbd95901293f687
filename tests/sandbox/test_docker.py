"""The docker sandbox against a real engine: the same guest, in a container."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox import DockerConfig, ExecFailure, Limits, Session, StateKind, open_sandbox
from tirage.sandbox.docker import DockerSandbox
from tirage.sandbox.docker_engine import LABEL
from tirage.sandbox.results import from_fields

IMAGE = "tirage-sandbox"


def missing() -> str:
    """Why the engine cannot be used; empty when it can."""
    if shutil.which("docker") is None:
        return "no docker command; install docker.io and run scripts/docker_engine.sh"
    done = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no engine with image {IMAGE}; run scripts/docker_engine.sh and scripts/docker_image.sh as root"


REASON = missing()
needs_engine = pytest.mark.skipif(bool(REASON), reason=REASON)
module_loop = pytest.mark.asyncio(loop_scope="module")


def containers(host: int) -> list[str]:
    shown = subprocess.run(["docker", "ps", "-aq", "--filter", f"label={LABEL}={host}"], capture_output=True, text=True, check=True)
    return shown.stdout.split()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[DockerSandbox]:
    async with open_sandbox(DockerConfig(image=IMAGE, memory_mb=400, processes=128, scratch_mb=32)) as place:
        yield place
    assert containers(os.getpid()) == []


@pytest_asyncio.fixture(loop_scope="module")
async def session(sandbox: DockerSandbox) -> AsyncIterator[Session]:
    opened = await sandbox.open()
    yield opened
    await opened.close()


async def value(session: Session, code: str) -> str | None:
    result = await session.run(code)
    assert result.failure is None, result
    assert result.state is StateKind.FORKED
    return result.value


@needs_engine
@module_loop
async def test_state_output_and_branches(session: Session, sandbox: DockerSandbox) -> None:
    result = await session.run("import random, sys\nrandom.seed(1)\nv = [0]\nprint('out')\nprint('err', file=sys.stderr)\nlen(v)")
    assert (result.stdout, result.stderr, result.value, result.value_type) == ("out\n", "err\n", "1", "int")
    assert {"container", "no-network", "cgroup", "seccomp"} <= set(result.layers) == set(sandbox.capabilities.layers)
    left, right, other = await session.branch(), await session.branch(), await session.branch(reseed=5)
    for name, twin in (("L", left), ("R", right)):
        assert await value(twin, f"v.append('{name}'); open('f', 'a').write('{name}'); v, open('f').read()") == f"([0, '{name}'], '{name}')"
    draws = [await value(twin, "random.random()") for twin in (session, left, other)]
    assert draws[0] == draws[1] == "0.13436424411240122" != draws[2]
    assert await value(session, "v") == "[0]"
    await session.put("in/data.bin", b"\0" * 100_000)
    assert await value(session, "len(open('in/data.bin', 'rb').read())") == "100000"
    assert await session.fetch("in/data.bin") == b"\0" * 100_000
    with pytest.raises(SandboxError, match="missing"):
        await session.fetch("missing")
    for twin in (left, right, other):
        await twin.close()


@needs_engine
@module_loop
@pytest.mark.parametrize(
    ("code", "failure", "name"),
    [
        ("1/0", ExecFailure.ERROR, "ZeroDivisionError"),
        ("1 +", ExecFailure.SYNTAX, "SyntaxError"),
        ("while True: pass", ExecFailure.TIMEOUT_SOFT, "TimeoutError"),
        ("sum(range(10**12))", ExecFailure.TIMEOUT_KILLED, "TimeoutError"),
        ("b'x' * (8 << 30)", ExecFailure.MEMORY, "MemoryError"),
        ("import os; os._exit(3)", ExecFailure.EXIT, "SystemExit"),
        ("import ctypes; ctypes.string_at(0)", ExecFailure.SIGNAL, "SIGSEGV"),
        ("while True: print('x' * 1000)", ExecFailure.OUTPUT, ""),
        ("import socket; socket.create_connection(('127.0.0.1', 80), 1)", ExecFailure.ERROR, "PermissionError"),
        ("open('/etc/x', 'w')", ExecFailure.ERROR, "OSError"),
        ("open('/tmp/x', 'w')", ExecFailure.ERROR, "PermissionError"),
        ("import os; os.kill(1, 9)", ExecFailure.ERROR, "PermissionError"),
    ],
)
async def test_failures_cost_the_cell_alone(session: Session, code: str, failure: ExecFailure, name: str) -> None:
    assert (await session.run("kept = 1")).failure is None
    result = await session.run(code, Limits(wall_s=2.0, output_bytes=20_000))
    assert result.failure is failure, result
    assert name in result.error_name
    assert await value(session, "kept") == "1"


@needs_engine
@module_loop
async def test_a_fork_bomb_is_held_and_the_session_goes_on(session: Session) -> None:
    await session.run("kept = 1")
    bomb = await session.run("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", Limits(wall_s=1.0))
    assert bomb.failure is not None
    assert await value(session, "kept") == "1"


@needs_engine
@module_loop
async def test_memory_over_children_is_bounded_by_the_container(sandbox: DockerSandbox) -> None:
    session = await sandbox.open()
    child = "b = bytearray(150 << 20); time.sleep(30); os._exit(0)"
    hog = f"import os, time\nfor _ in range(6):\n    if not os.fork():\n        {child}\ntime.sleep(3)"
    result = await session.run(hog, Limits(wall_s=10.0))
    used = await session.run("1")
    assert used.failure is None, (result, used)
    await session.close()


@needs_engine
@module_loop
async def test_cancelled_run_takes_the_cell_back(session: Session) -> None:
    await session.run("w = 1")
    task = asyncio.create_task(session.run("w = 2\nimport time; time.sleep(60)"))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await value(session, "w") == "1"


@needs_engine
@module_loop
async def test_twelve_containers_at_once_and_none_left(sandbox: DockerSandbox) -> None:
    async def work(number: int) -> str | None:
        session = await sandbox.open()
        await session.run(f"n = {number}")
        twin = await session.branch()
        await session.close()
        shown = await twin.run("n")
        await twin.close()
        await twin.close()
        with pytest.raises(SandboxError, match="closed"):
            await twin.run("1")
        return shown.value

    assert await asyncio.gather(*(work(number) for number in range(12))) == [str(number) for number in range(12)]


@needs_engine
@module_loop
async def test_a_container_that_dies_is_told(sandbox: DockerSandbox) -> None:
    session = await sandbox.open()
    (box,) = [box for box in sandbox._boxes if box is session._box]
    await asyncio.to_thread(box._container.kill)
    with pytest.raises(SandboxError, match="container"):
        await session.run("1")
    await session.close()


@needs_engine
def test_a_killed_host_leaves_no_container() -> None:
    program = f"""
import asyncio
from tirage.sandbox import DockerConfig, open_sandbox

async def main():
    async with open_sandbox(DockerConfig(image={IMAGE!r})) as place:
        session = await place.open()
        print("ready", flush=True)
        await session.run("import time; time.sleep(600)")

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        assert len(containers(host.pid)) == 1
        host.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while (left := containers(host.pid)) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left


@needs_engine
async def test_wrong_names_are_told_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=f"no image 'tirage-sandbx'; it has: {IMAGE}"):
        await open_sandbox(DockerConfig(image="tirage-sandbx")).open()
    for config, words in (
        (DockerConfig(image=IMAGE, python="python9"), "python="),
        (DockerConfig(image=IMAGE, runtime="nosuch"), "nosuch"),
        (DockerConfig(image=IMAGE, preload=("nosuch",)), "nosuch"),
    ):
        async with open_sandbox(config) as place:
            with pytest.raises(SandboxError, match=words):
                await place.open()
    assert containers(os.getpid()) == []


async def test_no_engine_is_told_with_the_remedy() -> None:
    with pytest.raises(SandboxError, match=r"no Docker engine answers at unix:///nowhere.*DOCKER_HOST"):
        await open_sandbox(DockerConfig(image="x", url="unix:///nowhere")).open()


def test_what_a_container_says_is_checked_and_bounded() -> None:
    for junk in (None, 3, [], "x", {}):
        assert from_fields(junk, 10, layers=()).failure is ExecFailure.CHANNEL
    forged = {
        "stdout": "x" * 99,
        "failure": "bliss",
        "error_line": True,
        "displays": [3, {"text/html": 5, "a": "b"}],
        "state": 1,
        "cpu_s": -1,
    }
    result = from_fields(forged, 10, layers=("l",))
    assert (result.stdout, result.failure, result.error_line, result.cpu_s, result.layers) == ("x" * 10, None, None, 0.0, ("l",))
    assert result.displays == ({}, {"a": "b"})
