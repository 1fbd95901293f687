"""The sandbox port: untrusted code in, results out; sessions that can branch.

Covered: no host files beyond an allow-list, no network, limits on time, memory, processes, output and disk;
a cell that dies costs only itself. Not covered: kernel exploits, side channels, a result that lies (a result
is the code's claim; grade outside).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Literal, Protocol

from tirage.core.errors import ConfigError


class ExecFailure(StrEnum):
    """Why a cell did not finish normally."""

    ERROR = "error"
    """The code raised an exception."""
    SYNTAX = "syntax"
    TIMEOUT_SOFT = "timeout-soft"
    """Interrupted at the time limit; the state before the interrupt is kept."""
    TIMEOUT_KILLED = "timeout-killed"
    """Did not react to the interrupt and was killed; the session is as before the cell."""
    MEMORY = "memory"
    EXIT = "exit"
    """The code ended the interpreter."""
    SIGNAL = "signal"
    OUTPUT = "output"
    """Stopped at the output limit."""
    DISK = "disk"
    FORK_DENIED = "fork-denied"
    """No process could be made for the cell (process limit, lingering threads)."""
    CHANNEL = "channel"
    """The cell broke or flooded the protocol."""


class StateKind(StrEnum):
    """Where the state that a cell ran in came from."""

    FORKED = "forked"
    """The live process of the cell before, or a fork of it: exact."""
    REPLAYED = "replayed"
    """Rebuilt by running the cells before it again; every output was as the first time."""
    DIVERGED = "replay-diverged"
    """Rebuilt by running the cells before it again, and an output differed: the state may differ too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one cell."""

    wall_s: float = 10.0
    """Seconds until the interrupt; must be > 0."""
    grace_s: float = 0.3
    """Seconds between interrupt and kill."""
    output_bytes: int = 1 << 20
    """Cap on stdout and on stderr, each."""

    def __post_init__(self) -> None:
        """Refuse limits that cannot be kept."""
        if self.wall_s <= 0 or self.grace_s < 0 or self.output_bytes < 1:
            raise ValueError(f"limits must be positive: wall_s={self.wall_s}, grace_s={self.grace_s}, output_bytes={self.output_bytes}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What one cell did."""

    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    """repr of the last expression, clipped; None when the cell does not end in an expression or it is None."""
    value_type: str | None = None
    displays: tuple[Mapping[str, str], ...] = ()
    """Rich displays: MIME type to data (base64 for binary), in order."""
    failure: ExecFailure | None = None
    """None when the cell finished."""
    error_name: str = ""
    """Exception class, or signal name; empty when there is none."""
    error_text: str = ""
    error_line: int | None = None
    """Line in the cell, from 1."""
    traceback: str = ""
    """Trimmed to the cell's own frames, with source lines."""
    truncated: bool = False
    """True when stdout or stderr hit the cap."""
    duration_s: float = 0.0
    cpu_s: float = 0.0
    layers: tuple[str, ...] = ()
    """Isolation layers that were in force."""
    state: StateKind = StateKind.FORKED
    """Whether the state that the cell ran in was forked or rebuilt by replay."""

    @property
    def exact(self) -> bool:
        """True when the state was forked, not rebuilt."""
        return self.state is StateKind.FORKED


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxCapabilities:
    """What a back end promises, as data."""

    backend: str
    rung: int
    """Place on the isolation ladder: 1 namespaces, 2 Landlock without namespaces, 3 container, 4 none (unsafe)."""
    can_branch: bool
    exact: bool
    layers: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What this host does not give, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a function of the host gives to the cell that called it."""

    text: str
    kind: Literal["text", "json", "error"] = "text"
    """`json`: the cell gets the value that `text` writes; `error`: `ToolError` is raised in the cell, with `text`."""


class Calls(Protocol):
    """Functions of the host that a cell may call as `tools.NAME(...)`; each result reaches the cell once, replays give it again."""

    @property
    def functions(self) -> Mapping[str, Sequence[str]]:
        """Names, each with its parameters in order."""
        ...

    @property
    def most(self) -> int:
        """Calls that one cell may make; those beyond are errors in the cell."""
        ...

    async def answer(self, name: str, arguments: str) -> CallResult:
        """Serve one call; `arguments` is text that claims to be a JSON object. Cancelled when the cell's time is up or it is dead."""
        ...


def no_calls(calls: Calls | None, backend: str) -> None:
    """Raise `ConfigError` in a back end that serves no calls, if there are functions to call."""
    if calls is not None:
        raise ConfigError(f"the {backend} sandbox lets no cell call functions of the host; use the fork back end, or give none")


def check_code(code: object) -> None:
    """Raise `TypeError` for code that is no text, before anything is sent."""
    if not isinstance(code, str):
        raise TypeError(f"the code of a cell must be a string, not {type(code).__name__}; decode it first")


class Session(Protocol):
    """A stateful interpreter. Running a cell is a transaction: a cell that dies leaves the session as it was."""

    async def run(self, code: str, limits: Limits | None = None, *, calls: Calls | None = None) -> ExecResult:
        """Run one cell, which may call the functions of `calls`; their time counts towards its limit.

        Raises `SandboxError` only when the sandbox itself is broken or the session is closed, `ConfigError` when the back end serves no
        `calls`, and what a function of `calls` raises: the cell is then taken back.
        """
        ...

    async def branch(self, *, reseed: int | None = None) -> "Session":
        """An independent session with the same state, that of `random` and numpy's global generator included.

        `reseed` gives the branch's generators another start instead, so that siblings draw different numbers.
        """
        ...

    async def put(self, path: str, content: bytes) -> None:
        """Write a file below the session's working directory."""
        ...

    async def fetch(self, path: str) -> bytes:
        """Read a regular file below the session's working directory."""
        ...

    async def close(self) -> None:
        """Drop the session and its state; idempotent."""
        ...


class Sandbox(Protocol):
    """A place where sessions are opened."""

    @property
    def capabilities(self) -> SandboxCapabilities:
        """What is promised on this host; final after the first `open`."""
        ...

    async def open(self) -> Session:
        """A fresh session from the preloaded template."""
        ...

    async def close(self) -> None:
        """End everything, all sessions included; idempotent."""
        ...

    async def __aenter__(self) -> "Sandbox":
        """The sandbox itself."""
        ...

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        ...
