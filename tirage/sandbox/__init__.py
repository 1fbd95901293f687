"""Floor 1: untrusted code, contained, in sessions that can branch."""

from tirage.sandbox.base import CallResult, Calls, ExecFailure, ExecResult, Limits, Sandbox, SandboxCapabilities, Session, StateKind
from tirage.sandbox.config import AnyConfig, DockerConfig, JupyterConfig, SandboxConfig
from tirage.sandbox.opening import open_sandbox
from tirage.sandbox.pool import Pool

__all__ = [
    "AnyConfig",
    "CallResult",
    "Calls",
    "DockerConfig",
    "ExecFailure",
    "ExecResult",
    "JupyterConfig",
    "Limits",
    "Pool",
    "Sandbox",
    "SandboxCapabilities",
    "SandboxConfig",
    "Session",
    "StateKind",
    "open_sandbox",
]
