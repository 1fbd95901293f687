"""The sandbox by itself: state that survives, exact branches, cells that die alone, and what code cannot reach."""

import asyncio
from pathlib import Path

from tirage.sandbox import ExecResult, Limits, open_sandbox


def show(what: str, result: ExecResult) -> None:
    """One line per cell."""
    outcome = result.stdout.strip() or result.value or ""
    if result.failure is not None:
        outcome = f"{result.failure}: {result.error_name} {result.error_text}".strip()
    print(f"{what:<28} {outcome:.100}")


async def main() -> None:
    """A session is a frozen, isolated process; each cell runs in a fork of it."""
    async with open_sandbox() as sandbox:
        session = await sandbox.open()
        show("a cell leaves state", await session.run("import random\nrandom.seed(1)\nitems = [1, 2, 3]\nsum(items)"))

        # Branches share the past exactly, random generators and open iterators included, and nothing after it.
        left, right = await session.branch(), await session.branch()
        show("left draws", await left.run("items.append(random.randint(0, 999)); items"))
        show("right draws the same", await right.run("items.append(random.randint(0, 999)); items"))
        show("the parent saw nothing", await session.run("items"))

        # A cell is a transaction: one that is killed leaves the session as it was.
        fast = Limits(wall_s=0.3, grace_s=0.1)
        show("a loop deaf to interrupts", await left.run("items.clear(); sum(range(10**12))", fast))
        show("an ended interpreter", await left.run("import os; os._exit(3)"))
        show("left is as it was", await left.run("items"))

        # Files of yours, the network and other processes are out of reach.
        home = Path.home() / ".bashrc"
        show("your files", await session.run(f"open({str(home)!r}).read()"))
        show("the network", await session.run("import socket; socket.create_connection(('1.1.1.1', 53), timeout=1)"))
        await session.put("data.txt", b"handed over on purpose")
        show("what you hand over", await session.run("open('data.txt').read()"))
        print(f"in force: {', '.join(sandbox.capabilities.layers)}")


asyncio.run(main())
