"""The sandbox that a configuration names."""

from tirage.core.errors import ConfigError
from tirage.runtime.config import SANDBOXES, SandboxOptions
from tirage.sandbox import DockerConfig, JupyterConfig, Pool, SandboxConfig, open_sandbox
from tirage.sandbox.base import Sandbox
from tirage.sandbox.config import AnyConfig
from tirage.sandbox.opening import open_own_sandbox


def open_interpreter(options: SandboxOptions) -> Sandbox:
    """The sandbox of a run, to be entered. Raises `SandboxError` when the demanded isolation cannot be had."""
    if options.backend not in SANDBOXES:
        own = options.model_dump(exclude={"backend", "options"})
        return Pool(open_own_sandbox(options.backend, own, options.options), warm=options.warm)
    if options.options:
        raise ConfigError(f"sandbox.options belong to a sandbox of your own; {options.backend} has none, leave them out")
    return Pool(open_sandbox(sandbox_config(options)), warm=options.warm)


def sandbox_config(options: SandboxOptions) -> AnyConfig:
    """What the back end that a run names is asked for. Raises `ConfigError` when an option that it needs is missing."""
    match options.backend:
        case "docker":
            if not options.image:
                remedy = "set sandbox.image=NAME (scripts/docker_image.sh NAME builds one)"
                raise ConfigError(f"sandbox backend 'docker' needs an image with Python >= 3.11; {remedy}")
            return DockerConfig(image=options.image, runtime=options.runtime, memory_mb=options.memory_mb)
        case "jupyter":
            return JupyterConfig(kernel=options.kernel, memory_mb=options.memory_mb, unsafe=options.unsafe)
        case "fork":
            return SandboxConfig(
                min_rung=options.min_rung,
                memory_mb=options.memory_mb,
                readable=options.readable,
                network=options.network,
                unsafe=options.unsafe,
            )
        case own:
            raise ConfigError(f"sandbox back end {own!r} is your own and has no configuration here; open it with open_interpreter")
