"""The jupyter sandbox with real kernels: displays, interrupts, replay, isolation, and nothing left behind."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox import ExecFailure, JupyterConfig, Limits, Session, StateKind, open_sandbox
from tirage.sandbox.jupyter.kernel_files import read_beneath, write_beneath
from tirage.sandbox.jupyter.sandbox import JupyterSandbox
from tirage.tools.bridge import Bridge

pytest.importorskip("ipykernel", reason="install the extra: pip install 'tirage[jupyter]'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are confined on Linux only")
module_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[JupyterSandbox]:
    os.environ["TIRAGE_SECRET"] = "secret"
    async with open_sandbox(JupyterConfig()) as place:
        yield place
    del os.environ["TIRAGE_SECRET"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def session(sandbox: JupyterSandbox) -> AsyncIterator[Session]:
    opened = await sandbox.open()
    yield opened
    await opened.close()


async def value(session: Session, code: str) -> str | None:
    result = await session.run(code)
    assert result.failure is None, result
    return result.value


@module_loop
async def test_state_output_and_layers(session: Session, sandbox: JupyterSandbox) -> None:
    result = await session.run("import sys\nx = 41\nprint('out')\nprint('err', file=sys.stderr)\nx + 1")
    assert (result.stdout, result.stderr, result.value, result.failure, result.displays) == ("out\n", "err\n", "42", None, ())
    assert await value(session, "x") == "41"
    assert {"rlimits", "privileges", "landlock", "seccomp"} <= set(result.layers)
    assert sandbox.capabilities.rung == 2
    assert not sandbox.capabilities.exact


@module_loop
async def test_rich_displays_are_named_as_jupyter_names_them(session: Session) -> None:
    code = "from IPython.display import HTML, SVG, display\ndisplay(HTML('<b>x</b>'))\ndisplay(SVG('<svg></svg>'))\nHTML('<i>y</i>')"
    result = await session.run(code)
    assert [sorted(item) for item in result.displays] == [["text/html"], ["image/svg+xml"], ["text/html"]]
    assert result.displays[0]["text/html"] == "<b>x</b>"
    assert result.value == "<IPython.core.display.HTML object>"
    plot = await session.run("import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])", Limits(wall_s=60))
    (shown,) = plot.displays
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")


@module_loop
@pytest.mark.parametrize(
    ("code", "failure", "name", "line"),
    [
        ("a = 1\n1 / 0", ExecFailure.ERROR, "ZeroDivisionError", 2),
        ("a = 1\n1 +", ExecFailure.SYNTAX, "SyntaxError", 2),
        ("while True: pass", ExecFailure.TIMEOUT_SOFT, "TimeoutError", None),
        ("import numpy; numpy.zeros(9 << 30, dtype='u1')", ExecFailure.MEMORY, "MemoryError", 1),
        ("while True: print('x' * 1000)", ExecFailure.OUTPUT, "", None),
        ("input()", ExecFailure.ERROR, "StdinNotImplementedError", None),
        ("import os; print('TIRAGE_SECRET' in os.environ); open('/etc/shadow')", ExecFailure.ERROR, "PermissionError", 1),
        ("import socket; socket.create_connection(('127.0.0.1', 22), 1)", ExecFailure.ERROR, "OSError", None),
        ("import os; os.kill(os.getppid(), 9)", ExecFailure.ERROR, "PermissionError", 1),
        ("import os; os.listdir('/root')", ExecFailure.ERROR, "PermissionError", 1),
    ],
)
async def test_failures_that_the_kernel_survives(session: Session, code: str, failure: ExecFailure, name: str, line: int | None) -> None:
    assert await value(session, "kept = 7; kept") == "7"
    result = await session.run(code, Limits(wall_s=1.0 if "while" in code else 20.0, grace_s=3.0, output_bytes=20_000))
    assert result.failure is failure, result
    assert name in result.error_name
    assert line is None or result.error_line == line, result.traceback
    assert "\x1b" not in result.traceback
    assert "True" not in result.stdout
    assert len(result.stdout) <= 20_000
    assert await value(session, "kept") == "7"


@module_loop
@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("sum(range(10**12))", ExecFailure.TIMEOUT_KILLED),
        ("import os; os._exit(3)", ExecFailure.EXIT),
        ("import ctypes; ctypes.string_at(0)", ExecFailure.SIGNAL),
    ],
)
async def test_a_cell_that_ends_the_kernel_costs_a_replay(sandbox: JupyterSandbox, code: str, failure: ExecFailure) -> None:
    session = await sandbox.open()
    await session.run("x = [1]\nopen('f', 'w').write('1')")
    await session.put("given.txt", b"put")
    result = await session.run("x.append(2)\n" + code, Limits(wall_s=1.0))
    assert result.failure is failure, result
    after = await session.run("x, open('f').read(), open('given.txt').read()")
    assert (after.value, after.state) == ("([1], '1', 'put')", StateKind.REPLAYED)
    await session.close()


@module_loop
async def test_a_branch_is_a_replay_and_says_so(sandbox: JupyterSandbox) -> None:
    session = await sandbox.open()
    await session.run("import random\nrandom.seed(1)\nv = [0]")
    left, right = await session.branch(), await session.branch(reseed=5)
    await left.run("v.append('L')")
    drawn = await right.run("v, random.random()")
    assert drawn.state is StateKind.REPLAYED
    assert drawn.value == "([0], 0.6229016948897019)"
    assert await value(session, "v, random.random()") == "([0], 0.13436424411240122)"
    await session.run("import time\ntime.time_ns()")
    late = await session.branch()
    assert (await late.run("1")).state is StateKind.DIVERGED
    for item in (session, left, right, late):
        await item.close()
        await item.close()
    with pytest.raises(SandboxError, match="closed"):
        await session.run("1")
    with pytest.raises(SandboxError, match="closed"):
        await session.branch()


@module_loop
async def test_cancelled_run_takes_the_cell_back(sandbox: JupyterSandbox) -> None:
    session = await sandbox.open()
    await session.run("w = 1")
    task = asyncio.create_task(session.run("w = 2\nimport time; time.sleep(60)"))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await value(session, "w") == "1"
    await session.close()


@module_loop
async def test_files_come_and_go_through_no_link(session: Session) -> None:
    await session.put("in/data.bin", b"\0" * 100_000)
    assert await value(session, "len(open('in/data.bin', 'rb').read())") == "100000"
    await session.run("import os\nos.symlink('/etc', 'away')\nos.symlink('/etc/shadow', 'link')\nos.mkfifo('pipe')")
    for path in ("link", "away/shadow", "pipe", "missing", "in", "../x", "/etc/passwd", ""):
        with pytest.raises(SandboxError, match="session"):
            await session.fetch(path)
    for path in ("away/x", "link", "../x"):
        with pytest.raises(SandboxError, match="session"):
            await session.put(path, b"x")
    assert await session.fetch("in/data.bin") == b"\0" * 100_000


def test_paths_are_opened_step_by_step(tmp_path: Path) -> None:
    write_beneath(tmp_path, "a/b/c", b"1", -1)
    assert read_beneath(tmp_path, "a/b/c") == b"1"
    (tmp_path / "out").symlink_to(tmp_path.parent)
    with pytest.raises(SandboxError):
        write_beneath(tmp_path, "out/x", b"1", -1)


@module_loop
async def test_an_unknown_kernel_is_told_with_those_installed() -> None:
    with pytest.raises(ConfigError, match="did you mean 'python3'"):
        await open_sandbox(JupyterConfig(kernel="pyton3")).open()


@module_loop
async def test_sessions_leave_nothing(sandbox: JupyterSandbox) -> None:
    async def use() -> None:
        session = await sandbox.open()
        await session.run("x = 1")
        await session.close()

    def held() -> tuple[int, int]:
        files = len(list(Path("/tmp").glob(f"tirage-{os.getpid()}-*")))
        return len(os.listdir("/proc/self/fd")), files

    await use()
    before = held()
    for _ in range(5):
        await asyncio.gather(*(use() for _ in range(4)))
    after = held()
    assert after[0] <= before[0] + 4
    assert after[1] <= before[1]


def test_a_killed_host_leaves_no_kernel() -> None:
    program = """
import asyncio
from tirage.sandbox import JupyterConfig, open_sandbox

async def main():
    async with open_sandbox(JupyterConfig()) as place:
        session = await place.open()
        print((await session.run("import os; os.getpid()")).value, flush=True)
        await session.run("import time; time.sleep(600)")

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as host:
        assert host.stdout is not None
        kernel = int(host.stdout.readline())
        assert os.path.exists(f"/proc/{kernel}")
        host.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while os.path.exists(f"/proc/{kernel}") and time.monotonic() < until:
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{kernel}")


@module_loop
async def test_calls_of_the_host_are_declined(session: Session) -> None:
    with pytest.raises(ConfigError, match="the jupyter sandbox lets no cell call functions of the host; use the fork back end"):
        await session.run("1", calls=Bridge({}))
