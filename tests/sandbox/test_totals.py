"""What a box takes in all is bounded, by a cgroup or by the watch, and a cell that takes more costs only itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tirage.core.errors import ConfigError
from tirage.sandbox import ExecFailure, Limits, SandboxConfig, open_sandbox, totals
from tirage.sandbox.fork import ForkSandbox

HOGS = """
import os, time
for _ in range(6):
    if not os.fork():
        block = bytearray(300 << 20)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""
GROWING = "import time\nblocks = []\nwhile True:\n    blocks.append(bytearray(20 << 20)); time.sleep(0.01)"


@pytest_asyncio.fixture(params=["cgroup-1", "cgroup-2", "watch-1", "watch-2"])
async def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ForkSandbox]:
    kind, rung = request.param.split("-")
    if kind == "watch":
        monkeypatch.setattr(totals, "make", lambda *_, **__: None)
    config = SandboxConfig(preload=(), first_rung=int(rung), min_rung=int(rung), memory_mb=1000, total_mb=800)
    async with open_sandbox(config) as sandbox:
        if kind not in sandbox.capabilities.layers:
            pytest.skip("this host lets no cgroup be made; run as root, or where one is delegated")
        yield sandbox
    assert not [path for path in groups() if f"-{os.getpid()}-" in path.name]


def groups() -> list[Path]:
    return [path for path in totals.ROOT.rglob(f"{totals.PREFIX}*") if path.is_dir()]


async def test_children_that_together_take_too_much_are_stopped(place: ForkSandbox) -> None:
    session = await place.open()
    await session.run("kept = 1")
    sibling = await session.branch()
    result = await session.run(HOGS, Limits(wall_s=2.0))
    group = place.boxes[0].group
    assert group.oom_killed() if group is not None else result.failure is ExecFailure.MEMORY
    assert (await session.run("kept")).value == "1"
    assert (await sibling.run("kept + 1")).value == "2"
    for _ in range(100):
        if all(len(box.guests) <= 4 for box in place.boxes):
            break
        await asyncio.sleep(0.05)
    await session.close()
    await sibling.close()


async def test_a_cell_that_takes_too_much_is_told_so(place: ForkSandbox) -> None:
    session = await place.open()
    await session.run("kept = 1")
    result = await session.run(GROWING, Limits(wall_s=20.0))
    assert result.failure is ExecFailure.MEMORY, result
    assert "800 MB" in result.error_text
    assert (await session.run("kept")).value == "1"
    await session.close()


def test_groups_of_dead_hosts_are_swept(tmp_path: Path) -> None:
    dead, alive = tmp_path / f"{totals.PREFIX}999999999-a", tmp_path / f"{totals.PREFIX}{os.getpid()}-b"
    dead.mkdir()
    alive.mkdir()
    totals._sweep(tmp_path)
    assert (dead.exists(), alive.exists()) == (False, True)


def test_a_total_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="total_mb"):
        SandboxConfig(total_mb=0)
