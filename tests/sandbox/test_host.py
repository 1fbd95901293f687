"""What the host can suffer: killed, run by another user, many sessions."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tirage.sandbox import SandboxConfig, open_sandbox

PROGRAM = Path(__file__).with_name("host_program.py")
ROOT = Path(__file__).parents[2]


def processes_below(top: int) -> set[int]:
    """Living descendants, read off /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    queue = [top]
    while queue:
        children = parents.get(queue.pop(), [])
        found.update(children)
        queue += children
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
@pytest.mark.parametrize("rung", [1, 2])
def test_a_killed_host_leaves_nothing(rung: int, number: int) -> None:
    with subprocess.Popen([sys.executable, str(PROGRAM), str(rung), "hang"], stdout=subprocess.PIPE, text=True, cwd=ROOT) as host:
        assert host.stdout is not None
        ready = host.stdout.readline().split()
        below = processes_below(host.pid)
        host.send_signal(number)
        host.wait(10)
    assert ready[0] == "ready"
    # Template, zygote, two nodes, a branch, the busy cell and its two daemons; less what is not yet forked.
    assert len(below) >= 6
    until = time.monotonic() + 20
    while (left := {pid for pid in below if alive(pid)}) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left
    if rung == 2:
        while os.path.exists(ready[1]) and time.monotonic() < until:
            time.sleep(0.05)
        assert not os.path.exists(ready[1])


def ordinary_python() -> list[str]:
    """A command prefix that runs Python as an ordinary user who can read it; empty when there is none."""
    if os.getuid() != 0:
        return [sys.executable]
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    become = [setpriv, "--reuid=65533", "--regid=65533", "--clear-groups", "--bounding-set=-all"]
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        command = [*become, python, "-c", "import os, sys; sys.exit(sys.version_info < (3, 11) or not os.access(sys.executable, os.X_OK))"]
        if os.path.exists(python) and subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0:
            return [*become, python]
    return []


@pytest.mark.parametrize("rung", [1, 2])
def test_as_an_ordinary_user(rung: int, tmp_path: Path) -> None:
    command = ordinary_python()
    if not command:
        pytest.skip("no Python >= 3.11 that an ordinary user may run; install one outside of root's home, and setpriv (util-linux)")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, str(PROGRAM), str(rung), "check"], capture_output=True, text=True, timeout=120, check=False, cwd="/", env=environment
    )
    if rung == 1 and "layer 'namespaces' failed" in done.stderr:
        pytest.skip("user namespaces are not allowed here; see `tirage doctor`")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "landlock" in done.stdout


@pytest.mark.parametrize("rung", [1, 2])
def test_the_self_check_as_an_ordinary_user(rung: int) -> None:
    command = ordinary_python()
    if not command:
        pytest.skip("no Python >= 3.11 that an ordinary user may run; install one outside of root's home, and setpriv (util-linux)")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, str(PROGRAM), str(rung), "suite"], capture_output=True, text=True, timeout=280, check=False, cwd="/", env=environment
    )
    if rung == 1 and "layer 'namespaces' failed" in done.stderr:
        pytest.skip("user namespaces are not allowed here; see `tirage doctor`")
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["all"] > 110
    assert told["bad"] == []


@pytest.mark.parametrize("rung", [1, 2])
async def test_three_hundred_sessions_leak_nothing(rung: int) -> None:
    async with open_sandbox(SandboxConfig(preload=(), first_rung=rung, min_rung=rung)) as sandbox:

        async def use() -> None:
            session = await sandbox.open()
            await session.run("x = 1")
            twin = await session.branch()
            await asyncio.gather(twin.run("x"), session.run("import os; os._exit(1)"))
            await session.close()
            await twin.close()

        await use()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(30):
            await asyncio.gather(*(use() for _ in range(10)))
        # Boxes are replaced as they fill; the last few may still wait for their end, on a busy machine for a while.
        for _ in range(200):
            if len(os.listdir("/proc/self/fd")) <= before + 2 * len(sandbox.boxes):
                break
            await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) <= before + 2 * len(sandbox.boxes)
        assert all(not box.guests for box in sandbox.boxes)


async def test_nothing_is_left_after_close() -> None:
    sandbox = open_sandbox(SandboxConfig(preload=()))
    before, mine = len(os.listdir("/proc/self/fd")), processes_below(os.getpid())
    async with sandbox:
        session = await sandbox.open()
        await session.run("x = 1")
        await session.run("x = 2")
        await session.run("x = 3")
    await asyncio.sleep(0)
    assert processes_below(os.getpid()) <= mine
    assert len(os.listdir("/proc/self/fd")) == before
