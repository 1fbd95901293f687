"""Every hostile cell runs in a branch; afterwards the origin, a sibling and the host are as before and nothing is left running."""

import asyncio
import platform
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.sandbox.docker_engine import running
from tirage.sandbox import Sandbox
from tirage.sandbox.docker.sandbox import DockerSandbox
from tirage.testing.bait import bait
from tirage.testing.hostile import ATTACKS, Attack
from tirage.testing.suites.sandbox_promises import PROMISES
from tirage.testing.suites.sandboxes import Family, check_promise

FAMILY = 5
"""Processes of a container with two idle sessions: relay, template, zygote, and one of each session."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the attacks use x86-64 system call numbers; run on x86-64"),
]


MOST_DEAD = 40


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    with bait() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def family(sandbox: Sandbox) -> AsyncIterator[Family]:
    opened = await Family.open(sandbox)
    yield opened
    await opened.close()


async def test_table_is_large_enough() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
async def test_contained(sandbox: Sandbox, family: Family, places: dict[str, str], attack: Attack) -> None:
    finding = await family.suffer(attack, places, "", "")
    assert finding.kept, finding
    # What is not contained is so by declaration, with the reason.
    assert finding.status == "contained" or (sandbox.capabilities.rung not in attack.rungs and finding.detail)
    await _nothing_runs(sandbox)


@pytest.mark.parametrize("name", PROMISES)
async def test_promise(sandbox: Sandbox, name: str) -> None:
    (finding,) = [await check_promise(sandbox, name, PROMISES[name])]
    assert finding.kept, finding


async def _nothing_runs(sandbox: Sandbox) -> None:
    """In the end each box holds no process but those the host knows. On a slow disk the one that deletes a branch's files takes a while."""
    for _ in range(1200):
        extra = unknown_processes(sandbox)
        if not extra and not many_dead(sandbox):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"left running: {extra}")


def unknown_processes(sandbox: Sandbox) -> list[int]:
    """Processes of boxes that are none of the host's guests; in a container, those past what the family alone takes there."""
    if isinstance(sandbox, DockerSandbox):
        return [pid for box in sandbox.boxes for pid in running(box.launched.id)[FAMILY:]]
    return [pid for box in sandbox.boxes for pid in box_processes(box.zygote.pid) if pid not in {g.pid for g in box.guests}]  # type: ignore[attr-defined]


def many_dead(sandbox: Sandbox) -> bool:
    """True while hundreds that ended are not collected: they fill the process limit of the next attack."""
    if isinstance(sandbox, DockerSandbox):
        return False
    return any(len(box_processes(box.zygote.pid, dead=True)) >= len(box.guests) + MOST_DEAD for box in sandbox.boxes)  # type: ignore[attr-defined]


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
