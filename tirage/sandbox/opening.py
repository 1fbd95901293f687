"""The door from a configuration to a sandbox, or to an error that says what is missing.

Besides the back ends here, `module:attribute` of a sandbox's class, or of a function that makes one, is one, and so is what installed
packages offer in the entry-point group `tirage.sandboxes`.
"""

import inspect
import platform
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

from tirage.core.errors import ConfigError, SandboxError
from tirage.core.extension import ExtensionPoint, make_with
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


OWN: ExtensionPoint[Callable[..., Any]] = ExtensionPoint(
    "sandbox", "tirage.sandboxes", "a sandbox's class or a function that makes one", callable
)
_NO_ISOLATION = 4
"""The rung of a back end that isolates nothing."""


def open_own_sandbox(name: str, settings: Mapping[str, Any], options: Mapping[str, Any]) -> Sandbox:
    """The sandbox that the back end `name` makes: `module:attribute`, or what a package offers.

    It is called with those of `settings` that its parameters name, such as `memory_mb`, and with all `options`. Raises `ConfigError` for
    what does not load, is no sandbox or has no such option, `SandboxError` for one that isolates nothing unless `settings` has `unsafe`.
    """
    make = OWN.load(name)
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise ConfigError(f"sandbox {name!r} has no option {option!r}; its options: {', '.join(known) or 'none'}")
    try:
        sandbox = make_with(make, {**settings, **options})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"sandbox {name!r}: {error}") from None
    missing = [member for member in ("open", "close", "capabilities", "__aenter__") if not hasattr(sandbox, member)]
    if missing or isinstance(sandbox, type):
        raise ConfigError(f"sandbox {name!r} makes a {type(sandbox).__name__}, which opens no sessions; give {OWN.wanted}")
    if sandbox.capabilities.rung >= _NO_ISOLATION and not settings.get("unsafe"):
        raise SandboxError(f"sandbox {name!r} isolates nothing; set sandbox.unsafe=true to run a model's code in it", boundary="sandbox")
    found: Sandbox = sandbox
    return found
