"""Floor 1: untrusted code, contained, in sessions that can branch."""

from tirage.sandbox.base import ExecFailure, ExecResult, Limits, Sandbox, SandboxCapabilities, Session
from tirage.sandbox.config import SandboxConfig
from tirage.sandbox.opening import open_sandbox

__all__ = [
    "ExecFailure",
    "ExecResult",
    "Limits",
    "Sandbox",
    "SandboxCapabilities",
    "SandboxConfig",
    "Session",
    "open_sandbox",
]
