"""The Docker engine, by its own client library: blocking calls, and errors of one line.

The only module that imports `docker`.
"""

import datetime
import difflib
import functools
import io
import os
import platform
import secrets
import ssl
import struct
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox.config import DockerConfig
from tirage.sandbox.layers import SANDBOX_UIDS
from tirage.sandbox.results import one_line

LABEL = "tirage"
"""Every container carries it, with the host's name, process and start: docker ps -a --filter label=tirage."""
STARTED = int(time.time())
SCRATCH = "/tmp"
CALL_S = 120
POOL = 64
PACKAGE = Path(__file__).parents[2]
NEEDED = ("core/errors.py", "core/codec.py", "sandbox/*.py", "sandbox/docker/relay.py", "sandbox/guest/**/*.py")
EMPTY = ("tirage/__init__.py", "tirage/core/__init__.py", "tirage/sandbox/__init__.py", "tirage/sandbox/docker/__init__.py")
BOOT = f"""
import sys
if sys.version_info < (3, 11):
    sys.exit("its Python is %d.%d; take an image with Python 3.11 or later" % sys.version_info[:2])
try:
    import asyncio, ctypes, os
except ImportError as error:
    sys.exit("its Python is incomplete (%s); take an image with the whole standard library" % error)
def take(size):
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            sys.exit("the host let go")
        data += part
    return data
with open("{SCRATCH}/tirage.zip", "wb") as file:
    file.write(take(int.from_bytes(take(4), "big")))
sys.path.insert(0, "{SCRATCH}/tirage.zip")
from tirage.sandbox.docker import relay
relay.main()
"""


@functools.cache
def archive() -> bytes:
    """What the boot program takes from its stdin: a size and the sandbox's own sources, to be imported from the archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in EMPTY:
            file.writestr(name, "")
        for pattern in NEEDED:
            for path in sorted(PACKAGE.glob(pattern)):
                name = f"tirage/{path.relative_to(PACKAGE).as_posix()}"
                if name not in EMPTY:
                    file.write(path, name)
    return struct.pack("!I", buffer.tell()) + buffer.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A running container and the stream of its stdin, stdout and stderr."""

    id: str
    stream: Any
    """Something with `recv`, `sendall` and `close`."""
    holder: Any
    """What the client library handed out; closing it ends the connection."""
    notes: tuple[str, ...]
    """What the engine warned of."""

    def close(self) -> None:
        """End the connection; the program in the container sees the end of its input and leaves."""
        with suppress(OSError, AttributeError):
            # Other objects of the client library hold the same socket, so closing one alone ends nothing.
            self.stream.shutdown(2)
        for part in (getattr(self.holder, "_response", None), self.holder):
            # The one may have closed the other, which then says so.
            with suppress(OSError, ValueError):
                if part is not None:
                    part.close()


