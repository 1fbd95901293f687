"""Every hostile cell runs in a branch; afterwards the origin, a sibling and the host are as before and nothing is left running."""

import asyncio
import os
import platform
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tirage.sandbox import Limits, Sandbox, Session
from tirage.sandbox.docker import DockerSandbox

from .docker_engine import running
from .hostile import ATTACKS, Attack

FAMILY = 5
"""Processes of a container with two idle sessions: relay, template, zygote, and one of each session."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the attacks use x86-64 system call numbers; run on x86-64"),
]


MOST_DEAD = 40


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the attacks are after: a file, sockets and a variable of the host."""
    folder = tmp_path_factory.mktemp("canary")
    for part in (folder, folder.parent, folder.parent.parent):
        part.chmod(0o755)
    canary = folder / "canary.txt"
    canary.write_text("secret")
    named, abstract, tcp = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()
    name = f"tirage-canary-{os.getpid()}"
    named.bind(f"{canary}.sock")
    os.chmod(f"{canary}.sock", 0o777)
    abstract.bind(f"\0{name}")
    tcp.bind(("127.0.0.1", 0))
    for listener in (named, abstract, tcp):
        listener.listen(8)
    hostdir = Path("/tmp") / name
    hostdir.mkdir()
    os.environ["TIRAGE_CANARY"] = "secret"
    yield {"CANARY": str(canary), "ABSTRACT": name, "PORT": str(tcp.getsockname()[1]), "HOSTDIR": name}
    del os.environ["TIRAGE_CANARY"]
    hostdir.rmdir()
    for listener in (named, abstract, tcp):
        listener.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def family(sandbox: Sandbox) -> AsyncIterator[tuple[Session, Session]]:
    """A node with state, and a sibling of all that will be attacked from."""
    origin = await sandbox.open()
    assert (await origin.run("state = ['intact']\nopen('file', 'w').write('intact')")).failure is None
    witness = await origin.branch()
    assert (await witness.run("state.append('witness')")).failure is None
    yield origin, witness
    await origin.close()
    await witness.close()


async def test_table_is_large_enough() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 70


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
async def test_contained(sandbox: Sandbox, family: tuple[Session, Session], bait: dict[str, str], attack: Attack) -> None:
    # A container bounds what rung 1 bounds.
    if not isinstance(sandbox, DockerSandbox) and sandbox.capabilities.rung not in attack.rungs:
        pytest.skip(attack.reason)
    origin, witness = family
    victim = await _branch(origin)
    code = attack.code
    for key, value in bait.items():
        code = code.replace(f"@{key}@", value)
    result = await asyncio.wait_for(victim.run(code, Limits(wall_s=attack.wall_s, output_bytes=50_000)), 60)
    assert "ESCAPED" not in result.stdout + result.stderr + (result.value or ""), result
    assert result.failure in attack.ends, result
    assert len(result.value or "") < 50_000
    await victim.close()
    for session, expected in ((origin, "(['intact'], 'intact')"), (witness, "(['intact', 'witness'], 'intact')")):
        probe = await _branch(session)
        shown = await probe.run("state, open('file').read()")
        assert shown.value == expected, shown
        await probe.close()
    await _nothing_runs(sandbox)


async def _branch(session: Session) -> Session:
    """A branch; after a process attack the sweep may need a moment to free the process table."""
    for _ in range(50):
        try:
            return await session.branch()
        except Exception as error:
            last = error
            await asyncio.sleep(0.1)
    raise last


async def _nothing_runs(sandbox: Sandbox) -> None:
    """Within a few seconds each box holds no process but those the host knows."""
    for _ in range(100):
        extra = unknown_processes(sandbox)
        if not extra and not many_dead(sandbox):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"left running: {extra}")


def unknown_processes(sandbox: Sandbox) -> list[int]:
    """Processes of boxes that are none of the host's guests; in a container, those past what the family alone takes there."""
    if isinstance(sandbox, DockerSandbox):
        return [pid for box in sandbox.boxes for pid in running(box.launched.id)[FAMILY:]]
    return [pid for box in sandbox.boxes for pid in box_processes(box.zygote.pid) if pid not in {g.pid for g in box.guests}]


def many_dead(sandbox: Sandbox) -> bool:
    """True while hundreds that ended are not collected: they fill the process limit of the next attack."""
    if isinstance(sandbox, DockerSandbox):
        return False
    return any(len(box_processes(box.zygote.pid, dead=True)) >= len(box.guests) + MOST_DEAD for box in sandbox.boxes)


def box_processes(zygote: int, *, dead: bool = False) -> list[int]:
    """Living processes below the zygote; with `dead`, those that ended and were not collected too."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in ("X" if dead else "ZX"):
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [zygote]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found
