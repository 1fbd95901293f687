"""The blocking side of the Docker back end: what is asked of the engine through the `docker` package."""

import difflib
import io
import json
import os
import socket
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError, MissingExtra, SandboxError
from tirage.sandbox.config import DockerConfig

USER = "65534:65534"
GONE_S = 10.0
LABEL = "tirage.sandbox"
DEFAULT_URL = "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"
NEEDED = ("core/*.py", "sandbox/*.py", "sandbox/guest/*.py")
BOOT = """
import os, sys
if sys.version_info < (3, 11):
    sys.exit("the image's Python is " + sys.version.split()[0] + "; the sandbox needs 3.11 or newer")
try:
    import asyncio, ctypes, io, zipfile
except ImportError as error:
    sys.exit("the image's Python lacks the module " + str(error.name))
def read(size):
    data = b""
    while len(data) < size:
        block = os.read(0, size - len(data))
        if not block:
            sys.exit("the host went away")
        data += block
    return data
zipfile.ZipFile(io.BytesIO(read(int.from_bytes(read(4), "big")))).extractall("/tmp/tirage-sources")
sys.path.insert(0, "/tmp/tirage-sources")
from tirage.sandbox import relay
relay.main(sys.argv[1])
"""


def _docker() -> Any:
    try:
        import docker
    except ImportError:
        raise MissingExtra("docker", "all") from None
    return docker


def connect(config: DockerConfig) -> Any:
    """A client of the engine, with the image known to be there."""
    docker = _docker()
    where = config.url or os.environ.get("DOCKER_HOST") or DEFAULT_URL
    try:
        if where.startswith("unix://"):
            # The package leaves a socket open when this fails.
            with socket.socket(socket.AF_UNIX) as trial:
                trial.connect(where.removeprefix("unix://"))
        client = docker.DockerClient(base_url=config.url, max_pool_size=64) if config.url else docker.from_env(max_pool_size=64)
        client.ping()
    except Exception as error:  # the package raises its own, requests' and urllib3's errors alike
        raise SandboxError(
            f"no Docker engine answers at {where} ({type(error).__name__}); start one (Debian: apt-get install docker.io, then dockerd), "
            "or set DOCKER_HOST",
            boundary="sandbox",
        ) from None
    try:
        client.images.get(config.image)
    except docker.errors.ImageNotFound:
        tags = [tag for image in client.images.list() for tag in image.tags]
        near = difflib.get_close_matches(config.image, tags, n=3, cutoff=0.5) or tags[:5]
        client.close()
        raise ConfigError(
            f"the engine has no image {config.image!r}; it has: {', '.join(near) or 'none'}; docker pull it, or build a small one with "
            "scripts/docker_image.sh"
        ) from None
    return client


def create(client: Any, config: DockerConfig) -> Any:
    """A container that is not started yet. Raises `SandboxError` with what the engine said."""
    docker = _docker()
    order = {
        "memory_mb": config.memory_mb,
        "processes": config.processes,
        "scratch_mb": config.scratch_mb,
        "preload": config.preload,
    }
    try:
        return client.containers.create(
            config.image,
            [config.python, "-c", BOOT, json.dumps(order)],
            entrypoint=[],
            stdin_open=True,
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": f"size={config.scratch_mb}m,mode=1777"},
            mem_limit=f"{config.memory_mb}m",
            memswap_limit=f"{config.memory_mb}m",
            pids_limit=config.processes,
            nano_cpus=int(config.cpus * 1e9) if config.cpus else None,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            init=True,
            auto_remove=True,
            user=USER,
            working_dir="/tmp",
            log_config=docker.types.LogConfig(type="none"),
            labels={LABEL: str(os.getpid())},
            environment={"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"},
            runtime=config.runtime,
        )
    except docker.errors.APIError as error:
        raise SandboxError(f"the engine refused the container: {_said(error)}", boundary="sandbox") from None


def attach(client: Any, container: Any) -> socket.socket:
    """A socket on the standard streams of a container. Raises `SandboxError` for an engine behind TLS."""
    stream = client.api.attach_socket(container.id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    raw = getattr(stream, "_sock", stream)
    if not isinstance(raw, socket.socket):
        raise SandboxError("an engine behind TLS cannot be attached to; reach it through a unix socket or an ssh tunnel (DOCKER_HOST)")
    own = raw.dup()
    own.setblocking(False)
    # The package's own end would be closed when its response is collected; the duplicate lives on.
    stream.close()
    raw.close()
    return own


def start(container: Any, config: DockerConfig) -> None:
    """Start a container. Raises `SandboxError` with what the engine said."""
    docker = _docker()
    try:
        container.start()
    except docker.errors.APIError as error:
        said = _said(error)
        raise SandboxError(f"the container of image {config.image!r} did not start: {said}", boundary="sandbox") from None


def _said(error: Any) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:400]


def cause(container: Any, complaints: bytes) -> str:
    """Why a container ended, as far as it can be told."""
    docker = _docker()
    said = " ".join(complaints.decode("utf-8", "replace").split())[-400:]
    if "No such file or directory" in said and "exec" in said:
        said += " (name an interpreter that the image has with python=...)"
    try:
        container.reload()
        state = container.attrs["State"]
        code = state.get("ExitCode")
        out = "out of memory; " if state.get("OOMKilled") else ""
        return f"{out}exit code {code}{': ' + said if said else ''}"
    except (docker.errors.APIError, docker.errors.DockerException, OSError):
        return said or "it was removed"


def remove(container: Any) -> None:
    """End and remove a container, if it is still there; returns when it is gone."""
    docker = _docker()
    until = time.monotonic() + GONE_S
    try:
        while time.monotonic() < until:
            try:
                container.remove(force=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError:
                # The engine is removing it already.
                time.sleep(0.05)
    except (docker.errors.DockerException, OSError):
        # The engine is gone: nothing is left to remove.
        return


def sources() -> bytes:
    """The package's sources that the container needs, as a zip archive."""
    root = Path(__file__).parent.parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tirage/__init__.py", '"""The part of tirage that a container needs."""\n')
        for pattern in NEEDED:
            for path in sorted(root.glob(pattern)):
                archive.write(path, f"tirage/{path.relative_to(root).as_posix()}")
    return buffer.getvalue()
