"""One vLLM server process: start, wait until it serves, see it die, stop it without leaving orphans."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tirage.core.errors import ConfigError, ModelError, ModelUnavailable, TirageError
from tirage.models.openai.server import Server

_REMEDY = "build vLLM's environment with scripts/vllm_env.sh (or: make vllm), or set TIRAGE_VLLM_PYTHON to a python that has vllm"
_DROPPED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
"""Variables of this process that would confuse the server's interpreter, or that are none of its business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start the server."""

    python: Path
    """Interpreter of vLLM's environment."""
    model: str
    """Folder or hub name."""
    served_name: str
    device: str
    """`cpu` or `cuda`."""
    dtype: str | None = None
    """float32 on the CPU by default (several times as fast there as bfloat16 without AVX512-BF16), vLLM's own choice on CUDA."""
    block_size: int | None = None
    """Tokens per cache block; when None 32 on the CPU, where it must be a multiple of that, and vLLM's default on CUDA. A turn that goes on
    computes its last, unfilled block again."""
    arguments: tuple[str, ...] = ()
    """Further arguments of the server, e.g. `--enable-lora`."""
    ready_s: float = 900.0
    """Seconds it may take until it serves."""
    kv_cache_gb: int = 1
    """Size of the key/value cache on the CPU."""


def find_python(given: str | Path | None = None) -> Path:
    """The interpreter that has vLLM: `given`, TIRAGE_VLLM_PYTHON, `.venv-vllm` here or beside the package, or this one.

    Raises:
        ConfigError: There is none; the message says how to make one.
    """
    named = given or os.environ.get("TIRAGE_VLLM_PYTHON")
    if named:
        if not os.access(named, os.X_OK):
            raise ConfigError(f"{named} is not an interpreter that can be run; {_REMEDY}")
        return Path(named)
    for folder in (Path.cwd(), Path(__file__).resolve().parents[3]):
        python = folder / ".venv-vllm" / "bin" / "python"
        if python.is_file():
            return python
    if find_spec("vllm") is not None:
        return Path(sys.executable)
    raise ConfigError(f"vLLM is not installed: no .venv-vllm in {Path.cwd()}; {_REMEDY}")


def default_device() -> str:
    """`cuda` when the machine has an NVIDIA device, else `cpu`; found without importing torch."""
    return "cuda" if Path("/dev/nvidia0").exists() else "cpu"


class ServerProcess:
    """A running server. The process group is led by a guard that ends it when this process dies (`guard.py`)."""

    def __init__(self, launch: Launch, *, log: Path | None = None) -> None:
        """Start it. `log` is appended to; a temporary file by default."""
        self._launch = launch
        self.log = log if log is not None else Path(tempfile.mkstemp(prefix="tirage-vllm-", suffix=".log")[1])
        self.api_key = secrets.token_hex(16)
        self.port = _free_port()
        with self.log.open("ab") as stream:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("guard.py")), *_command(launch, self.port)],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment(launch, os.environ, self.api_key),
            )

    @property
    def base_url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int:
        """The guard's process id, which is also the group's."""
        return self._guard.pid

    @property
    def alive(self) -> bool:
        """False once the server has ended, for whatever reason."""
        return self._guard.poll() is None

    async def wait_ready(self) -> None:
        """Return when it answers /health.

        Raises:
            ModelError: It ended before, or did not get ready in time (it is stopped then); with its last words.
        """
        deadline = time.monotonic() + self._launch.ready_s
        server = Server(self.base_url, timeout_s=5.0)
        try:
            while True:
                if not self.alive:
                    raise ModelError(
                        f"the vLLM server for {self._launch.model} ended with code {self._guard.returncode}. {self.last_words()}"
                    )
                if await _healthy(server):
                    return
                if time.monotonic() > deadline:
                    raise ModelError(
                        f"the vLLM server for {self._launch.model} was not ready after {self._launch.ready_s:g} s. {self.last_words()}"
                    )
                await asyncio.sleep(0.2)
        except BaseException:
            await self.stop()
            raise
        finally:
            await server.close()

    def last_words(self, lines: int = 15) -> str:
        """The end of the log, with its place."""
        tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        return f"Log {self.log} ends with:\n" + "\n".join(tail)

    def died(self) -> ModelUnavailable:
        """The error to raise for a call that found the server dead."""
        return ModelUnavailable(f"the vLLM server for {self._launch.model} died (code {self._guard.poll()}). {self.last_words()}")

    async def stop(self) -> None:
        """End the whole process group and wait for it; idempotent."""
        if self._guard.stdin is not None:
            with suppress(OSError):
                self._guard.stdin.close()
        await asyncio.to_thread(self._reap)

    def _reap(self) -> None:
        try:
            self._guard.wait(12.0)
        except subprocess.TimeoutExpired:
            pass
        # The guard may have been killed itself, leaving the others behind.
        with suppress(ProcessLookupError):
            os.killpg(self._guard.pid, signal.SIGKILL)
        self._guard.wait()


async def _healthy(server: Server) -> bool:
    try:
        return await server.ready("/health")
    except TirageError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(launch: Launch, port: int) -> Sequence[str]:
    dtype = launch.dtype or ("float32" if launch.device == "cpu" else None)
    block_size = launch.block_size or (32 if launch.device == "cpu" else None)
    return [
        str(launch.python),
        "-m",
        "vllm.entrypoints.openai.api_server",
        *("--model", launch.model, "--served-model-name", launch.served_name),
        *("--host", "127.0.0.1", "--port", str(port)),
        *(("--dtype", dtype) if dtype else ()),
        *(("--block-size", str(block_size)) if block_size else ()),
        # Compiling graphs on a CPU takes minutes at the first start and gains a small model nothing.
        *(("--enforce-eager",) if launch.device == "cpu" else ()),
        # A seeded request whose prompt is computed in parts ends vLLM's engine on a CPU: a CPU generator cannot be set back by a draw.
        # Without chunks a step takes only whole prompts, up to the context together; the others wait for the next one.
        *(("--no-enable-chunked-prefill",) if launch.device == "cpu" else ()),
        # Between the parts of a JSON reply any white space is allowed, and a weak model held to a schema would write nothing else.
        *("--structured-outputs-config", '{"backend": "guidance", "disable_any_whitespace": true}'),
        *launch.arguments,
    ]


def _environment(launch: Launch, base: Mapping[str, str], api_key: str) -> dict[str, str]:
    environment = {name: value for name, value in base.items() if name not in _DROPPED}
    # The key goes through the environment: arguments can be read by every user of the machine.
    environment |= {"VLLM_API_KEY": api_key, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if launch.device == "cpu":
        environment.setdefault("VLLM_CPU_KVCACHE_SPACE", str(launch.kv_cache_gb))
    return environment
