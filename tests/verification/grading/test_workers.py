import asyncio
import os
import signal
import sys

import pytest

from tirage.core.errors import VerifierError
from tirage.verification.grading.workers import WorkerPool

HANG = {"gold": "5", "answer": "9^{9^{9^{9}}}"}
EQUAL = {"gold": "x+1", "answer": "1+x"}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def tree(pid: int) -> list[int]:
    """The process and its children."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [pid, *map(int, file.read().split())]


async def gone(pids: list[int]) -> bool:
    for _ in range(200):
        if not any(map(alive, pids)):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_hang_is_cut_off_and_the_next_request_is_served():
    pool = WorkerPool("math", size=1, timeout_s=1.0)
    try:
        await pool.ask(EQUAL)
        assert (await pool.ask(HANG)).failure == "timeout"
        reply = await pool.ask({**EQUAL, "answer": "2+x"})
        assert (reply.value, reply.failure) == (False, "")
    finally:
        await pool.close()


async def test_a_killed_grader_is_replaced_and_nothing_is_lost():
    pool = WorkerPool("math", size=1)
    try:
        await pool.ask(EQUAL)
        (worker,) = pool._all
        supervisor, child = tree(worker._process.pid)
        os.kill(child, signal.SIGKILL)
        assert (await pool.ask(EQUAL)).value is True
        os.kill(supervisor, signal.SIGKILL)
        assert (await pool.ask(EQUAL)).value is True
    finally:
        await pool.close()


async def test_a_grader_killed_at_work_gives_a_reason():
    pool = WorkerPool("math", size=1, timeout_s=20.0)
    try:
        await pool.ask(EQUAL)
        (worker,) = pool._all
        asked = asyncio.create_task(pool.ask(HANG))
        await asyncio.sleep(0.5)
        os.kill(tree(worker._process.pid)[1], signal.SIGKILL)
        assert (await asked).failure == "the grader was ended by SIGKILL"
    finally:
        await pool.close()


async def test_a_megabyte_goes_through_and_close_ends_every_process():
    pool = WorkerPool("math", size=2)
    replies = await asyncio.gather(*(pool.ask({"gold": "???", "answer": "y" * size}) for size in (1_000_000, 5, 6, 7)))
    assert ["cannot be parsed" in reply.failure for reply in replies] == [True] * 4
    pids = [pid for worker in pool._all for pid in tree(worker._process.pid)]
    assert 2 <= len(pids) <= 4
    await pool.close()
    assert await gone(pids)
    await pool.close()


def test_one_pool_serves_several_event_loops():
    pool = WorkerPool("math", size=1)
    assert asyncio.run(pool.ask(EQUAL)).value is True
    assert asyncio.run(pool.ask(EQUAL)).value is True
    asyncio.run(pool.close())


async def test_workers_die_with_a_killed_parent_even_while_hanging():
    code = (
        "import asyncio\n"
        "from tirage.verification.grading.workers import WorkerPool\n"
        "async def main():\n"
        "    pool = WorkerPool('math', size=1, timeout_s=60.0)\n"
        "    await pool.ask({'gold': 'x+1', 'answer': '1+x'})\n"
        "    print(next(iter(pool._all))._process.pid, flush=True)\n"
        "    await pool.ask({'gold': '5', 'answer': '9^{9^{9^{9}}}'})\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pids = tree(int(await parent.stdout.readline()))
    assert len(pids) == 2
    await asyncio.sleep(0.5)
    parent.kill()
    await parent.wait()
    assert await gone(pids)


async def test_a_worker_that_cannot_start_is_a_verifier_error(monkeypatch):
    monkeypatch.setattr("tirage.verification.grading.workers.sys.executable", "/bin/false")
    pool = WorkerPool("math", size=1)
    with pytest.raises(VerifierError, match="did not start"):
        await pool.ask(EQUAL)
    await pool.close()


def test_a_time_limit_must_be_positive():
    with pytest.raises(ValueError, match="timeout_s=0"):
        WorkerPool("math", timeout_s=0)
