"""What a sandbox is asked for: one configuration per back end, told apart by `backend`."""

import importlib.util
import os
from dataclasses import dataclass, field
from typing import Literal

from tirage.core.errors import ConfigError
from tirage.sandbox import allowlist

PRELOADED = ("numpy", "sympy", "scipy")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """The forking box: isolation demanded and resources allowed. Raises `ConfigError` for values that cannot be kept."""

    backend: Literal["fork"] = "fork"
    min_rung: int = 2
    """Weakest isolation accepted: 1 demands namespaces, 2 accepts Landlock alone. Nothing below 2 without `unsafe`."""
    first_rung: int = 1
    """Strongest isolation tried; 2 leaves namespaces out although the host may have them."""
    memory_mb: int = 1024
    """Address space and data of each process beyond what the preloaded interpreter itself takes."""
    total_mb: int | None = None
    """Memory of all processes and files of a box together; None takes four times `memory_mb`. Kept by a cgroup where the host lets one be
    made, else by a watch over the running cell and what it started, twenty times a second."""
    processes: int = 64
    """Processes and threads that one cell may start. All sessions of a box together stay below 4,096 whatever a cell does."""
    scratch_mb: int = 256
    """Files of all sessions of a box together (rung 1), and the largest single file."""
    sessions_per_box: int = 1
    """How many opened sessions share a box, and with it temporary directory, disk space and process table; branches always stay in the box
    of their session. A box takes some 10 ms to build, a session in it 3."""
    threads: Literal["refuse", "replay"] = "refuse"
    """A cell that leaves threads running cannot be forked from. `refuse` takes it back with an error that says so. `replay` keeps it:
    later cells run in the same process, so that one that dies costs a replay of those before it, and a branch is a replay."""
    live_mb: int | None = None
    """Memory for the frozen processes of all sessions; None takes half of what the host has free. Beyond it the state used least
    recently loses its process and is rebuilt by replay when it is needed again, which results tell (`ExecResult.state`)."""
    preload: tuple[str, ...] = field(default_factory=lambda: tuple(name for name in PRELOADED if importlib.util.find_spec(name)))
    """Modules loaded once and shared by all sessions: numpy, sympy and scipy where they are installed. scipy's parts are loaded by the
    cells that need them: four of them would add a second to the start and 70 MB."""
    readable: tuple[str, ...] = ()
    """Further files and directories of the host that sessions may read, at the same place, and never write."""
    network: tuple[str, ...] = ()
    """Destinations that sessions may reach: `host` (ports 80 and 443), `host:port` or `*.domain`; none by default. Needs rung 1. Everything
    else stays out of reach: the box has no network but an HTTP proxy of the host's, which the usual variables (`https_proxy`) name. A
    connection that a cell leaves open is shared by the branches made from its state."""
    unsafe: bool = False
    """Allow rung 4: run without isolation where the host gives none. Code can then read and write as you can."""

    @property
    def most_mb(self) -> int:
        """Memory of a box in all."""
        return 4 * self.memory_mb if self.total_mb is None else self.total_mb

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        _check_backend(self.backend, "fork")
        for path in self.readable:
            if not os.path.isabs(path) or os.path.normpath(path) == "/" or not os.path.exists(path):
                raise ConfigError(f"sandbox readable={path!r} must be an absolute path that exists, and not the root")
        for entry in self.network:
            allowlist.parse(entry)
        if self.network and (self.first_rung != 1 or self.unsafe):
            raise ConfigError("a sandbox with network entries needs rung 1: first_rung must be 1 and unsafe off")
        if self.min_rung not in (1, 2) or self.first_rung not in (1, 2) or self.first_rung > self.min_rung:
            raise ConfigError(
                f"min_rung={self.min_rung} and first_rung={self.first_rung} must be 1 or 2, and first_rung must not be above min_rung"
            )
        live_mb = 1 if self.live_mb is None else self.live_mb
        _check_positive(memory_mb=self.memory_mb, processes=self.processes, scratch_mb=self.scratch_mb, live_mb=live_mb)
        _check_positive(total_mb=self.most_mb, sessions_per_box=self.sessions_per_box)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """One container per box, without network and privileges; the forking box's own guest runs inside it."""

    image: str
    """An image with Python >= 3.11, by name; it must be on the engine already."""
    backend: Literal["docker"] = "docker"
    python: str = "python3"
    """The interpreter in the image."""
    runtime: str | None = None
    """The engine's runtime, `runsc` for gVisor; None takes the engine's default."""
    memory_mb: int = 1024
    """Memory of the whole container, swap and files included."""
    processes: int = 1024
    """Processes and threads of the whole container; a session takes two, one cell may start 64."""
    scratch_mb: int = 256
    """Size of /tmp, the one directory that can be written."""
    cpus: float | None = None
    """Processors of the whole container; None sets no limit."""
    preload: tuple[str, ...] = ()
    """Modules of the image loaded once and shared by all sessions."""
    url: str | None = None
    """The engine's address; None takes it from the environment, as the docker command does."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        _check_backend(self.backend, "docker")
        _check_positive(memory_mb=self.memory_mb, processes=self.processes, scratch_mb=self.scratch_mb)
        if not self.image:
            raise ConfigError("the docker sandbox needs the name of an image with Python >= 3.11")


@dataclass(frozen=True, slots=True, kw_only=True)
class JupyterConfig:
    """One kernel process per session: rich displays and other languages; a branch is a replay."""

    backend: Literal["jupyter"] = "jupyter"
    kernel: str = "python3"
    """Name of an installed kernel, as `jupyter kernelspec list` shows it."""
    start_s: float = 60.0
    """Seconds until a kernel must answer."""
    memory_mb: int = 2048
    """Address space of the kernel process beyond what the kernel itself takes."""
    processes: int = 64
    scratch_mb: int = 256
    """The largest single file."""
    unsafe: bool = False
    """Allow kernels without isolation where the host gives none. Code can then read and write as you can."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        _check_backend(self.backend, "jupyter")
        _check_positive(memory_mb=self.memory_mb, processes=self.processes, scratch_mb=self.scratch_mb, start_s=self.start_s)


AnyConfig = SandboxConfig | DockerConfig | JupyterConfig


def _check_backend(given: str, mine: str) -> None:
    if given != mine:
        known = "fork (SandboxConfig), docker (DockerConfig), jupyter (JupyterConfig)"
        raise ConfigError(f"sandbox backend {given!r} is not known here; known: {known}")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ConfigError(f"sandbox {name}={value} must be above 0")
