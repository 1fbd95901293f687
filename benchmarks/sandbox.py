"""The forking sandbox beside what others use, in one run on one core.

    python benchmarks/sandbox.py [--rounds 100] [--rung 1] [--quick] [--json FILE] [--plot FILE]

Milliseconds: median, 95th percentile, minimum (what an undisturbed machine gives), and for peers the ratio to ours. The peers
live in an environment of their own:

    python -m venv .venv-bench && .venv-bench/bin/pip install smolagents ipykernel

Exit 0 when the budgets of DESIGN.md are kept, 1 when one is missed.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "boxes"))

from peers import CELLS

from tirage.sandbox import SandboxConfig, Session, open_sandbox
from tirage.sandbox.fork import ForkSandbox
from tirage.sandbox.session import ForkSession

HERE = Path(__file__).parent
PEERS_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
BUDGETS = {"box": 20.0, "session": 4.0, "warm 1+1": 0.3, "branch, 1 MB": 4.0, "branch, 100 MB": 4.0}
LEAST = {
    "fork + run + result + drop per s": 200.0,
    "live branches in 4 GB": 1000.0,
    "x faster than Jupyter, warm": 15.0,
    "x faster than replaying 10 cells": 10.0,
}
MATHS = (
    "import sympy; x = sympy.Symbol('x'); r{0} = sympy.factor(x**6 - 1 + {0} * 0)",
    "s{0} = [p for p in range(2, 400) if all(p % q for q in range(2, p))]; len(s{0})",
    "e{0} = sympy.solve(x**2 - {0} - 2, x); e{0}",
)
Samples = dict[str, list[float]]


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of one awaited action."""
    start = time.perf_counter()
    await action()
    return (time.perf_counter() - start) * 1000


async def value(session: Session, code: str, expected: str | None = None) -> None:
    """Run a cell that must go well, and give `expected` if that is named."""
    result = await session.run(code)
    if result.failure is not None or (expected is not None and result.value != expected):
        raise SystemExit(f"cell {code!r} gave {result}")


async def ready(session: ForkSession, pause_s: float) -> None:
    """Wait until the next cell's process is there, as it is while a model thinks."""
    while session._runner is None or session.lock.locked():  # noqa: ASYNC110  no event: only a benchmark looks inside
        await asyncio.sleep(0.0002)
    await asyncio.sleep(pause_s)


