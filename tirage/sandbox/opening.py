"""The door from a configuration to a sandbox, or to an error that says what is missing."""

import platform
import sys
from typing import TYPE_CHECKING, overload

from tirage.core.errors import SandboxError
from tirage.sandbox.base import Sandbox
from tirage.sandbox.config import AnyConfig, DockerConfig, JupyterConfig, SandboxConfig

if TYPE_CHECKING:
    from tirage.sandbox.docker.sandbox import DockerSandbox
    from tirage.sandbox.fork import ForkSandbox
    from tirage.sandbox.jupyter.sandbox import JupyterSandbox


@overload
def open_sandbox(config: SandboxConfig | None = None) -> "ForkSandbox": ...
@overload
def open_sandbox(config: DockerConfig) -> "DockerSandbox": ...
@overload
def open_sandbox(config: JupyterConfig) -> "JupyterSandbox": ...


def open_sandbox(config: AnyConfig | None = None) -> Sandbox:
    """The sandbox that `config` asks for, the forking box by default; use it as an async context manager.

    Processes start on entry or at the first `open`; only then is it known whether the host gives the isolation demanded, and
    `SandboxError` with reason and remedy says when it does not. Raises `SandboxError` at once for the forking box on a host
    that is not Linux.
    """
    match config:
        case DockerConfig():
            from tirage.sandbox.docker.sandbox import DockerSandbox

            return DockerSandbox(config)
        case JupyterConfig():
            from tirage.sandbox.jupyter.sandbox import JupyterSandbox

            return JupyterSandbox(config)
        case _:
            return _forking(config or SandboxConfig())


def _forking(config: SandboxConfig) -> "ForkSandbox":
    if sys.platform != "linux":
        raise SandboxError(
            f"the fork sandbox needs Linux, this is {platform.system()}; use the docker back end (sandbox.backend=docker, DockerConfig), "
            "or run tirage inside a Linux container, WSL2 or a virtual machine",
            boundary="sandbox",
        )
    from tirage.sandbox.fork import ForkSandbox

    return ForkSandbox(config)
