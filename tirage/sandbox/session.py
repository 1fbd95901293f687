"""A session of the forking box: a checkpoint to return to, and a process forked from it to run the next cell in."""

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import Mapping

from tirage.core.errors import SandboxError
from tirage.sandbox import results
from tirage.sandbox.base import Calls, ExecFailure, ExecResult, Limits, check_code
from tirage.sandbox.box import Box, Denied, Fork, FrozenState
from tirage.sandbox.calls import CallGate
from tirage.sandbox.capture import bounded_file, filled_file, written
from tirage.sandbox.execution import Fate, file_request, run_cell
from tirage.sandbox.frames import Flooded
from tirage.sandbox.guests import Gone, Guest
from tirage.sandbox.journal import Cell, Entry, File, Journal, Seed, digest
from tirage.sandbox.revival import rebuild, revive

CHAIN = 2
FULL_TABLE_S = 2.0


class ForkSession:
    """A stateful interpreter whose cells are transactions: each runs in a fork, and the fork is the new state if it lives."""

    def __init__(
        self, box: Box, home: str, checkpoint: FrozenState, runner: Guest | None, runner_layers: int, seed: int | None = None
    ) -> None:
        """`runner` was forked from `checkpoint`, works in `home`, has run nothing yet and had its random generators set to `seed`."""
        self.lock = asyncio.Lock()
        self._box = box
        self._home = home
        self._checkpoint = checkpoint
        self._runner = runner
        self._runner_layers = runner_layers
        self._seed = seed
        """New start of the random generators for each process that is forked from the checkpoint of another session."""
        self._running: Guest | None = None
        self._dirty = False
        """True when files in `home` are those of a cell that was taken back."""
        self._cells = 0
        self._output_bytes = Limits().output_bytes
        """Output limit of the cell before, which the next one is likely to have."""
        self._closed = False
        self._spare: asyncio.Task[None] | None = None
        checkpoint.holders.add(self)
        box.sessions.add(self)

    async def run(self, code: str, limits: Limits | None = None, *, calls: Calls | None = None) -> ExecResult:
        """Run one cell; see `Session.run`. A cancelled call takes the cell back."""
        check_code(code)
        limits = limits or Limits()
        gate = None if calls is None else CallGate(calls)
        async with self.lock:
            started = time.perf_counter()
            try:
                runner = await self._ready_runner()
            except Denied as denied:
                self._box.unsettle(urgent=True)
                result = results.failed(ExecFailure.FORK_DENIED, f"no process could be made for the cell: {denied}")
                return dataclasses.replace(result, layers=self._box.layers, duration_s=time.perf_counter() - started)
            self._runner = None
            self._running = runner
            self._output_bytes = limits.output_bytes
            try:
                result, fate = await run_cell(self._box, runner, code, limits, state=self._checkpoint.state, started=started, gate=gate)
            except BaseException:
                self._discard(runner)
                raise
            finally:
                self._running = None
            if self._closed:
                self._discard(runner)
                raise self._closed_error()
            if fate is Fate.LOST:
                self._discard(runner)
            else:
                cell = Cell(code=code, limits=limits, digest=digest(result), calls=None if gate is None else gate.record())
                self._promote(runner, cell, threaded=fate is Fate.THREADED)
                self._cells += 1
                self._prepare_next()
            return result

    async def branch(self, *, reseed: int | None = None) -> "ForkSession":
        """An independent session with the same state, files included; see `Session.branch`. Raises `SandboxError`."""
        async with self.lock:
            self._check_open()
            home = self._box.new_name()
            checkpoint = self._checkpoint
            if checkpoint.threaded:
                return await self._branch_by_replay(home, reseed)
            seed = self._seed if reseed is None else reseed
            # A snapshot that was too large to take leaves the directory as the failed cell left it.
            fill = checkpoint.snapshot if self._dirty and checkpoint.snapshot is not None else self._home
            try:
                guest, layers = await self._fork(Fork(home=home, fill=fill, branch=True, reseed=seed))
            except Denied as denied:
                self._box.remove(home)
                self._box.unsettle(urgent=True)
                raise SandboxError(f"the session cannot be branched: {denied}") from None
            if not checkpoint.shared:
                checkpoint.shared = True
                self.shed()
            return ForkSession(self._box, home, checkpoint, guest, layers, seed)

    async def _branch_by_replay(self, home: str, reseed: int | None) -> "ForkSession":
        """A session with a process of its own for a state that has threads."""
        past = self._checkpoint.journal if reseed is None else Journal(Seed(value=reseed), self._checkpoint.journal)
        made = await rebuild(self._box, past, home)
        own = FrozenState(
            box=self._box, guest=made.guest, journal=past, state=made.state, layers=made.layers, shared=True, snapshot="", threaded=True
        )
        return ForkSession(self._box, home, own, None, made.layers)

    async def put(self, path: str, content: bytes) -> None:
        """Write a file below the working directory, folders included. Raises `SandboxError`, also for a path outside."""
        async with self.lock:
            runner = await self._runner_for_files()
            fd = filled_file("put", content)
            try:
                reply = await self._file_request(runner, {"op": "put", "path": path}, fd)
            finally:
                os.close(fd)
            self._runner = None
            if "error" in reply:
                self._discard(runner)
                raise SandboxError(f"cannot write {path!r} in the session: {results.text(reply, 'error')}")
            self._promote(runner, File(path=path, content=content), threaded=self._checkpoint.threaded)

    async def fetch(self, path: str) -> bytes:
        """Read a regular file of at most 64 MB below the working directory. Raises `SandboxError`."""
        async with self.lock:
            runner = await self._runner_for_files()
            fd = bounded_file("fetch", results.MAX_FETCH)
            try:
                reply = await self._file_request(runner, {"op": "fetch", "path": path}, fd)
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
        self.shed()
        if self._running is not None:
            self._running.signal(signal.SIGKILL)
        self._box.sessions.discard(self)
        self._box.release(self._checkpoint, self)
        self._box.remove(self._home)
        self._box.unsettle(urgent=True)
        if not self._box.sessions:
            self._box.on_idle(self._box)

    @property
    def files(self) -> str | None:
        """The directory with the files of the session's state; None while it holds something else."""
        return None if self._dirty or self._closed or self._running is not None else self._home

    def shed(self) -> None:
        """End a process that was forked ahead: it holds nothing that a cell has done."""
        if self._runner is not None:
            self._box.drop(self._runner)
            self._runner = None

    async def _runner_for_files(self) -> Guest:
        try:
            return await self._ready_runner()
        except Denied as denied:
            self._box.unsettle(urgent=True)
            raise SandboxError(f"no process could be made in the session: {denied}") from None

    async def _file_request(self, runner: Guest, message: Mapping[str, object], fd: int) -> Mapping[str, object]:
        try:
            return await file_request(runner, message, fd)
        except (Gone, Flooded) as error:
            self._runner = None
            self._discard(runner)
            raise SandboxError(f"the process that was to handle the file is lost: {error or 'it is gone'}; try again") from None

    async def _ready_runner(self, *, ahead: bool = False) -> Guest:
        """A process with the session's state that has run nothing, forked now unless there is one. Raises `Denied`."""
        self._check_open()
        checkpoint = self._checkpoint
        if checkpoint.threaded:
            await revive(self._box, checkpoint, self._home)
            return checkpoint.guest
        if self._runner is not None and self._runner.usable:
            return self._runner
        self.shed()
        order = Fork(home=self._home, ahead_bytes=self._output_bytes if ahead else None, reseed=self._seed)
        if self._dirty:
            order.fill = checkpoint.snapshot
        elif checkpoint.snapshot is None:
            order.snapshot = self._box.new_name()
        runner, self._runner_layers = await self._fork(order)
        if self._closed:
            self._box.drop(runner)
            raise self._closed_error()
        self._dirty = False
        self._runner = runner
        return runner

    async def _fork(self, order: Fork) -> tuple[Guest, int]:
        """Fork from the checkpoint; one that was evicted or lost is brought back first. Raises `Denied` or `SandboxError`."""
        checkpoint = self._checkpoint
        self._box.shelf.use(checkpoint)
        lost = 0
        until = time.monotonic() + FULL_TABLE_S
        while lost < 2:
            if not checkpoint.guest.usable:
                self._check_open()
                await revive(self._box, checkpoint, order.home)
            try:
                return await self._box.fork(checkpoint, order)
            except Denied as denied:
                if not denied.passing or time.monotonic() > until:
                    raise
                # What a cell left running, or dead and uncollected, still fills the process table.
                await self._box.settle()
                await asyncio.sleep(0.02)
            except (Gone, Flooded):
                lost += 1
                if not checkpoint.pinned:
                    self._box.drop(checkpoint.guest)
        raise SandboxError("the session's state is lost: its process is gone, time and again; open a new session")

    def _promote(self, runner: Guest, entry: Entry, *, threaded: bool = False) -> None:
        """The process that did `entry` becomes the state to return to."""
        if runner.capture is not None:
            runner.capture.close()
        old, past = self._checkpoint, self._checkpoint.journal
        if self._seed is not None:
            past, self._seed = Journal(Seed(value=self._seed), past), None
        journal = Journal(entry, past)
        if old.threaded:
            self._box.went_on(old, journal, threaded=threaded)
            return
        grown = FrozenState(
            box=self._box,
            guest=runner,
            journal=journal,
            state=old.state,
            layers=self._runner_layers,
            holders={self},
            threaded=threaded,
        )
        self._box.states[journal] = self._checkpoint = grown
        self._dirty = False
        # The result need not wait for the end of the old process.
        asyncio.get_running_loop().call_soon(self._retire, old, grown)

    def _retire(self, old: FrozenState, grown: FrozenState) -> None:
        inherited_mb = self._box.release(old, self)
        self._box.shelve(grown, before=old, inherited_mb=inherited_mb)

    def _discard(self, runner: Guest) -> None:
        """Take a process back; files it may have touched are restored by the next fork."""
        self._box.drop(runner)
        self._dirty = True
        self._box.unsettle(urgent=True)

    def _prepare_next(self) -> None:
        """In a chain of cells, fork for the next one while the model thinks."""
        if self._cells >= CHAIN and not self._checkpoint.shared and not self._checkpoint.threaded:
            asyncio.get_running_loop().call_soon(self._start_spare)

    def _start_spare(self) -> None:
        if not self._closed and self._runner is None:
            self._spare = asyncio.get_running_loop().create_task(self._fork_ahead())

    async def _fork_ahead(self) -> None:
        async with self.lock:
            if not self._closed and self._runner is None and self._checkpoint.guest.usable:
                try:
                    await self._ready_runner(ahead=True)
                except (Denied, SandboxError):
                    # The cell that needs the process will ask again and report.
                    return

    def _check_open(self) -> None:
        if self._closed:
            raise self._closed_error()
        if not self._box.zygote.usable:
            raise SandboxError("the sandbox of this session is closed")

    def _closed_error(self) -> SandboxError:
        return SandboxError("the session is closed; open a new one")
