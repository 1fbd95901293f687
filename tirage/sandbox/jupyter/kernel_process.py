"""A Jupyter kernel's process: launched confined, spoken to over unix sockets, interrupted, killed, cleaned up after."""

import asyncio
import difflib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError, MissingExtra, SandboxError
from tirage.sandbox import results
from tirage.sandbox.base import ExecFailure, ExecResult, Limits
from tirage.sandbox.config import JupyterConfig
from tirage.sandbox.guest.scratch import remove_tree
from tirage.sandbox.journal import Cell
from tirage.sandbox.jupyter.kernel_files import write_beneath
from tirage.sandbox.jupyter.kernel_output import KernelReading

BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from guest import launch; sys.path.pop(0); launch.main(sys.argv[2], sys.argv[3:])"
SEED = """
import random as _random
_random.seed({0})
try:
    import numpy as _numpy
    _numpy.random.seed({0} % (1 << 32))
    del _numpy
except ImportError:
    pass
del _random
"""
LOOK_S = 0.25
KERNEL_UIDS = range(61_184, 65_520)


class Kernel:
    """One kernel process with its sockets and its directory."""

    def __init__(self, config: JupyterConfig) -> None:
        self._config = config
        self._root = Path(tempfile.mkdtemp(prefix=f"tirage-{os.getpid()}-"))
        self.home = self._root / "home"
        self._manager: Any = None
        self._client: Any = None
        self._uid = secrets.choice(KERNEL_UIDS) if sys.platform == "linux" and os.getuid() == 0 else -1
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Launch and wait until the kernel answers; its layers and notes. Raises `SandboxError`."""
        from jupyter_client.manager import AsyncKernelManager

        argv = kernel_argv(self._config.kernel)
        for folder in (self.home, self._root / "run"):
            folder.mkdir(mode=0o700)
            if self._uid >= 0:
                os.chown(folder, self._uid, self._uid)
        self._root.chmod(0o711)
        manager = self._manager = AsyncKernelManager(
            kernel_name=self._config.kernel,
            transport="ipc",
            ip=str(self._root / "run" / "k"),
            connection_file=str(self._root / "run" / "connection.json"),
        )
        if sys.platform == "linux":
            manager.kernel_spec.argv = [sys.executable, "-S", "-s", "-P", "-c", BOOT, str(Path(__file__).parents[1]), self._order(), *argv]
        # The provisioner opens the connection file before it launches; the kernel's own user must be able to read it.
        await manager.pre_start_kernel()
        if self._uid >= 0:
            os.chown(self._root / "run" / "connection.json", self._uid, self._uid)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        await manager.start_kernel(cwd=str(self.home), env=self._environment(), **quiet)
        self._client = manager.client()
        self._client.start_channels(hb=False, stdin=False, control=False)
        try:
            await self._client._async_wait_for_ready(timeout=self._config.start_s)
        except RuntimeError as error:
            raise self._refusal(str(error)) from None
        report = self._report()
        return tuple(report.get("layers", ())), tuple(report.get("notes", ()))

    def _order(self) -> str:
        from tirage.sandbox.fork import import_path, readable_paths

        spec = str(self._manager.kernel_spec.resource_dir)
        order = {
            "uid": self._uid,
            "unsafe": self._config.unsafe,
            "readable": [*readable_paths(), spec],
            "writable": [str(self.home), str(self._root / "run")],
            "report": str(self._root / "run" / "report.json"),
            "memory_mb": self._config.memory_mb,
            "scratch_mb": self._config.scratch_mb,
            "processes": self._config.processes,
            "path": import_path(),
        }
        return json.dumps(order)

    def _environment(self) -> dict[str, str]:
        from tirage.sandbox.fork import clean_environment

        home = str(self.home)
        own = {"HOME": home, "TMPDIR": home, "IPYTHONDIR": f"{home}/.ipython", "JUPYTER_RUNTIME_DIR": str(self._root / "run")}
        return {**clean_environment(), "MPLBACKEND": "module://matplotlib_inline.backend_inline", **own}

    def _report(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self._root / "run" / "report.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _refusal(self, said: str) -> SandboxError:
        report = self._report()
        if "failed" in report:
            layer = f"layer {report['failed']!r} failed: {report.get('text')}"
            return SandboxError(
                f"the kernel cannot be confined: {layer}; use the docker back end, or ask for unsafe=True", boundary="sandbox"
            )
        waited = f"within {self._config.start_s:g} s ({said})"
        return SandboxError(
            f"kernel {self._config.kernel!r} did not answer {waited}; try it with `jupyter console`, or a larger start_s",
            boundary="sandbox",
        )

    async def alive(self) -> bool:
        """True while the process runs."""
        return self._manager is not None and bool(await self._manager.is_alive())

    async def execute(self, code: str, limits: Limits) -> tuple[ExecResult, bool]:
        """Run one cell; the result, and whether the kernel may be kept."""
        started = time.perf_counter()
        reading = KernelReading(limits.output_bytes)
        message = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        interrupted: str = ""
        deadline = started + limits.wall_s
        while not reading.done:
            reading.take(await self._next(deadline - time.perf_counter()), message)
            over = time.perf_counter() > deadline
            if reading.full and not interrupted:
                interrupted, deadline = "output", time.perf_counter() + limits.grace_s
                await self._manager.interrupt_kernel()
            elif over and not interrupted:
                interrupted, deadline = "time", time.perf_counter() + limits.grace_s
                await self._manager.interrupt_kernel()
            elif over and not reading.done:
                kind = results.killed(limits.wall_s) if interrupted == "time" else results.failed(ExecFailure.OUTPUT, "it went on printing")
                return reading.result(kind, started), False
            elif not reading.done and not await self.alive():
                return reading.result(results.died(await self._status()), started), False
        if interrupted == "time":
            return reading.result(results.from_reply({}, interrupted_after_s=limits.wall_s), started), True
        return reading.result(None, started), True

    async def _next(self, left_s: float) -> Any:
        """The next message of the kernel; None when none came for a moment."""
        try:
            return await self._client.get_iopub_msg(timeout=max(0.001, min(LOOK_S, left_s)))
        except Exception as error:
            if type(error).__name__ == "Empty":
                return None
            raise

    async def _status(self) -> int | None:
        """The wait status of the dead kernel; None when unknown."""
        process = getattr(self._manager.provisioner, "process", None)
        code = process.poll() if process is not None else None
        return None if code is None else -code if code < 0 else code << 8

    async def repeat(self, cell: Cell) -> ExecResult:
        """For replays: a cell that went well before must do so again."""
        result, lived = await self.execute(cell.code, cell.limits)
        if not lived:
            raise SandboxError(
                f"the session's state is lost: a cell ended the kernel in the replay: {result.error_text}; open a new session"
            )
        return result

    async def put(self, path: str, content: bytes) -> None:
        """Write a file below the working directory."""
        await asyncio.to_thread(write_beneath, self.home, path, content, self._uid)

    async def reseed(self, value: int) -> None:
        """Start the random generators of a Python kernel again. Raises `SandboxError` for other languages."""
        language = str(self._manager.kernel_spec.language).lower()
        if language != "python":
            raise SandboxError(f"a {language} kernel cannot be reseeded; branch without reseed")
        await self.execute(SEED.format(value), Limits())

    async def stop(self) -> None:
        """End the process and delete the files; idempotent, and not to be cut short by a cancellation."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
        if self._manager is not None and self._manager.has_kernel:
            await self._manager.shutdown_kernel(now=True)
        if self._manager is not None:
            self._manager.context.destroy(linger=0)
        await asyncio.to_thread(remove_tree, str(self._root))


def kernel_argv(name: str) -> list[str]:
    """The command of an installed kernel, as a specification gives it. Raises `ConfigError` naming those installed."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        raise MissingExtra("jupyter_client", "jupyter") from None
    manager = KernelSpecManager()
    try:
        argv = list(manager.get_kernel_spec(name).argv)
    except NoSuchKernel:
        known = sorted(manager.find_kernel_specs())
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(known) or "none; pip install 'tirage[jupyter]'"
        raise ConfigError(f"no kernel {name!r} is installed; {remedy}installed: {listed}") from None
    if os.path.basename(argv[0]).startswith("python") and argv[1:3] != ["-m", "ipykernel_launcher"]:
        return argv
    return [sys.executable, *argv[1:]] if argv[1:3] == ["-m", "ipykernel_launcher"] and name == "python3" else argv
