"""States whose process was evicted or lost come back by replay, and say so."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tirage.core.errors import SandboxError
from tirage.sandbox import SandboxConfig, Session, StateKind, open_sandbox
from tirage.sandbox.fork import ForkSandbox
from tirage.sandbox.revival import nearest
from tirage.sandbox.session import ForkSession


@pytest_asyncio.fixture(params=[1, 2], ids=["rung1", "rung2"])
async def tight(request: pytest.FixtureRequest) -> AsyncIterator[ForkSandbox]:
    """A sandbox whose budget holds about three states."""
    config = SandboxConfig(preload=(), first_rung=request.param, min_rung=request.param, live_mb=13)
    async with open_sandbox(config) as place:
        yield place


async def value(session: Session, code: str, state: StateKind = StateKind.FORKED) -> str | None:
    result = await session.run(code)
    assert result.failure is None, result
    assert result.state is state, result
    return result.value


async def test_evicted_states_come_back_with_variables_files_and_random_numbers(tight: ForkSandbox) -> None:
    root = await tight.open()
    await root.run("import random\nrandom.seed(3)\nn = 0\nopen('log', 'w').write('root ')")
    await root.put("given", b"kept")
    twins: list[Session] = []
    for number in range(8):
        twin = await root.branch(reseed=number)
        assert (await twin.run(f"n += {number}; d = random.random()\nopen('log', 'a').write('{number}'); n")).value == str(number)
        twins.append(twin)
    await asyncio.sleep(0)
    assert len(tight._shelf) < 8
    draws = []
    for number, branch in enumerate(twins):
        result = await branch.run("n, d, open('log').read(), open('given').read()")
        shown = eval(result.value or "None")
        assert (shown[0], shown[2], shown[3]) == (number, f"root {number}", "kept")
        draws.append((shown[1], result.state))
    assert len({draw for draw, _ in draws}) == 8
    assert [state for _, state in draws].count(StateKind.REPLAYED) >= 5
    assert await value(root, "n, random.random()", StateKind.REPLAYED) == "(0, 0.23796462709189137)"
    for session in (*twins, root):
        await session.close()


async def test_a_replay_that_shows_something_else_is_told(tight: ForkSandbox) -> None:
    session = await tight.open()
    await session.run("import time\nt = time.time_ns()\nt")
    tight.boxes[0].evict(session._checkpoint)
    result = await session.run("t > 0")
    assert (result.value, result.state) == ("True", StateKind.DIVERGED)
    assert not result.exact
    assert (await session.run("1")).state is StateKind.DIVERGED
    twin = await session.branch()
    assert (await twin.run("1")).state is StateKind.DIVERGED
    await session.close()
    await twin.close()


async def test_the_nearest_living_ancestor_is_taken(tight: ForkSandbox) -> None:
    root = await tight.open()
    await root.run("a = 1")
    middle = await root.branch()
    await middle.run("b = 2")
    leaf = await middle.branch()
    await leaf.run("c = 3")
    await asyncio.sleep(0)
    box = tight.boxes[0]
    assert nearest(box, leaf._checkpoint.journal) is middle._checkpoint
    box.evict(middle._checkpoint)
    assert nearest(box, leaf._checkpoint.journal) is root._checkpoint
    box.evict(root._checkpoint)
    assert nearest(box, leaf._checkpoint.journal) is box.origin
    box.evict(leaf._checkpoint)
    assert await value(leaf, "a, b, c", StateKind.REPLAYED) == "(1, 2, 3)"
    for session in (root, middle, leaf):
        await session.close()


async def test_a_killed_node_comes_back(tight: ForkSandbox) -> None:
    session = await tight.open()
    await session.run("x = [1]\nopen('f', 'w').write('1')")
    await session.run("x.append(2)")
    assert isinstance(session, ForkSession)
    os.kill(session._checkpoint.guest.pid, signal.SIGKILL)
    await asyncio.sleep(0.05)
    assert await value(session, "x, open('f').read()", StateKind.REPLAYED) == "([1, 2], '1')"
    await session.close()


async def test_a_state_that_cannot_be_made_again_is_an_error(tight: ForkSandbox) -> None:
    session = await tight.open()
    await session.run("import os, time\nborn = time.time()")
    await session.run(f"if time.time() > {__import__('time').time() + 1}: os._exit(1)")
    await asyncio.sleep(1)
    tight.boxes[0].evict(session._checkpoint)
    with pytest.raises(SandboxError, match="cannot be rebuilt"):
        await session.run("1")
    await session.close()


@pytest.mark.parametrize("rung", [1, 2])
async def test_threads_are_kept_on_request_and_branched_by_replay(rung: int) -> None:
    config = SandboxConfig(preload=(), first_rung=rung, min_rung=rung, threads="replay")
    async with open_sandbox(config) as place:
        session = await place.open()
        await session.run("import threading, time, random\nrandom.seed(2)\nseen = []\nopen('f', 'w').write('1')")
        loop = "def work():\n    while True: time.sleep(0.01); seen.append(1)\nthreading.Thread(target=work, daemon=True).start()"
        assert (await session.run(loop)).failure is None
        await asyncio.sleep(0.1)
        first = await session.run("n = 3; len(seen) > 2, open('f').read()")
        assert (first.value, first.state) == ("(True, '1')", StateKind.FORKED)
        await session.put("g", b"2")
        left, right = await session.branch(), await session.branch(reseed=9)
        await left.run("n += 1; open('f', 'a').write('L')")
        shown = [await twin.run("n, open('f').read(), open('g').read(), threading.active_count()") for twin in (session, left, right)]
        assert [item.value for item in shown] == ["(3, '1', '2', 2)", "(4, '1L', '2', 2)", "(3, '1', '2', 2)"]
        assert [item.state for item in shown] == [StateKind.FORKED, StateKind.REPLAYED, StateKind.REPLAYED]
        draws = {(await twin.run("random.random()")).value for twin in (session, left, right)}
        assert len(draws) == 2
        died = await left.run("n = 0\nimport os; os._exit(4)")
        assert died.failure is not None
        again = await left.run("n, open('f').read()")
        assert (again.value, again.state) == ("(4, '1L')", StateKind.REPLAYED)
        for item in (session, left, right):
            await item.close()
        assert all(not box.guests for box in place.boxes)
