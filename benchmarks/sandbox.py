"""Latency and throughput of the forking sandbox: python benchmarks/sandbox.py [--rounds N] [--json].

Medians and 95th percentiles in milliseconds, with the minimum, which is what an undisturbed machine gives.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable

from tirage.sandbox import SandboxConfig, Session, open_sandbox
from tirage.sandbox.fork import ForkSandbox

BUDGETS = {
    "box": 20.0,
    "session": 4.0,
    "warm 1+1": 0.3,
    "branch, 1 MB state": 4.0,
    "branch, 100 MB state": 4.0,
}


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of one awaited action."""
    start = time.perf_counter()
    await action()
    return (time.perf_counter() - start) * 1000


def summary(samples: list[float]) -> dict[str, float]:
    """Median, 95th percentile and minimum."""
    ordered = sorted(samples)
    return {
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "min": round(ordered[0], 3),
        "n": len(ordered),
    }


async def value(session: Session, code: str, expected: str) -> None:
    """Run a cell that must give `expected`."""
    result = await session.run(code)
    if result.value != expected:
        raise SystemExit(f"cell {code!r} gave {result}")


async def opening(sandbox: ForkSandbox, rounds: int) -> dict[str, dict[str, float]]:
    """New boxes, new sessions, their first cell."""
    boxes, sessions, firsts = [], [], []
    for _ in range(max(5, rounds // 10)):
        start = time.perf_counter()
        box = await sandbox._build(sandbox.capabilities.rung)
        boxes.append((time.perf_counter() - start) * 1000)
        await box.close()
    for _ in range(rounds):
        start = time.perf_counter()
        session = await sandbox.open()
        sessions.append((time.perf_counter() - start) * 1000)
        firsts.append(await timed(lambda session=session: value(session, "1+1", "2")))
        await session.close()
    return {"box": summary(boxes), "session": summary(sessions), "first 1+1": summary(firsts)}


async def cells(sandbox: ForkSandbox, rounds: int) -> dict[str, dict[str, float]]:
    """Cells of a chain: with the pause a model would make (a process is ready), and back to back (each waits for a fork)."""
    session = await sandbox.open()
    for _ in range(3):
        await value(session, "1+1", "2")
    warm, chained = [], []
    for _ in range(rounds):
        while session._runner is None or session.lock.locked():  # noqa: ASYNC110  no event: only a benchmark looks inside
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        warm.append(await timed(lambda: value(session, "1+1", "2")))
    for _ in range(rounds):
        chained.append(await timed(lambda: value(session, "1+1", "2")))
    await session.close()
    return {"warm 1+1": summary(warm), "1+1 back to back": summary(chained)}


async def branching(sandbox: ForkSandbox, rounds: int, megabytes: int) -> tuple[dict[str, dict[str, float]], float]:
    """Branch, first cell in the branch, drop; and how many of these a second has."""
    session = await sandbox.open()
    await session.run(f"import numpy\nstate = numpy.ones({megabytes} << 17)")
    branches, firsts = [], []
    begin = time.perf_counter()
    for _ in range(rounds):
        start = time.perf_counter()
        twin = await session.branch()
        branches.append((time.perf_counter() - start) * 1000)
        firsts.append(await timed(lambda twin=twin: value(twin, "1+1", "2")))
        await twin.close()
    rate = rounds / (time.perf_counter() - begin)
    await session.close()
    return {f"branch, {megabytes} MB state": summary(branches), f"first 1+1 in it, {megabytes} MB": summary(firsts)}, rate


async def measure(rung: int, rounds: int) -> dict[str, object]:
    """All figures of one rung."""
    async with open_sandbox(SandboxConfig(first_rung=rung, min_rung=max(rung, 1))) as sandbox:
        figures = {**await opening(sandbox, rounds), **await cells(sandbox, rounds)}
        small, rate = await branching(sandbox, rounds, 1)
        large, _ = await branching(sandbox, rounds, 100)
        return {
            "rung": sandbox.capabilities.rung,
            "layers": sandbox.capabilities.layers,
            "milliseconds": {**figures, **small, **large},
            "fork_run_drop_per_s": round(rate, 1),
            "load_average": os.getloadavg()[0],
            "cpus": os.cpu_count(),
        }


def show(report: dict[str, object]) -> None:
    """A table for people."""
    print(f"rung {report['rung']}, load average {report['load_average']:.1f} on {report['cpus']} CPUs; milliseconds")
    print(f"{'what':28}{'median':>9}{'p95':>9}{'min':>9}{'budget':>9}")
    figures = report["milliseconds"]
    assert isinstance(figures, dict)
    for name, row in figures.items():
        print(f"{name:28}{row['median']:9.2f}{row['p95']:9.2f}{row['min']:9.2f}{BUDGETS.get(name, ''):>9}")
    print(f"{'fork + run + result + drop':28}{report['fork_run_drop_per_s']:9.1f} /s (budget 200)")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--rung", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    report = asyncio.run(measure(arguments.rung, arguments.rounds))
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()
