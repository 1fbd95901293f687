"""What only containers have; tests/sandbox/test_session.py and test_hostile.py run in them too."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
import pytest_asyncio

from tests.processes import interruptible
from tests.sandbox.docker.pipe import Pipe
from tests.sandbox.docker_engine import IMAGE, api, containers, forget_unconnected, missing, running
from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox import DockerConfig, ExecFailure, Limits, Session, open_sandbox
from tirage.sandbox.docker import sandbox as back_end
from tirage.sandbox.docker.engine import BOOT
from tirage.sandbox.docker.link import Stream
from tirage.sandbox.docker.sandbox import DockerSandbox, DockerSession

ROOT = Path(__file__).parents[3]
needs_engine = pytest.mark.skipif(bool(missing()), reason=missing())
pytestmark = [pytest.mark.asyncio(loop_scope="module")]
SMALL = DockerConfig(image=IMAGE, memory_mb=300, scratch_mb=32)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[DockerSandbox]:
    if missing():
        pytest.skip(missing())
    async with open_sandbox(SMALL) as place:
        yield place


@pytest_asyncio.fixture(loop_scope="module")
async def session(sandbox: DockerSandbox) -> AsyncIterator[DockerSession]:
    opened = await sandbox.open()
    yield opened
    await opened.close()


def container(session: DockerSession) -> str:
    return session._box.launched.id


def process(session: DockerSession, word: str) -> int:
    """Pid on this machine of the container's process whose command line has `word`."""
    client = api()
    try:
        table = client.top(container(session), ps_args="-eo pid,args")["Processes"]
    finally:
        client.close()
    return next(int(row[0]) for row in table if word in row[1])


async def gone(name: str) -> bool:
    """Whether a container disappears within ten seconds."""
    client = api()
    try:
        for _ in range(200):
            if not client.containers(all=True, filters={"id": name}):
                return True
            await asyncio.sleep(0.05)
        return False
    finally:
        client.close()


async def value(session: Session, code: str) -> str | None:
    result = await session.run(code)
    assert result.failure is None, result
    return result.value


async def test_the_container_is_as_small_as_it_can_be(sandbox: DockerSandbox, session: DockerSession) -> None:
    client = api()
    facts = client.inspect_container(container(session))
    client.close()
    host = facts["HostConfig"]
    assert (host["NetworkMode"], host["IpcMode"], host["ReadonlyRootfs"], host["Privileged"]) == ("none", "none", True, False)
    assert host["Memory"] == host["MemorySwap"] == 300 << 20
    assert (host["PidsLimit"], host["CapDrop"], host["CapAdd"]) == (1024, ["ALL"], None)
    assert (host["SecurityOpt"], host["AutoRemove"]) == (["no-new-privileges"], True)
    assert (host["LogConfig"]["Type"], host["Binds"], list(host["Tmpfs"])) == ("none", None, ["/tmp"])
    assert facts["Mounts"] == []
    assert int(facts["Config"]["User"].split(":")[0]) > 60_000
    offered = sandbox.capabilities
    assert (offered.backend, offered.rung, offered.can_branch, offered.exact) == ("docker", 3, True, True)
    assert {"container", "no-network", "read-only-root", "cgroup", "no-new-privileges", "rlimits", "seccomp"} <= set(offered.layers)
    assert (await session.run("1")).layers == offered.layers


@needs_engine
async def test_what_an_image_asks_for_is_overruled() -> None:
    client = api()
    made = client.create_container(IMAGE)["Id"]
    changes = ["VOLUME /data", 'ENTRYPOINT ["false"]', "HEALTHCHECK CMD false", "ENV PYTHONHOME=/x", "USER root"]
    client.commit(made, "tirage-test-greedy", changes=changes)
    client.remove_container(made)
    try:
        async with open_sandbox(DockerConfig(image="tirage-test-greedy")) as place:
            session = await place.open()
            assert await value(session, "import os; os.getuid() > 60_000") == "True"
            facts = client.inspect_container(container(session))
            assert (facts["Mounts"], facts["Config"]["Healthcheck"]) == ([], {"Test": ["NONE"]})
    finally:
        client.remove_image("tirage-test-greedy", force=True)
        client.close()


async def test_even_the_containers_root_can_write_and_reach_nothing(session: DockerSession) -> None:
    probe = "import socket; print(socket.if_nameindex())\ntry: open('/usr/x', 'w')\nexcept OSError as e: print(e.strerror)"
    command = ["docker", "exec", "--user", "0", container(session), "python3", "-c", probe]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[(1, 'lo')]\nRead-only file system\n"