class Engine:
    """One engine that answered. Raises `SandboxError` where it stops doing so. Its methods may be called from several threads."""

    def __init__(self, config: DockerConfig) -> None:
        """Connect to `config.url`, or to what the environment and the docker command's context name, and look for the image."""
        try:
            import docker
        except ImportError:
            raise ConfigError("the docker sandbox needs the package docker; install it with: pip install 'docker>=7.1,<8'") from None
        self._docker = docker
        self.url = config.url or os.environ.get("DOCKER_HOST") or ""
        try:
            self.url = self.url or docker.ContextAPI.get_current_context().Host
            options = {} if config.url else docker.utils.kwargs_from_env()
            options.setdefault("base_url", self.url)
            self._api = docker.APIClient(**options, version="auto", timeout=CALL_S, max_pool_size=POOL)
            self._info = self._api.info()
        except (docker.errors.DockerException, OSError, ValueError) as error:
            raise SandboxError(
                f"no Docker engine answers at {self.url or 'the default address'}: {one_line(error, 160)}; start dockerd "
                "(on Debian: scripts/docker_engine.sh), or set DOCKER_HOST to an engine that runs",
                boundary="sandbox",
            ) from None
        try:
            self._check(config)
        except BaseException:
            self.close()
            raise

    @property
    def layers(self) -> tuple[str, ...]:
        """What the engine puts around every container here."""
        bounded = self._info.get("MemoryLimit") and self._info.get("PidsLimit")
        return ("container", "no-network", "read-only-root", *(("cgroup",) if bounded else ()), "no-new-privileges")

    def _check(self, config: DockerConfig) -> None:
        runtimes = self._info.get("Runtimes") or {}
        if config.runtime is not None and config.runtime not in runtimes:
            raise SandboxError(
                f"the Docker engine has no runtime {config.runtime!r}, only {', '.join(sorted(runtimes))}; "
                "register it in the engine's daemon.json and restart the engine",
                boundary="sandbox",
            )
        with self._translated():
            self._image(config.image)

    def _image(self, name: str) -> Any:
        try:
            return self._api.inspect_image(name)
        except self._docker.errors.ImageNotFound:
            tags = [tag.removesuffix(":latest") for image in self._api.images() for tag in image.get("RepoTags") or ()]
            near = difflib.get_close_matches(name, tags, n=2, cutoff=0.5)
            guess = f"did you mean {' or '.join(near)}? " if near else ""
            raise SandboxError(
                f"the Docker engine has no image {name!r}: {guess}get it with docker pull, docker import or scripts/docker_image.sh {name}",
                boundary="sandbox",
            ) from None

    def launch(self, config: DockerConfig, uid: int) -> Launched:
        """Create a container, hold its streams, start it."""
        with self._translated():
            made = self._create(config, uid)
            launched = None
            try:
                launched = self._attach(made)
                self._start(config, launched.id)
            except BaseException:
                if launched is not None:
                    launched.close()
                self.remove(made["Id"])
                raise
            return launched

    def _attach(self, made: Any) -> Launched:
        holder = self._api.attach_socket(made["Id"], params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        stream = getattr(holder, "_sock", holder)
        launched = Launched(id=made["Id"], stream=stream, holder=holder, notes=tuple(made.get("Warnings") or ()))
        if isinstance(stream, ssl.SSLSocket):
            launched.close()
            raise SandboxError(f"the Docker engine at {self.url} is behind TLS, which cannot be attached to; forward its socket by ssh -L")
        return launched

    def _start(self, config: DockerConfig, container: str) -> None:
        try:
            self._api.start(container)
        except self._docker.errors.APIError as error:
            if f'exec: "{config.python}"' not in str(error.explanation):
                raise
            raise SandboxError(
                f"image {config.image!r} cannot run {config.python!r}: {one_line(error.explanation)}; "
                "install Python >= 3.11 in it, or set the configuration's `python`",
                boundary="sandbox",
            ) from None

    def _create(self, config: DockerConfig, uid: int) -> Any:
        """The container of one box; nothing of the host is mounted, and of the image nothing is writable."""
        scratch = f"size={config.scratch_mb}m,nr_inodes=65536,mode=700,uid={uid},gid={uid},nosuid,nodev"
        volumes = (self._image(config.image).get("Config") or {}).get("Volumes") or {}
        limits = self._api.create_host_config(
            network_mode="none",
            ipc_mode="none",
            read_only=True,
            tmpfs={**dict.fromkeys(volumes, "size=4k,mode=555,nosuid,nodev,noexec"), SCRATCH: scratch},
            mem_limit=f"{config.memory_mb}m",
            memswap_limit=f"{config.memory_mb}m",
            pids_limit=config.processes,
            nano_cpus=None if config.cpus is None else int(config.cpus * 1e9),
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            # No init: it would hold the channel in a process that sessions may open, and the kernel shields only the first process.
            init=False,
            log_config=self._docker.types.LogConfig(type="none"),
            runtime=config.runtime,
            auto_remove=True,
        )
        return self._api.create_container(
            config.image,
            name=f"tirage-{secrets.token_hex(6)}",
            entrypoint=[config.python, "-I", "-c", BOOT],
            user=f"{uid}:{uid}",
            working_dir=SCRATCH,
            network_disabled=True,
            stdin_open=True,
            healthcheck={"test": ["NONE"]},
            labels={LABEL: f"{platform.node()}:{os.getpid()}:{STARTED}"},
            host_config=limits,
        )

    def remove(self, container: str) -> None:
        """Kill and remove; returns when it is gone. No error when it is gone already or the engine is."""
        errors = self._docker.errors
        with self._translated(), suppress(errors.NotFound, OSError):
            try:
                self._api.remove_container(container, v=True, force=True)
            except errors.APIError as error:
                if error.status_code != 409:
                    raise
                # Its own end has begun to remove it.
                with suppress(errors.APIError):
                    self._api.wait(container, timeout=CALL_S, condition="removed")

    def obituary(self, container: str) -> str:
        """How a container ended, from the engine's memory of events, which outlives the container."""
        wanted = {"container": [container], "event": ["oom", "die"]}
        code, starved = "", False
        for _ in range(10):
            with self._translated():
                # The engine's own clock: a moment to come would be waited for.
                now = datetime.datetime.fromisoformat(self._api.info()["SystemTime"]).timestamp()
                events = list(self._api.events(since=1, until=f"{now:.6f}", filters=wanted, decode=True))
            code = next((event["Actor"]["Attributes"].get("exitCode", "") for event in events if event.get("Action") == "die"), "")
            starved = any(event.get("Action") == "oom" for event in events)
            if code:
                break
            time.sleep(0.1)
        return (f"exit code {code}" if code else "cause unknown") + (", out of memory" if starved else "")

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The library's errors as the sandbox's."""
        try:
            yield
        except self._docker.errors.APIError as error:
            raise SandboxError(f"the Docker engine refused: {one_line(error.explanation or error)}", boundary="sandbox") from None
        except (self._docker.errors.DockerException, OSError) as error:
            raise SandboxError(
                f"the Docker engine at {self.url} does not answer any more: {one_line(error, 160)}", boundary="sandbox"
            ) from None


def free_uid(taken: set[int]) -> int:
    """A user for one more container: the kernel counts processes per user, over all containers."""
    return secrets.choice([uid for uid in SANDBOX_UIDS if uid not in taken] or list(SANDBOX_UIDS))
