"""A session of the forking box: a checkpoint to return to, and a process forked from it to run the next cell in."""

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from tirage.core.errors import SandboxError
from tirage.sandbox import results
from tirage.sandbox.base import ExecFailure, ExecResult, Limits
from tirage.sandbox.box import Box, Checkpoint, Denied, Fork
from tirage.sandbox.capture import Capture, bounded_file, filled_file, written
from tirage.sandbox.guests import Flooded, Gone, Guest, request_id

INLINE_CODE = 10_000
"""Characters of code, at most four bytes and often two escapes each, that fit a packet."""
CHAIN = 2
FILE_PATIENCE_S = 30.0


class ForkSession:
    """A stateful interpreter whose cells are transactions: each runs in a fork, and the fork is the new state if it lives."""

    def __init__(self, box: Box, home: str, checkpoint: Checkpoint, runner: Guest | None, runner_layers: int) -> None:
        """`runner` was forked from `checkpoint`, works in `home` and has run nothing yet."""
        self._box = box
        self._home = home
        self._checkpoint = checkpoint
        self._runner = runner
        self._runner_layers = runner_layers
        self._running: Guest | None = None
        self._dirty = False
        """True when files in `home` are those of a cell that was taken back."""
        self._cells = 0
        self._lock = asyncio.Lock()
        self._closed = False
        self._spare: asyncio.Task[None] | None = None
        box.sessions.add(self)

    async def run(self, code: str, limits: Limits | None = None) -> ExecResult:
        """Run one cell; see `Session.run`. A cancelled call takes the cell back."""
        limits = limits or Limits()
        async with self._lock:
            started = time.perf_counter()
            try:
                runner = await self._ready_runner()
            except Denied as denied:
                self._box.unsettle(urgent=True)
                result = results.failed(ExecFailure.FORK_DENIED, f"no process could be made for the cell: {denied}")
                return dataclasses.replace(result, layers=self._box.layers, duration_s=time.perf_counter() - started)
            self._runner = None
            try:
                with Capture(limits.output_bytes) as capture:
                    result, lived = await self._execute(runner, code, limits, capture)
                    stdout, stderr, full = capture.read()
            except BaseException:
                self._discard(runner)
                raise
            if self._closed:
                self._discard(runner)
                raise self._closed_error()
            if lived:
                self._promote(runner)
                self._cells += 1
                self._prepare_next()
            else:
                self._discard(runner)
            return dataclasses.replace(
                result,
                stdout=stdout,
                stderr=stderr,
                truncated=full or result.failure is ExecFailure.OUTPUT,
                duration_s=time.perf_counter() - started,
                layers=self._box.layers,
            )

    async def branch(self, *, reseed: int | None = None) -> "ForkSession":
        """An independent session with the same state, files included; see `Session.branch`. Raises `SandboxError`."""
        async with self._lock:
            self._check_open()
            home = self._box.new_name()
            checkpoint = self._checkpoint
            # A snapshot that was too large to take leaves the directory as the failed cell left it.
            fill = checkpoint.snapshot if self._dirty and checkpoint.snapshot is not None else self._home
            try:
                guest, layers = await self._box.fork(checkpoint, Fork(home=home, fill=fill, branch=True, reseed=reseed))
            except Denied as denied:
                self._box.remove(home)
                self._box.unsettle(urgent=True)
                raise SandboxError(f"the session cannot be branched: {denied}") from None
            except (Gone, Flooded) as error:
                raise self._lost(error) from None
            if not checkpoint.shared:
                checkpoint.shared = True
                self._drop_spare()
            checkpoint.users += 1
            twin = ForkSession(self._box, home, checkpoint, guest, layers)
            twin._cells = 0
            return twin

    async def put(self, path: str, content: bytes) -> None:
        """Write a file below the working directory, folders included. Raises `SandboxError`, also for a path outside."""
        async with self._lock:
            runner = await self._runner_for_files()
            fd = filled_file("put", content)
            try:
                reply = await self._file_request(runner, {"op": "put", "id": request_id(), "path": path}, fd)
            finally:
                os.close(fd)
            self._runner = None
            if "error" in reply:
                self._discard(runner)
                raise SandboxError(f"cannot write {path!r} in the session: {results.text(reply, 'error')}")
            self._promote(runner)

    async def fetch(self, path: str) -> bytes:
        """Read a regular file of at most 64 MB below the working directory. Raises `SandboxError`."""
        async with self._lock:
            runner = await self._runner_for_files()
            fd = bounded_file("fetch", results.MAX_FETCH)
            try:
                reply = await self._file_request(runner, {"op": "fetch", "id": request_id(), "path": path}, fd)
                if "error" in reply:
                    raise SandboxError(f"cannot read {path!r} in the session: {results.text(reply, 'error')}")
                return written(fd, results.MAX_FETCH)
            finally:
                os.close(fd)

    async def close(self) -> None:
        """Drop the session and its state; a cell that runs is killed. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._spare is not None:
            self._spare.cancel()
        self._drop_spare()
        self._box.sessions.discard(self)
        self._box.release(self._checkpoint)
        self._box.remove(self._home)
        self._box.unsettle(urgent=True)

    async def _runner_for_files(self) -> Guest:
        try:
            return await self._ready_runner()
        except Denied as denied:
            self._box.unsettle(urgent=True)
            raise SandboxError(f"no process could be made in the session: {denied}") from None

    async def _file_request(self, runner: Guest, message: Mapping[str, Any], fd: int) -> Mapping[str, Any]:
        try:
            async with runner.lock:
                return await runner.ask(message, [fd], timeout_s=FILE_PATIENCE_S)
        except (Gone, Flooded) as error:
            self._runner = None
            self._discard(runner)
            raise self._lost(error) from None

    async def _ready_runner(self, *, ahead: bool = False) -> Guest:
        """A process with the session's state that has run nothing, forked now unless there is one. Raises `Denied`."""
        self._check_open()
        if self._runner is not None:
            return self._runner
        checkpoint = self._checkpoint
        order = Fork(home=self._home, ahead=ahead)
        if self._dirty:
            order.fill = checkpoint.snapshot
        elif checkpoint.snapshot is None:
            order.snapshot = self._box.new_name()
        try:
            runner, self._runner_layers = await self._box.fork(checkpoint, order)
        except (Gone, Flooded) as error:
            raise self._lost(error) from None
        if self._closed:
            self._box.drop(runner)
            raise self._closed_error()
        self._dirty = False
        self._runner = runner
        return runner

    async def _execute(self, runner: Guest, code: str, limits: Limits, capture: Capture) -> tuple[ExecResult, bool]:
        """Run the cell in `runner`; the result without its output, and whether the process may be kept."""
        message: dict[str, Any] = {
            "op": "run",
            "id": request_id(),
            "cap": limits.output_bytes,
            "processes": self._box.process_limit,
            "code": code,
        }
        fds = [capture.out, capture.err]
        extra = -1
        if len(code) > INLINE_CODE:
            extra = filled_file("code", code.encode("utf-8", "replace"))
            fds.append(extra)
            message["code"] = ""
        interrupted: float | None = None
        self._running = runner
        try:
            runner.send(message, fds)
            reply = await runner.answer(message["id"], limits.wall_s)
            if reply is None:
                interrupted = limits.wall_s
                runner.signal(signal.SIGINT)
                reply = await runner.answer(message["id"], limits.grace_s)
            if reply is None:
                return results.killed(limits.wall_s), False
        except Gone:
            await runner.died(1.0)
            return results.died(await self._box.cause_of_death(runner)), False
        except Flooded as error:
            return results.failed(ExecFailure.CHANNEL, f"the cell broke the protocol: {error}"), False
        finally:
            self._running = None
            if extra >= 0:
                os.close(extra)
        if reply.get("threads"):
            reason = "the cell left threads running, which cannot be kept; join threads and close pools before it ends"
            return results.failed(ExecFailure.FORK_DENIED, reason), False
        return results.from_reply(reply, interrupted_after_s=interrupted), True

    def _promote(self, runner: Guest) -> None:
        """The process that ran becomes the state to return to."""
        old, self._checkpoint = self._checkpoint, Checkpoint(guest=runner, layers=self._runner_layers)
        self._dirty = False
        # The result need not wait for the end of the old process.
        asyncio.get_running_loop().call_soon(self._box.release, old)

    def _discard(self, runner: Guest) -> None:
        """Take a process back; files it may have touched are restored by the next fork."""
        self._box.drop(runner)
        self._dirty = True
        self._box.unsettle(urgent=True)

    def _drop_spare(self) -> None:
        """End processes that hold nothing a cell has done; a running cell's process too, when the session closes."""
        if self._runner is not None:
            self._box.drop(self._runner)
            self._runner = None
        if self._closed and self._running is not None:
            self._running.signal(signal.SIGKILL)

    def _prepare_next(self) -> None:
        """In a chain of cells, fork for the next one while the model thinks."""
        if self._cells >= CHAIN and not self._checkpoint.shared:
            self._spare = asyncio.get_running_loop().create_task(self._fork_ahead())

    async def _fork_ahead(self) -> None:
        async with self._lock:
            if not self._closed and self._runner is None:
                try:
                    await self._ready_runner(ahead=True)
                except (Denied, SandboxError):
                    # The cell that needs the process will ask again and report.
                    return

    def _check_open(self) -> None:
        if self._closed:
            raise self._closed_error()
        if not self._box.zygote.alive:
            raise SandboxError("the sandbox of this session is closed")

    def _closed_error(self) -> SandboxError:
        return SandboxError("the session is closed; open a new one")

    def _lost(self, error: Exception) -> SandboxError:
        return SandboxError(f"the session's state is lost: {error or 'its process is gone'}; open a new session")