async def openings(sandbox: ForkSandbox, rounds: int) -> Samples:
    """New boxes, new sessions in a box, their first cell."""
    rows: Samples = {"box": [], "session": [], "first 1+1": []}
    for _ in range(max(5, rounds // 5)):
        start = time.perf_counter()
        box = await sandbox._build(sandbox.capabilities.rung)
        rows["box"].append((time.perf_counter() - start) * 1000)
        await box.close()
    for _ in range(rounds):
        start = time.perf_counter()
        session = await sandbox.open()
        rows["session"].append((time.perf_counter() - start) * 1000)
        rows["first 1+1"].append(await timed(lambda session=session: value(session, "1+1", "2")))
        await session.close()
    return rows


async def cells(sandbox: ForkSandbox, rounds: int) -> Samples:
    """Cells of a chain: after a short and a long pause, and back to back."""
    session = await sandbox.open()
    rows: Samples = {}
    for _ in range(3):
        await value(session, "1+1", "2")
    for name, code in CELLS.items():
        rows[name] = []
        for _ in range(rounds if name != "1e6 additions" else 5):
            await ready(session, 0.0008)
            rows[name].append(await timed(lambda code=code: value(session, code)))
    rows["warm 1+1 after 20 ms"] = []
    for _ in range(rounds):
        await ready(session, 0.02)
        rows["warm 1+1 after 20 ms"].append(await timed(lambda: value(session, "1+1", "2")))
    rows["1+1 back to back"] = [await timed(lambda: value(session, "1+1", "2")) for _ in range(rounds)]
    await session.close()
    return rows


async def branching(sandbox: ForkSandbox, rounds: int, megabytes: int) -> tuple[Samples, float]:
    """Branch, first cell in it, drop; and how many of these a second has."""
    session = await sandbox.open()
    await value(session, f"import numpy\nstate = numpy.ones({megabytes} << 17)")
    name = f"branch, {megabytes} MB"
    rows: Samples = {name: [], f"first 1+1 in a {name}": []}
    begin = time.perf_counter()
    for _ in range(rounds):
        start = time.perf_counter()
        twin = await session.branch()
        rows[name].append((time.perf_counter() - start) * 1000)
        rows[f"first 1+1 in a {name}"].append(await timed(lambda twin=twin: value(twin, "1+1", "2")))
        await twin.close()
    rate = rounds / (time.perf_counter() - begin)
    await session.close()
    return rows, rate


async def replays(sandbox: ForkSandbox, rounds: int) -> tuple[Samples, float]:
    """Replaying a prefix in a new session against one branch; and the ratio at ten cells of maths."""
    rows: Samples = {}
    ratio = 0.0
    for kind, programs in (("maths", MATHS), ("trivial", ("v{0} = {0}",))):
        for depth in (5, 10, 20):
            prefix = ["import sympy; x = sympy.Symbol('x')"] + [programs[k % len(programs)].format(k) for k in range(depth - 1)]
            session = await sandbox.open()
            for code in prefix:
                await value(session, code)

            async def replay(prefix: list[str] = prefix) -> None:
                fresh = await sandbox.open()
                for code in prefix:
                    await value(fresh, code)
                await fresh.close()

            async def fork(session: Session = session) -> None:
                await (await session.branch()).close()

            again, once = f"replay {depth} {kind} cells", f"branch after {depth} {kind} cells"
            rows[again] = [await timed(replay) for _ in range(max(3, rounds // 10))]
            rows[once] = [await timed(fork) for _ in range(max(10, rounds // 3))]
            if (kind, depth) == ("maths", 10):
                ratio = statistics.median(rows[again]) / statistics.median(rows[once])
            await session.close()
    return rows, ratio


async def crowd(sandbox: ForkSandbox, count: int) -> dict[str, float]:
    """Memory of live branches, all opened for real, each with one cell run; and a chain of 300 cells."""
    session = await sandbox.open()
    await value(session, "n = 1")
    before = available_mb()
    twins = []
    for _ in range(count):
        twins.append(await session.branch())
        await value(twins[-1], "n + 1", "2")
    each = (before - available_mb()) / count
    for twin in twins:
        await twin.close()
    start = time.perf_counter()
    for _ in range(300):
        await value(session, "n += 1")
    chain = (time.perf_counter() - start) / 300 * 1000
    await session.close()
    return {"MB per live branch": each, "live branches in 4 GB": 4096 / each, "ms per cell in a chain of 300": chain}


def available_mb() -> float:
    """Memory that the machine can still give."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:")) / 1024


async def ours(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one rung."""
    rung, rounds = options.rung, options.rounds
    config = SandboxConfig(first_rung=rung, min_rung=rung, sessions_per_box=100_000, live_mb=1 << 20)
    async with open_sandbox(config) as sandbox:
        rows = {**await openings(sandbox, rounds), **await cells(sandbox, rounds)}
        small, rate = await branching(sandbox, rounds, 1)
        large, _ = await branching(sandbox, rounds, 100)
        again, ratio = await replays(sandbox, rounds)
        numbers = {"fork + run + result + drop per s": rate, "x faster than replaying 10 cells": ratio}
        numbers |= await crowd(sandbox, 200 if options.quick else 1000)
        return {"layers": sandbox.capabilities.layers, "rows": {**rows, **small, **large, **again}, "numbers": numbers}


def peers(options: argparse.Namespace) -> dict[str, Any]:
    """What the peers need; a text where they cannot run."""
    if not options.peers_python.exists():
        return {"peers": f"skipped: no {options.peers_python}; see --help"}
    command = [str(options.peers_python), str(HERE / "boxes" / "peers.py"), str(options.rounds), options.image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"peers": f"skipped: {done.stderr.strip()[-300:]}"}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def line(samples: list[float]) -> tuple[float, float, float]:
    """Median, 95th percentile, minimum."""
    ordered = sorted(samples)
    return statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[0]


def show(mine: dict[str, Any], others: dict[str, Any], missed: list[str]) -> None:
    """The tables."""
    print(f"layers: {', '.join(mine['layers'])}; load average {os.getloadavg()[0]:.1f}; one core; milliseconds\n")
    print(f"{'what':34}{'median':>9}{'p95':>9}{'min':>9}{'budget':>9}")
    for name, samples in mine["rows"].items():
        print(f"{name:34}{''.join(f'{number:9.2f}' for number in line(samples))}{BUDGETS.get(name, ''):>9}")
    for name, number in mine["numbers"].items():
        print(f"{name:34}{number:9.1f}{f'>= {LEAST[name]:g}' if name in LEAST else '':>27}")
    print(f"\n{'peer':20}{'what':30}{'median':>9}{'p95':>9}{'min':>9}{'x ours':>9}")
    for peer, rows in others.items():
        if isinstance(rows, str):
            print(f"{peer:20}{rows}")
            continue
        for name, samples in rows.items():
            own = mine["rows"].get("box" if name.startswith("cold") else name)
            ratio = f"{line(samples)[0] / line(own)[0]:.1f}" if own else "-"
            print(f"{peer:20}{name:30}{''.join(f'{number:9.2f}' for number in line(samples))}{ratio:>9}")
    print(f"\nbudgets: {'kept' if not missed else 'MISSED: ' + ', '.join(missed)}")


def plot(mine: dict[str, Any], others: dict[str, Any], path: Path) -> None:
    """Medians as bars on a logarithmic scale."""
    import matplotlib.pyplot as plt

    bars = [(f"tirage: {name}", line(samples)[0], "tab:blue") for name, samples in mine["rows"].items()]
    for peer, rows in others.items():
        bars += [(f"{peer}: {name}", line(samples)[0], "tab:gray") for name, samples in rows.items()] if isinstance(rows, dict) else []
    bars.sort(key=lambda bar: -bar[1])
    figure, axes = plt.subplots(figsize=(9, 0.24 * len(bars) + 1))
    axes.barh([bar[0] for bar in bars], [bar[1] for bar in bars], color=[bar[2] for bar in bars])
    axes.set(xscale="log", xlabel="milliseconds, median")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Parse, measure, print; exit 1 when a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--rung", type=int, choices=(1, 2), default=1)
    parser.add_argument("--quick", action="store_true", help="few rounds, 200 live branches")
    parser.add_argument("--image", default="tirage-sandbox", help="image for docker exec and docker run")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON, help="interpreter that has the peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a picture (.svg or .png; needs matplotlib)")
    options = parser.parse_args()
    options.rounds = min(options.rounds, 15) if options.quick else options.rounds
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    mine, others = asyncio.run(ours(options)), peers(options)
    kernel = others.get("jupyter kernel")
    if isinstance(kernel, dict):
        mine["numbers"]["x faster than Jupyter, warm"] = line(kernel["warm 1+1"])[0] / line(mine["rows"]["warm 1+1"])[0]
    missed = [name for name, most in BUDGETS.items() if line(mine["rows"][name])[0] > most]
    missed += [name for name, least in LEAST.items() if mine["numbers"].get(name, least) < least]
    show(mine, others, missed)
    if options.json:
        options.json.write_text(json.dumps({"ours": mine, "peers": others, "missed": missed}), encoding="utf-8")
    if options.plot:
        plot(mine, others, options.plot)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