async def test_reseeded_branches_draw_differently(session: DockerSession) -> None:
    await session.run("import random; random.random()")
    twins = [await session.branch(reseed=seed) for seed in (1, 2, 1)]
    drawn = [await value(twin, "random.random()") for twin in twins]
    assert drawn[0] == drawn[2] != drawn[1]
    for twin in twins:
        await twin.close()


CHILDREN_THAT_EAT = """
import os, time
children = []
for _ in range(5):
    child = os.fork()
    if not child:
        block = bytearray(120 << 20)
        time.sleep(1)
        os._exit(0)
    children.append(child)
[os.waitpid(child, 0)[1] for child in children]
"""


async def test_memory_is_bounded_over_all_processes_and_costs_only_the_cell(session: DockerSession) -> None:
    twin = await session.branch()
    await session.run("x = 7")
    ended = await value(twin, CHILDREN_THAT_EAT)
    assert ended is not None
    assert "9" in ended
    assert (await session.run("b = bytearray(290 << 20)")).failure is ExecFailure.MEMORY
    assert await value(session, "x") == "7"
    await twin.close()


async def test_scratch_is_bounded_over_all_files(session: DockerSession) -> None:
    result = await session.run("for n in range(100): open(f'f{n}', 'wb').write(bytes(1 << 20))", Limits(wall_s=30))
    assert result.failure is ExecFailure.DISK


async def test_the_container_goes_with_its_last_session(sandbox: DockerSandbox) -> None:
    first = await sandbox.open()
    name = container(first)
    twin = await first.branch()
    await first.close()
    with pytest.raises(SandboxError, match="closed"):
        await first.run("1")
    assert await value(twin, "1+1") == "2"
    await twin.close()
    assert name not in containers()
    await twin.close()


@needs_engine
async def test_nothing_is_left_after_close() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async with open_sandbox(SMALL) as place:
        await place.open()
    before, others = descriptors(), set(containers())
    async with open_sandbox(SMALL) as place:
        sessions = await asyncio.gather(*(place.open() for _ in range(4)))
        running_cell = asyncio.create_task(sessions[0].run("import time; time.sleep(60)"))
        await asyncio.sleep(0.2)
        assert len(set(containers()) - others) == 4
    with pytest.raises(SandboxError, match="closed"):
        await running_cell
    with pytest.raises(SandboxError, match="closed"):
        await place.open()
    assert set(containers()) == others
    assert descriptors() <= before


@needs_engine
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.25, 0.4])
async def test_a_cancelled_open_leaves_no_container(after_s: float) -> None:
    others = set(containers())
    async with open_sandbox(SMALL) as place:
        opening = asyncio.create_task(place.open())
        await asyncio.sleep(after_s)
        opening.cancel()
        done = await asyncio.gather(opening, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError | DockerSession)
    assert set(containers()) == others


@needs_engine
async def test_a_sandbox_closed_while_it_opens_leaves_no_container() -> None:
    others = set(containers())
    place = open_sandbox(SMALL)
    opening = [asyncio.create_task(place.open()) for _ in range(3)]
    await asyncio.sleep(0.1)
    await place.close()
    for task in opening:
        with pytest.raises(SandboxError, match="closed"):
            await task
    assert set(containers()) <= others


async def test_a_cancelled_branch_leaves_no_process(session: DockerSession) -> None:
    await session.run("x = 1")
    before = len(running(container(session)))
    for delay_s in (0.0, 0.0005, 0.001, 0.002, 0.004):
        branching = asyncio.create_task(session.branch())
        await asyncio.sleep(delay_s)
        branching.cancel()
        done = await asyncio.gather(branching, return_exceptions=True)
        if isinstance(done[0], DockerSession):
            await done[0].close()
    for _ in range(100):
        if len(running(container(session))) <= before:
            break
        await asyncio.sleep(0.05)
    assert len(running(container(session))) <= before
    assert await value(session, "x") == "1"


HOST = f"""
import asyncio
from tirage.sandbox import DockerConfig, Limits, open_sandbox

async def main():
    async with open_sandbox(DockerConfig(image={IMAGE!r})) as sandbox:
        idle, busy = await asyncio.gather(sandbox.open(), sandbox.open())
        print("ready", flush=True)
        await busy.run("while True: pass", Limits(wall_s=600))

asyncio.run(main())
"""


