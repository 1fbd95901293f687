"""One cell, or one file, in one process: send it, wait, interrupt, kill, and say what came of it."""

import dataclasses
import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

from tirage.core.errors import SandboxError
from tirage.sandbox import results
from tirage.sandbox.base import ExecFailure, ExecResult, Limits, StateKind
from tirage.sandbox.box import Box
from tirage.sandbox.calls import CallGate
from tirage.sandbox.capture import Capture, bounded_file, filled_file, written
from tirage.sandbox.frames import Flooded
from tirage.sandbox.guests import Gone, Guest, request_id

INLINE_CODE = 10_000
"""Characters of code, at most four bytes and often two escapes each, that fit a packet."""
FILE_PATIENCE_S = 30.0


class Fate(Enum):
    """What becomes of the process that ran a cell."""

    KEPT = "kept"
    """It is the new state."""
    THREADED = "threaded"
    """It is the new state, but runs threads and cannot be forked from."""
    LOST = "lost"
    """It is dead, or its state must not be kept."""


async def run_cell(
    box: Box,
    runner: Guest,
    code: str,
    limits: Limits,
    *,
    state: StateKind = StateKind.FORKED,
    started: float,
    gate: CallGate | None = None,
) -> tuple[ExecResult, Fate]:
    """Run `code` in `runner`, whose state is of kind `state`, its calls served by `gate`; the result, and what becomes of the process.

    `started` is the reading of `time.perf_counter` from which the result's duration counts.
    """
    capture, handed = _capture_of(runner, limits.output_bytes)
    try:
        result, fate = await _execute(box, runner, code, limits, handed, gate)
        stdout, stderr, full = capture.read()
    finally:
        capture.close()
    seen = {
        "stdout": stdout,
        "stderr": stderr,
        "truncated": result.truncated or full or result.failure is ExecFailure.OUTPUT,
        "layers": box.layers,
        "state": state,
        "duration_s": time.perf_counter() - started,
    }
    for name, value in seen.items():
        # Nobody has the result yet; a copy by dataclasses.replace costs ten times as much as the rest of this function.
        object.__setattr__(result, name, value)
    return result, fate


def _capture_of(runner: Guest, cap: int) -> tuple[Capture, Capture | None]:
    """Where the cell's output goes, and that again if it must still be handed to the runner; the caller closes it."""
    prepared, runner.capture = runner.capture, None
    if prepared is not None:
        if prepared.cap == cap:
            return prepared, None
        prepared.close()
    capture = Capture(cap)
    return capture, capture


async def _execute(
    box: Box, runner: Guest, code: str, limits: Limits, handed: Capture | None, gate: CallGate | None
) -> tuple[ExecResult, Fate]:
    """The result without its output; `handed` is where that goes, None when the runner has it already."""
    message: dict[str, Any] = {
        "op": "run",
        "id": request_id(),
        "cap": handed and handed.cap,
        "processes": box.process_limit,
        "code": code,
    }
    fds = [handed.out, handed.err] if handed else []
    extra = -1
    wait: Callable[[str, float], Awaitable[dict[str, Any] | None]] = runner.answer
    if gate is not None:
        message["calls"] = gate.functions
        wait = functools.partial(gate.attend, runner)
    if len(code) + (gate.size if gate is not None else 0) > INLINE_CODE:
        extra = filled_file("code", code.encode("utf-8", "replace"))
        fds.append(extra)
        message["code"] = ""
    interrupted: float | None = None
    watch = box.watch(runner)
    try:
        runner.send(message, fds)
        reply = await wait(message["id"], limits.wall_s)
        if reply is None:
            interrupted = limits.wall_s
            runner.signal(signal.SIGINT)
            reply = await wait(message["id"], limits.grace_s)
        if reply is None:
            return results.killed(limits.wall_s), Fate.LOST
    except Gone:
        await runner.died(1.0)
        status = await box.cause_of_death(runner)
        starved = status == signal.SIGKILL and box.ran_out(watch)
        return (results.out_of_memory(box.config.most_mb) if starved else results.died(status)), Fate.LOST
    except Flooded as error:
        return results.failed(ExecFailure.CHANNEL, f"the cell broke the protocol: {error}"), Fate.LOST
    finally:
        if watch is not None:
            watch.stop()
        if extra >= 0:
            os.close(extra)
    threads = bool(reply.get("threads"))
    if threads and box.config.threads == "refuse":
        reason = "the cell left threads running, which cannot be kept; join threads and close pools before it ends"
        return results.failed(ExecFailure.FORK_DENIED, reason), Fate.LOST
    result = results.from_reply(reply, interrupted_after_s=interrupted)
    if reply.get("displays"):
        result = await _with_displays(runner, result)
    return result, Fate.THREADED if threads else Fate.KEPT


async def _with_displays(runner: Guest, result: ExecResult) -> ExecResult:
    """Fetch what the cell showed richly; a guest that does not give it costs the displays and nothing else."""
    fd = bounded_file("displays", results.MAX_DISPLAYS)
    try:
        await runner.ask({"op": "displays", "id": request_id()}, [fd], timeout_s=FILE_PATIENCE_S)
        shown, whole = results.displays(written(fd, results.MAX_DISPLAYS))
    except (Gone, Flooded, SandboxError):
        shown, whole = (), False
    finally:
        os.close(fd)
    return dataclasses.replace(result, displays=shown, truncated=not whole)


async def file_request(runner: Guest, message: Mapping[str, Any], fd: int) -> Mapping[str, Any]:
    """Have `runner` read or write a file through `fd`; its reply. Raises `Gone`, `Flooded` or `SandboxError`."""
    async with runner.lock:
        return await runner.ask({**message, "id": request_id()}, [fd], timeout_s=FILE_PATIENCE_S)
