"""What every session promises, each as a check that raises `Broken` where a promise does not hold."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tirage.core.errors import SandboxError
from tirage.sandbox.base import ExecFailure, ExecResult, Limits, Sandbox, Session, StateKind
from tirage.testing.suites.findings import Broken

CHAIN, REPLAYED_CHAIN = 300, 10
Check = Callable[[Sandbox, Session], Awaitable[None]]


async def _shows(session: Session, code: str, expected: str) -> None:
    result = await session.run(code)
    if result.failure is not None or result.value != expected:
        raise Broken(f"{code!r} gave {result.value} ({result.error_name} {result.error_text[:100]}) instead of {expected}")


async def _fails(session: Session, code: str, *kinds: ExecFailure, limits: Limits | None = None) -> ExecResult:
    result = await session.run(code, limits)
    if result.failure not in kinds:
        raise Broken(f"{code[:60]!r} ended with {result.failure} ({result.error_text[:100]}) instead of {' or '.join(kinds)}")
    return result


async def _state(_: Sandbox, session: Session) -> None:
    await session.run("x = 1\ndef f(): return x + 1")
    await _shows(session, "f()", "2")
    result = await session.run("print('out')\nimport sys\nprint('err', file=sys.stderr)\n'value'")
    if (result.stdout, result.stderr, result.value) != ("out\n", "err\n", "'value'"):
        raise Broken(f"output came back as {result.stdout!r}, {result.stderr!r}, {result.value}")


async def _errors(_: Sandbox, session: Session) -> None:
    result = await _fails(session, "a = 1\n1 / 0", ExecFailure.ERROR)
    if (result.error_name, result.error_line) != ("ZeroDivisionError", 2):
        raise Broken(f"an error in line 2 was told as {result.error_name} in line {result.error_line}")
    await _fails(session, "1 +", ExecFailure.SYNTAX)
    await _shows(session, "a", "1")


async def _transactions(_: Sandbox, session: Session) -> None:
    await session.run("kept = 1\nwith open('file', 'w') as f: _ = f.write('1')")
    short = Limits(wall_s=1.0)
    for code, kinds in (
        ("import os; os._exit(3)", (ExecFailure.EXIT,)),
        ("import ctypes; ctypes.string_at(1)", (ExecFailure.SIGNAL,)),
        ("sum(range(10**12))", (ExecFailure.TIMEOUT_KILLED,)),
    ):
        await _fails(session, f"kept = 2\nopen('file', 'w').write('2')\n{code}", *kinds, limits=short)
        await _shows(session, "kept, open('file').read()", "(1, '1')")
    await _fails(session, "b'x' * (64 << 30)", ExecFailure.MEMORY)
    await _fails(session, "kept = 3\nwhile True: pass", ExecFailure.TIMEOUT_SOFT, limits=short)
    await _shows(session, "kept", "3")


async def _branches(sandbox: Sandbox, session: Session) -> None:
    if not sandbox.capabilities.can_branch:
        return
    await session.run("v = [0]\nwith open('f', 'w') as f: _ = f.write('base')")
    left, right = await session.branch(), await session.branch()
    for name, twin in (("L", left), ("R", right)):
        await twin.run(f"v.append('{name}')\nwith open('f', 'a') as f: _ = f.write('{name}')")
    await _shows(session, "v, open('f').read()", "([0], 'base')")
    await _shows(left, "v, open('f').read()", "([0, 'L'], 'baseL')")
    await left.close()
    await _shows(right, "v, open('f').read()", "([0, 'R'], 'baseR')")
    result = await right.run("1")
    if sandbox.capabilities.exact != result.exact or result.state is StateKind.DIVERGED:
        raise Broken(f"a branch of a sandbox with exact={sandbox.capabilities.exact} is {result.state.value}")
    await right.close()


async def _randomness(sandbox: Sandbox, session: Session) -> None:
    if not sandbox.capabilities.can_branch:
        return
    await session.run("import random\nrandom.seed(4)\n_ = random.random()")
    same, other = await session.branch(), await session.branch(reseed=9)
    draws = [(await item.run("random.random()")).value for item in (session, same, other)]
    await same.close()
    await other.close()
    if draws[0] != draws[1] or draws[0] == draws[2]:
        raise Broken(f"session, branch and reseeded branch drew {draws}")


async def _open_things(sandbox: Sandbox, session: Session) -> None:
    if not sandbox.capabilities.can_branch:
        return
    await session.run("with open('lines', 'w') as f: _ = f.write('a\\nb\\nc\\n')\nr = open('lines'); first = r.readline()")
    await session.run("g = (n * n for n in range(9)); _ = next(g); _ = next(g)")
    twin = await session.branch()
    await _shows(twin, "r.readline(), next(g)", "('b\\n', 4)")
    await _shows(session, "r.readline(), next(g)", "('b\\n', 4)")
    await twin.close()


async def _chain(sandbox: Sandbox, session: Session) -> None:
    count = CHAIN if sandbox.capabilities.exact else REPLAYED_CHAIN
    await session.run("c = 0")
    for _ in range(count):
        await session.run("c += 1")
    await _shows(session, "c", str(count))


async def _files(_: Sandbox, session: Session) -> None:
    await session.put("in/data.bin", b"\0\xff" * 50_000)
    await _shows(session, "len(open('in/data.bin', 'rb').read())", "100000")
    if await session.fetch("in/data.bin") != b"\0\xff" * 50_000:
        raise Broken("a file came back changed")
    await session.run("import os\nos.symlink('/etc/shadow', 'link')\nos.mkfifo('pipe')")
    for path in ("link", "pipe", "missing", "in", "../x", "/etc/shadow"):
        with suppress(SandboxError):
            await session.fetch(path)
            raise Broken(f"{path!r} could be fetched")
    with suppress(SandboxError):
        await session.put("../../x", b"")
        raise Broken("a file could be put outside the working directory")


async def _limits(_: Sandbox, session: Session) -> None:
    result = await _fails(session, "while True: print('x' * 1000)", ExecFailure.OUTPUT, limits=Limits(output_bytes=5000))
    if len(result.stdout) > 5000 or not result.truncated:
        raise Broken(f"an output of {len(result.stdout)} characters came through a limit of 5000 bytes")
    for wall_s, cap in ((0.0, 1), (1.0, 0)):
        with suppress(ValueError):
            Limits(wall_s=wall_s, output_bytes=cap)
            raise Broken(f"limits of wall_s={wall_s}, output_bytes={cap} were accepted")


async def _odd_code(_: Sandbox, session: Session) -> None:
    await _fails(session, "x = 1\0", ExecFailure.SYNTAX, ExecFailure.ERROR)
    await _shows(session, "s = 0\n" + "s += 1  # \u00e9\n" * 5_000 + "s", "5000")
    await _shows(session, "t = '" + "y" * (10 << 20) + "'\nlen(t)", str(10 << 20))
    with suppress(TypeError, SandboxError):
        await session.run(b"1")  # type: ignore[arg-type]
        raise Broken("code that is no text was accepted")
    await _shows(session, "s", "5000")


async def _cancelled(_: Sandbox, session: Session) -> None:
    await session.run("w = 1")
    task = asyncio.ensure_future(session.run("w = 2\nimport time; time.sleep(60)", Limits(wall_s=90.0)))
    await asyncio.sleep(0.5)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await _shows(session, "w", "1")


async def _closed(sandbox: Sandbox, session: Session) -> None:
    other = await sandbox.open()
    await other.close()
    await other.close()
    calls: tuple[Callable[[], Awaitable[object]], ...] = (lambda: other.run("1"), other.branch, lambda: other.fetch("x"))
    for call in calls:
        with suppress(SandboxError):
            await call()
            raise Broken("a closed session still answers")
    await _shows(session, "1 + 1", "2")


PROMISES: dict[str, Check] = {
    "state lives from cell to cell": _state,
    "errors name kind and line": _errors,
    "a cell that dies costs only itself": _transactions,
    "branches are independent": _branches,
    "random numbers are exact across a branch, or reseeded": _randomness,
    "open files and generators survive a branch": _open_things,
    "long chains of cells": _chain,
    "files come and go, through no link": _files,
    "limits hold": _limits,
    "odd code": _odd_code,
    "a cancelled cell is taken back": _cancelled,
    "a closed session says so": _closed,
}
