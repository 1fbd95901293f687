"""The event loop of the sync door: few sockets per turn, all of them in the end, oldest first."""

import asyncio
import socket
from collections import Counter

from tirage.runtime.event_loop import open_loop, run_sync


def test_ready_sockets_are_read_a_few_per_turn_and_none_is_forgotten() -> None:
    async def read_all(count: int) -> tuple[list[int], Counter[int]]:
        loop, order, turn, turns = asyncio.get_running_loop(), [], 0, Counter[int]()
        pairs = [socket.socketpair() for _ in range(count)]
        done = loop.create_future()

        def read(number: int) -> None:
            pairs[number][0].recv(1)
            order.append(number)
            turns[turn] += 1
            if len(order) == count:
                done.set_result(None)

        for number, (here, there) in enumerate(pairs):
            there.send(b"x")
            loop.add_reader(here, read, number)
        while not done.done():
            turn += 1
            await asyncio.sleep(0)
        for here, there in pairs:
            loop.remove_reader(here)
            here.close()
            there.close()
        return order, turns

    with asyncio.Runner(loop_factory=open_loop) as runner:
        order, turns = runner.run(read_all(50))
    assert order == list(range(50))
    assert max(turns.values()) == 8
    assert len(turns) == 7


def test_the_door_uses_it_and_runs_child_processes_in_it() -> None:
    async def child() -> int:
        process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    assert run_sync(child()) == 0
