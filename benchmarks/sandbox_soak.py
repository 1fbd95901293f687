"""Many cells, some hostile, over many sessions; afterwards nothing may be left.

    python benchmarks/sandbox_soak.py [--cells 20000] [--sessions 2000] [--hostile 0.05] [--image NAME]

The forking box, or with an image the docker back end. Counts before and after: processes below this one, descriptors, mounts, cgroups,
temporary files, containers. Memory of host and template is
sampled all along; over the second half it must not grow by more than 5 %. Exit 1 when something leaked.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tirage.sandbox import DockerConfig, Limits, Sandbox, SandboxConfig, open_sandbox
from tirage.sandbox.fork import ForkSandbox
from tirage.sandbox.shelf import resident_mb
from tirage.sandbox.totals import PREFIX, ROOT

HOSTILE = (
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "import os; os._exit(1)",
    "import ctypes; ctypes.string_at(1)",
    "sum(range(10**12))",
    "while True: print('x' * 1000)",
    "import os, time\nif not os.fork():\n    os.setsid(); os.fork(); time.sleep(1000)",
    "for k in range(10**5):\n    with open(f'f{k}', 'wb') as f: f.write(bytes(1 << 16))",
)
HONEST = (
    "n = n + 1; n",
    "sum(range(1000))",
    "import math; math.comb(40, 20)",
    "print('x' * 500)",
    "open('f', 'a').write('line\\n')",
    "sorted([3, 1, 2])",
)
GROWTH = 1.05


def below(top: int) -> list[int]:
    """Processes below this one."""
    found, queue = [], [top]
    while queue:
        pid = queue.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found += [int(child) for child in children]
        queue += [int(child) for child in children]
    return found


def counts(image: str | None) -> dict[str, int]:
    """What a run could leave behind."""
    containers = ["docker", "ps", "--all", "--quiet", "--filter", "label=tirage"]
    return {
        **({"containers": len(subprocess.check_output(containers, text=True).split())} if image else {}),
        "processes": len(below(os.getpid())),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "cgroups": sum(path.is_dir() for path in ROOT.rglob(f"{PREFIX}{os.getpid()}-*")),
        "temporary files": len(list(Path(tempfile.gettempdir()).glob(f"tirage-{os.getpid()}-*"))),
    }


async def live(sandbox: Sandbox, cells: int, draw: random.Random, share: float, said: dict[str, int]) -> None:
    """One session with a branch, `cells` cells in all."""
    session = await sandbox.open()
    await session.run("n = 0")
    twin = await session.branch()
    done = 0
    for number in range(cells):
        where = twin if number % 2 else session
        hostile = draw.random() < share
        code = draw.choice(HOSTILE if hostile else HONEST)
        result = await where.run(code, Limits(wall_s=0.3 if hostile else 20.0, output_bytes=20_000))
        said["hostile" if hostile else "honest"] += 1
        if not hostile and result.failure is not None:
            said["honest cells that failed"] += 1
            print(f"\n{code!r}: {result.failure} {result.error_text[:200]}", file=sys.stderr)
        done += not hostile and code == HONEST[0] and where is session
    shown = await session.run("n")
    if shown.value != str(done):
        said["wrong states"] += 1
        print(f"\nn is {shown.value}, not {done}: {shown.failure} {shown.state} {shown.error_text[:200]}", file=sys.stderr)
    await session.close()
    await twin.close()


async def soak(arguments: argparse.Namespace) -> tuple[dict[str, object], list[str]]:
    """Run; the report, and what is wrong."""
    draw = random.Random(arguments.seed)
    said = {"honest": 0, "hostile": 0, "honest cells that failed": 0, "wrong states": 0}
    each = max(1, arguments.cells // arguments.sessions)
    before, samples, started = counts(arguments.image), [], time.monotonic()
    config = SandboxConfig(preload=("numpy",), memory_mb=256, total_mb=512, scratch_mb=32)
    async with open_sandbox(DockerConfig(image=arguments.image, memory_mb=512, scratch_mb=32) if arguments.image else config) as sandbox:
        room = asyncio.Semaphore(arguments.concurrency)

        async def one(number: int) -> None:
            async with room:
                await live(sandbox, each, random.Random(draw.random()), arguments.hostile, said)
            if number % max(1, arguments.sessions // 40) == 0:
                template = sandbox._template if isinstance(sandbox, ForkSandbox) else None
                samples.append(resident_mb(os.getpid()) + resident_mb(template.pid if template else 0))
                print(f"\r{number}/{arguments.sessions} sessions, {samples[-1]:.0f} MB", end="", file=sys.stderr)

        await asyncio.gather(*(one(number) for number in range(arguments.sessions)))
    seconds = time.monotonic() - started
    print(file=sys.stderr)
    await asyncio.sleep(1)
    after = counts(arguments.image)
    wrong = [f"{name}: {before[name]} before, {after[name]} after" for name in before if after[name] > before[name]]
    wrong += [f"{said[name]} {name}" for name in ("honest cells that failed", "wrong states") if said[name]]
    half = samples[len(samples) // 2 :]
    if half and half[-1] > GROWTH * half[0]:
        wrong.append(f"memory grew from {half[0]:.0f} to {half[-1]:.0f} MB over the second half")
    report = {
        "cells": said,
        "sessions": arguments.sessions,
        "seconds": round(seconds, 1),
        "before": before,
        "after": after,
        "memory_mb": samples,
    }
    return report, wrong


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--hostile", type=float, default=0.05, help="share of hostile cells")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image", help="soak the docker back end with this image")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    report, wrong = asyncio.run(soak(parser.parse_args()))
    if "--json" in sys.argv:
        print(json.dumps({**report, "wrong": wrong}))
    else:
        cells = report["cells"]
        print(f"{cells} in {report['seconds']} s\nbefore {report['before']}\nafter  {report['after']}")
        print("nothing leaked, memory flat" if not wrong else "LEAKED: " + "; ".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
