"""The pool: warm sessions, bounded leases, dead ones replaced, failures told."""

import asyncio
import os
import sys

import pytest

from tirage.core.errors import SandboxError
from tirage.sandbox import ExecResult, Pool, SandboxConfig, Session, open_sandbox
from tirage.testing.sandbox import TableSandbox, TableSession


def table() -> TableSandbox:
    return TableSandbox(lambda code: ExecResult(value=code))


async def test_sessions_are_opened_ahead_and_replaced() -> None:
    sandbox = table()
    async with Pool(sandbox, warm=3) as pool:
        await asyncio.sleep(0)
        assert len(sandbox.sessions) == 3
        first = await pool.open()
        await asyncio.sleep(0)
        assert len(sandbox.sessions) == 4
        assert (await first.run("x")).value == "x"
        assert pool.capabilities == sandbox.capabilities
        await first.close()
        await first.close()
    assert all(session.closed for session in sandbox.sessions)
    with pytest.raises(SandboxError, match="closed"):
        await pool.open()


async def test_the_limit_counts_problems_not_branches() -> None:
    async with Pool(table(), warm=0, limit=2) as pool:
        one, two = await pool.open(), await pool.open()
        twin = await one.branch()
        third = asyncio.ensure_future(pool.open())
        await asyncio.sleep(0.01)
        assert not third.done()
        await one.close()
        await asyncio.sleep(0.01)
        assert not third.done()
        await twin.close()
        assert (await (await asyncio.wait_for(third, 1)).run("y")).value == "y"
        waiting = asyncio.ensure_future(pool.open())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await two.close()
        await asyncio.wait_for(pool.open(), 1)


async def test_dead_warm_sessions_are_replaced() -> None:
    sandbox = table()
    async with Pool(sandbox, warm=2) as pool:
        await asyncio.sleep(0)
        for warm in sandbox.sessions:
            await warm.close()
        session = await pool.open()
        assert (await session.run("z")).value == "z"
        await session.close()


class Failing(TableSandbox):
    """Opens nothing."""

    async def open(self) -> TableSession:
        raise SandboxError("no room on this host")


async def test_what_fails_in_the_background_is_told_to_the_next_who_opens() -> None:
    async with Pool(Failing({}), warm=1) as pool:
        await asyncio.sleep(0)
        with pytest.raises(SandboxError, match="no room"):
            await pool.open()


def test_senseless_sizes_are_refused() -> None:
    for sizes in ({"warm": -1}, {"limit": 0}):
        with pytest.raises(ValueError, match="warm"):
            Pool(table(), **sizes)


@pytest.mark.skipif(sys.platform != "linux", reason="the forking box needs Linux")
async def test_two_hundred_problems_at_once_exhaust_nothing() -> None:
    async with Pool(open_sandbox(SandboxConfig(preload=())), warm=4, limit=32) as pool:

        async def solve(number: int) -> str | None:
            session: Session = await pool.open()
            await session.run(f"n = {number}")
            twin = await session.branch()
            shown = await twin.run("n + 1")
            await session.close()
            await twin.close()
            return shown.value

        assert await solve(0) == "1"
        before = len(os.listdir("/proc/self/fd"))
        assert await asyncio.gather(*(solve(number) for number in range(200))) == [str(number + 1) for number in range(200)]
        await asyncio.sleep(0.5)
        assert len(os.listdir("/proc/self/fd")) <= before + 64