@needs_engine
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill", "term", "interrupt"])
async def test_a_killed_host_leaves_no_container(number: int) -> None:
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, preexec_fn=interruptible
    )
    assert host.stdout is not None
    assert await host.stdout.readline() == b"ready\n"
    names = containers(host.pid)
    host.send_signal(number)
    await asyncio.wait_for(host.communicate(), 20)
    assert len(names) == 2
    assert await gone(names[0])
    assert await gone(names[1])


async def test_a_hung_container_is_killed_at_the_hosts_own_deadline(sandbox: DockerSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await sandbox.open()
    twin = await session.branch()
    name = container(session)
    monkeypatch.setattr(back_end, "PATIENCE_S", 0.5)
    os.kill(process(session, "relay.main"), signal.SIGSTOP)
    started = time.monotonic()
    waiting = asyncio.create_task(twin.run("1", Limits(wall_s=60)))
    with pytest.raises(SandboxError, match=r"did not answer 'run' within 1 s and was killed"):
        await session.run("1", Limits(wall_s=0.2))
    assert time.monotonic() - started < 30
    with pytest.raises(SandboxError, match="did not answer"):
        await waiting
    with pytest.raises(SandboxError, match="did not answer"):
        await twin.branch()
    await session.close()
    assert await gone(name)


async def test_a_dead_container_is_an_error_of_all_its_sessions(sandbox: DockerSandbox) -> None:
    session, other = await sandbox.open(), await sandbox.open()
    twin = await session.branch()
    waiting = asyncio.create_task(twin.run("import time; time.sleep(60)"))
    await asyncio.sleep(0.2)
    os.kill(process(session, "relay.main"), signal.SIGKILL)
    for attempt in (waiting, session.run("1"), session.fetch("x"), twin.branch()):
        with pytest.raises(SandboxError, match=rf"image '{IMAGE}' died \(exit code 137\); open a new session"):
            await attempt
    await session.close()
    assert await value(other, "1") == "1"
    await other.close()


async def test_a_container_that_starves_says_so(sandbox: DockerSandbox) -> None:
    session = await sandbox.open()
    # The relay holds a file while it writes it into the session, and this one is larger than the container's memory.
    with pytest.raises(SandboxError, match=r"died \(exit code 137, out of memory\)"):
        await session.put("large", bytes(310 << 20))
    await session.close()


@needs_engine
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": f"{IMAGE}s"}, rf"no image '{IMAGE}s': did you mean {IMAGE}.*docker pull, docker import"),
        ({"image": "no/such:thing"}, "no image 'no/such:thing': get it with docker pull"),
        ({"runtime": "runsc-x"}, r"no runtime 'runsc-x', only .*runc.*daemon.json"),
        ({"python": "python9"}, r"image '.*' cannot run 'python9': .*not found.*set the configuration's `python`"),
        ({"python": "/bin/true"}, r"exit code 0\); is the configuration's `python` a Python"),
        ({"python": "/bin/echo"}, "broke the protocol"),
        ({"preload": ("no_such_module",)}, r"no_such_module.*leave it out of `preload`"),
    ],
)
async def test_what_cannot_be_had_is_one_line_with_the_remedy(change: dict[str, object], message: str) -> None:
    others = set(containers())
    with pytest.raises(SandboxError, match=message) as caught:
        async with open_sandbox(DockerConfig(**{"image": IMAGE, **change})) as place:  # type: ignore[arg-type]
            await place.open()
    assert "\n" not in str(caught.value)
    assert set(containers()) <= others


