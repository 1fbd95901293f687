"""The door from a configuration to a sandbox, or to an error that says what is missing."""

import platform
import sys
from typing import TYPE_CHECKING

from tirage.core.errors import SandboxError
from tirage.sandbox.config import SandboxConfig

if TYPE_CHECKING:
    from tirage.sandbox.fork import ForkSandbox


def open_sandbox(config: SandboxConfig | None = None) -> "ForkSandbox":
    """The sandbox that `config` asks for; use it as an async context manager.

    Processes start on entry or at the first `open`; only then is it known whether the host gives the isolation demanded, and
    `SandboxError` with reason and remedy says when it does not. Raises `SandboxError` at once on a host that is not Linux.
    """
    if sys.platform != "linux":
        raise SandboxError(
            f"the fork sandbox needs Linux, this is {platform.system()}; run tirage inside a Linux container, WSL2 or a virtual machine",
            boundary="sandbox",
        )
    from tirage.sandbox.fork import ForkSandbox

    return ForkSandbox(config or SandboxConfig())
