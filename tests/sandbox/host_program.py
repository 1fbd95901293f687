"""A host in a process of its own, for tests that kill it or run it as another user: python host_program.py RUNG MODE."""

import asyncio
import json
import os
import sys

from tirage.sandbox import Limits, SandboxConfig, open_sandbox
from tirage.testing.suites.sandboxes import check_sandbox

DAEMON = "import os, time\nif not os.fork():\n    os.setsid()\n    os.fork()\n    time.sleep(1000)\ntime.sleep(1000)"


async def hang(rung: int) -> None:
    """Sessions, a branch, a running cell with daemons; says ready and waits to be killed."""
    async with open_sandbox(SandboxConfig(preload=(), first_rung=rung, min_rung=rung)) as sandbox:
        idle, busy = await sandbox.open(), await sandbox.open()
        await idle.run("x = 1")
        twin = await idle.branch()
        running = asyncio.create_task(busy.run(DAEMON, Limits(wall_s=600)))
        await asyncio.sleep(0.5)
        box = sandbox.boxes[0]
        print("ready", box.root, flush=True)
        await asyncio.gather(running, twin.run("1"))


async def check(rung: int) -> None:
    """The basics, as whoever runs this."""
    async with open_sandbox(SandboxConfig(preload=(), first_rung=rung, min_rung=rung)) as sandbox:
        assert sandbox.capabilities.rung == rung
        session = await sandbox.open()
        assert (await session.run("import os\nx = 20\nopen('f', 'w').write('a')")).failure is None
        twin = await session.branch()
        shown = (await twin.run("x += 1; x, os.getuid() != 0, open('f').read()")).value
        assert shown == "(21, True, 'a')", shown
        assert (await session.run("x")).value == "20"
        host = f"try:\n    os.kill({os.getpid()}, 9); r = 'hit'\nexcept OSError as e: r = type(e).__name__\nr"
        assert (await session.run(host)).value in ("'PermissionError'", "'ProcessLookupError'")
        for path in ("/etc/shadow", __file__):
            assert (await session.run(f"open({path!r}).read()")).error_name in ("PermissionError", "FileNotFoundError")
        assert (await session.run("import socket; socket.socket()")).error_name == "PermissionError"
        assert (await session.run("while True: pass", Limits(wall_s=0.3))).failure == "timeout-soft"
        assert (await session.run("sum(range(10**12))", Limits(wall_s=0.3))).failure == "timeout-killed"
        bomb = await twin.run("while True:\n    try: os.fork()\n    except OSError: pass", Limits(wall_s=0.3))
        assert bomb.failure is not None
        await twin.close()
        await asyncio.sleep(0.5)
        assert (await session.run("x")).value == "20"
        print("layers", *sandbox.capabilities.layers, flush=True)


async def suite(rung: int) -> None:
    """The shipped self-check, as whoever runs this; prints what failed and how many there were."""
    config = SandboxConfig(preload=(), first_rung=rung, min_rung=rung, memory_mb=512, total_mb=1024, scratch_mb=32)
    async with open_sandbox(config) as sandbox:
        findings = await check_sandbox(sandbox)
    print(json.dumps({"all": len(findings), "bad": [repr(item) for item in findings if item.status not in ("kept", "contained")]}))


asyncio.run({"hang": hang, "check": check, "suite": suite}[sys.argv[2]](int(sys.argv[1])))
