"""The Jupyter back end: one kernel process per session, for rich displays and other languages.

A kernel runs threads and cannot be forked, so a branch is a fresh kernel in which the session's cells run again; results say so. The
kernel is confined before it starts by what needs no namespace: a user of its own, Landlock, seccomp, resource limits.
"""

import asyncio
import dataclasses
import sys
from typing import Self

from tirage.core.errors import SandboxError
from tirage.sandbox import journal
from tirage.sandbox.base import Calls, ExecResult, Limits, SandboxCapabilities, StateKind, check_code, no_calls
from tirage.sandbox.config import JupyterConfig
from tirage.sandbox.journal import Cell, File, Journal, Seed, digest
from tirage.sandbox.jupyter.kernel_files import read_beneath
from tirage.sandbox.jupyter.kernel_process import Kernel, kernel_argv


class JupyterSandbox:
    """Sessions in kernels. Use as an async context manager, or `close` it."""

    def __init__(self, config: JupyterConfig) -> None:
        """Nothing is started yet."""
        self._config = config
        self._kernels: set[Kernel] = set()
        self._closed = False
        rung = 2 if sys.platform == "linux" else 4
        self._capabilities = SandboxCapabilities(backend="jupyter", rung=rung, can_branch=True, exact=False)

    @property
    def capabilities(self) -> SandboxCapabilities:
        """What is promised; the layers are known after the first `open`."""
        return self._capabilities

    async def __aenter__(self) -> Self:
        """Check that the kernel is installed."""
        kernel_argv(self._config.kernel)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all kernels."""
        await self.close()

    async def open(self) -> "JupyterSession":
        """A session in a fresh kernel. Raises `SandboxError` when the kernel does not start or cannot be confined."""
        return JupyterSession(self, await self.start())

    async def start(self) -> "Kernel":
        """A fresh kernel."""
        if self._closed:
            raise SandboxError("the sandbox is closed; open a new one")
        if sys.platform != "linux" and not self._config.unsafe:
            raise SandboxError("kernels can be confined on Linux only; use the docker back end, or ask for unsafe=True")
        kernel = Kernel(self._config)
        self._kernels.add(kernel)
        try:
            layers, notes = await kernel.start()
        except BaseException:
            await asyncio.shield(self.end(kernel))
            raise
        rung = 2 if {"landlock", "seccomp", "rlimits", "privileges"} <= set(layers) else 4
        self._capabilities = dataclasses.replace(self._capabilities, rung=rung, layers=layers, notes=notes)
        return kernel

    async def end(self, kernel: "Kernel") -> None:
        """End a kernel and delete its files."""
        self._kernels.discard(kernel)
        await kernel.stop()

    async def close(self) -> None:
        """End all kernels; idempotent."""
        self._closed = True
        await asyncio.gather(*(self.end(kernel) for kernel in list(self._kernels)))


class JupyterSession:
    """A kernel, and the journal from which it can be made again."""

    def __init__(self, sandbox: JupyterSandbox, kernel: "Kernel", past: Journal | None = None, state: StateKind = StateKind.FORKED) -> None:
        """`kernel` is in the state that `past` made."""
        self._sandbox = sandbox
        self._kernel: Kernel | None = kernel
        self._journal = past
        self._state = state
        self._lock = asyncio.Lock()
        self._closed = False

    async def run(self, code: str, limits: Limits | None = None, *, calls: Calls | None = None) -> ExecResult:
        """Run one cell; see `Session.run`. A cell that kills the kernel costs a replay of the cells before it."""
        check_code(code)
        no_calls(calls, "jupyter")
        limits = limits or Limits()
        async with self._lock:
            kernel = await self._ready()
            try:
                result, lived = await kernel.execute(code, limits)
            except BaseException:
                await asyncio.shield(self._lose())
                raise
            if self._closed:
                raise self._closed_error()
            result = dataclasses.replace(result, state=self._state, layers=self._sandbox.capabilities.layers)
            if lived:
                self._journal = Journal(Cell(code=code, limits=limits, digest=digest(result)), self._journal)
            else:
                await self._lose()
            return result

    async def branch(self, *, reseed: int | None = None) -> "JupyterSession":
        """A session in a fresh kernel, brought to the same state by replay. Raises `SandboxError`."""
        async with self._lock:
            self._check_open()
            past = self._journal
            kernel, state = await self._rebuild(past)
            twin = JupyterSession(self._sandbox, kernel, past, state)
        if reseed is not None:
            await kernel.reseed(reseed)
            twin._journal = Journal(Seed(value=reseed), past)
        return twin

    async def put(self, path: str, content: bytes) -> None:
        """Write a file below the working directory, folders included. Raises `SandboxError`, also for a path outside."""
        async with self._lock:
            kernel = await self._ready()
            await kernel.put(path, content)
            self._journal = Journal(File(path=path, content=content), self._journal)

    async def fetch(self, path: str) -> bytes:
        """Read a regular file of at most 64 MB below the working directory. Raises `SandboxError`."""
        async with self._lock:
            kernel = await self._ready()
            return await asyncio.to_thread(read_beneath, kernel.home, path)

    async def close(self) -> None:
        """End the kernel; idempotent."""
        self._closed = True
        await self._lose()

    async def _ready(self) -> "Kernel":
        self._check_open()
        if self._kernel is None or not await self._kernel.alive():
            await self._lose()
            self._kernel, self._state = await self._rebuild(self._journal)
        return self._kernel

    async def _rebuild(self, past: Journal | None) -> "tuple[Kernel, StateKind]":
        kernel = await self._sandbox.start()
        try:
            entries = journal.entries(past)
            return kernel, await journal.replay(kernel, entries) if entries else StateKind.FORKED
        except BaseException:
            await asyncio.shield(self._sandbox.end(kernel))
            raise

    async def _lose(self) -> None:
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await self._sandbox.end(kernel)

    def _check_open(self) -> None:
        if self._closed:
            raise self._closed_error()

    def _closed_error(self) -> SandboxError:
        return SandboxError("the session is closed; open a new one")