@pytest.mark.parametrize("url", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1", "nonsense://"])
async def test_no_engine_is_one_line_with_the_remedy(url: str) -> None:
    with pytest.raises(SandboxError, match=r"no Docker engine answers at .*start dockerd.*DOCKER_HOST") as caught:
        async with open_sandbox(DockerConfig(image=IMAGE, url=url)):
            pass
    assert "\n" not in str(caught.value)
    del caught
    forget_unconnected()


async def test_the_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(ConfigError, match="pip install 'docker"):
        async with open_sandbox(SMALL):
            pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("import sys; sys.version_info = (3, 9, 2)", "its Python is 3.9; take an image with Python 3.11 or later\n"),
        ("import sys; sys.modules['ctypes'] = None", "its Python is incomplete (import of ctypes halted; None in sys.modules); take"),
        ("", "the host let go\n"),
    ],
)
async def test_the_boot_program_says_what_the_image_lacks(change: str, message: str) -> None:
    command = [sys.executable, "-I", "-c", change + BOOT]
    done = await asyncio.to_thread(
        subprocess.run, command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(message)


class Proxy:
    """An engine in between, which can die."""

    def __init__(self) -> None:
        self.writers: set[asyncio.StreamWriter] = set()
        self.server: asyncio.Server | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection("/var/run/docker.sock")
        self.writers |= {writer, far_writer}
        await asyncio.gather(self.copy(reader, far_writer), self.copy(far_reader, writer), return_exceptions=True)

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    def die(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()


@asynccontextmanager
async def engine_at(kind: str, folder: Path) -> AsyncIterator[tuple[Proxy, str]]:
    proxy = Proxy()
    if kind == "unix":
        proxy.server = await asyncio.start_unix_server(proxy.serve, folder / "engine.sock")
        url = f"unix://{folder}/engine.sock"
    else:
        proxy.server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        url = f"tcp://127.0.0.1:{proxy.server.sockets[0].getsockname()[1]}"
    yield proxy, url
    proxy.die()
    await asyncio.sleep(0.1)


@needs_engine
@pytest.mark.skipif(not os.path.exists("/var/run/docker.sock"), reason="the proxy needs the engine's socket at its usual place")
@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_remote_engine_works_until_it_dies(kind: str, tmp_path: Path) -> None:
    others = set(containers())
    async with engine_at(kind, tmp_path) as (proxy, url), open_sandbox(DockerConfig(image=IMAGE, url=url)) as place:
        session = await place.open()
        twin = await session.branch()
        assert await value(twin, "1+1") == "2"
        waiting = asyncio.create_task(session.run("import time; time.sleep(60)"))
        await asyncio.sleep(0.2)
        proxy.die()
        with pytest.raises(SandboxError, match="does not answer any more") as caught:
            await waiting
        with pytest.raises(SandboxError, match="does not answer any more"):
            await twin.run("1")
    for name in set(containers()) - others:
        assert await gone(name)
    del caught
    forget_unconnected()


REACH_THE_CHANNEL = """
import os
reached = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
for pid in filter(str.isdigit, os.listdir("/proc")):
    for fd in range(20):
        try:
            opened = os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
            reached.append(os.readlink(f"/proc/self/fd/{opened}"))
            os.close(opened)
        except OSError:
            pass
[name for name in reached if "pipe:" in name]
"""


async def test_no_cell_can_write_to_the_host(session: DockerSession) -> None:
    assert await value(session, REACH_THE_CHANNEL) == "[]"


NO_LANDLOCK = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["landlock_create_ruleset", "unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
}


@needs_engine
async def test_without_landlock_the_container_is_the_boundary_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = docker.APIClient.create_host_config

    def denying(self: docker.APIClient, **options: Any) -> object:
        options["security_opt"].append(f"seccomp={json.dumps(NO_LANDLOCK)}")
        return real(self, **options)

    monkeypatch.setattr(docker.APIClient, "create_host_config", denying)
    async with open_sandbox(SMALL) as place:
        session = await place.open()
        offered = place.capabilities
        assert "landlock" not in offered.layers
        assert {"container", "read-only-root", "seccomp", "rlimits", "privileges"} <= set(offered.layers)
        assert any("landlock" in note for note in offered.notes)
        await session.run("x = 1")
        twin = await session.branch()
        assert await value(twin, "x += 1; x") == "2"
        assert (await twin.run("open('/usr/x', 'w')")).error_text == "[Errno 30] Read-only file system: '/usr/x'"
        for attack in (REACH_THE_CHANNEL, "import os\nfor n in (2, 9, 15, 19): os.kill(1, n)"):
            assert await value(twin, attack) in ("[]", None)
        assert (await twin.run("while True: pass", Limits(wall_s=0.3))).failure is ExecFailure.TIMEOUT_SOFT
        assert (await twin.run("import os; os._exit(1)")).failure is ExecFailure.EXIT
        assert await value(session, "x") == "1"


@needs_engine
async def test_streams_that_are_no_sockets_are_read_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(back_end, "Stream", lambda raw: Stream(blocking(raw)))
    async with open_sandbox(SMALL) as place:
        session = await place.open()
        await session.put("f", bytes(300_000))
        twin = await session.branch()
        assert await value(twin, "len(open('f', 'rb').read())") == "300000"


def blocking(raw: object) -> Pipe:
    raw.setblocking(True)  # type: ignore[attr-defined]
    return Pipe(raw)  # type: ignore[arg-type]


WITHOUT = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
from tirage.sandbox import DockerConfig, open_sandbox
from tirage.sandbox.docker.engine import archive
print(type(open_sandbox(DockerConfig(image="x"))).__name__, len(archive()) > 50_000)
"""


async def test_the_module_needs_nothing_of_unix() -> None:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert done.stdout == "DockerSandbox True\n"
