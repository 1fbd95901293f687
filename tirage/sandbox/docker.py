"""The Docker back end: one container per box, and the forking box inside it, so that branches are exact here too.

The container has no network, no capabilities, a read-only root, one sized directory to write in, and bounds on memory and
processes. The host speaks to it over its standard streams, never by an exec per cell; the sandbox's sources travel the same way, so
the engine may be on another machine. When the host dies, the streams end and the container goes.
"""

import asyncio
import base64
import difflib
import io
import json
import os
import socket
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tirage.core.errors import ConfigError, MissingExtra, SandboxError
from tirage.sandbox import results
from tirage.sandbox.base import ExecResult, Limits, SandboxCapabilities
from tirage.sandbox.config import DockerConfig
from tirage.sandbox.relay import pack, read_frame

USER = "65534:65534"
LABEL = "tirage.sandbox"
LAYERS = ("container", "no-network", "read-only-root", "cgroup", "no-new-privileges", "no-capabilities")
DEFAULT_URL = "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"
START_S, STEP_S = 60.0, 60.0
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


class DockerSandbox:
    """Sessions in containers. Use as an async context manager, or `close` it."""

    def __init__(self, config: DockerConfig) -> None:
        """Nothing is started yet."""
        self._config = config
        self._client: Any = None
        self._lock = asyncio.Lock()
        self._boxes: set[_Container] = set()
        self._closed = False
        self._capabilities = SandboxCapabilities(backend="docker", rung=3, can_branch=True, exact=True, layers=LAYERS)

    @property
    def capabilities(self) -> SandboxCapabilities:
        """What is promised; the layers inside the container are known after the first `open`."""
        return self._capabilities

    async def __aenter__(self) -> Self:
        """Reach the engine and find the image."""
        await self._engine()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove all containers."""
        await self.close()

    async def open(self) -> "DockerSession":
        """A fresh session in a container of its own. Raises `SandboxError` when the engine or the image does not give one."""
        client = await self._engine()
        box = _Container(client, self._config)
        self._boxes.add(box)
        box.on_end = self._boxes.discard
        try:
            ready = await box.start()
            first = await box.ask({"op": "open"})
        except BaseException:
            await asyncio.shield(box.remove())
            raise
        inside = [str(layer) for layer in ready.get("layers", ()) if isinstance(layer, str)]
        notes = [str(note)[:300] for note in ready.get("notes", ()) if isinstance(note, str)]
        if ready.get("rung") != 2:
            notes.append("the container alone is the boundary: sessions inside it are not kept apart by Landlock")
        self._capabilities = SandboxCapabilities(
            backend="docker", rung=3, can_branch=True, exact=True, layers=(*LAYERS, *inside), notes=tuple(notes)
        )
        box.layers = self._capabilities.layers
        return DockerSession(box, _number(first))

    async def close(self) -> None:
        """Remove all containers, all sessions included; idempotent."""
        self._closed = True
        await asyncio.gather(*(box.remove() for box in list(self._boxes)))
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)

    async def _engine(self) -> Any:
        if self._closed:
            raise SandboxError("the sandbox is closed; open a new one")
        async with self._lock:
            if self._client is None:
                self._client = await asyncio.to_thread(_connect, self._config)
            return self._client


class DockerSession:
    """A session inside a container, by its number there."""

    def __init__(self, box: "_Container", number: int) -> None:
        """The container is removed with its last session."""
        self._box = box
        self._number = number
        self._closed = False
        box.sessions.add(number)

    async def run(self, code: str, limits: Limits | None = None) -> ExecResult:
        """Run one cell; see `Session.run`. A cancelled call takes the cell back."""
        limits = limits or Limits()
        bounds = {"wall_s": limits.wall_s, "grace_s": limits.grace_s, "output_bytes": limits.output_bytes}
        reply = await self._ask({"op": "run", "code": code, "limits": bounds}, limits.wall_s + limits.grace_s + STEP_S)
        return results.from_fields(reply.get("result"), limits.output_bytes, layers=self._box.layers)

    async def branch(self, *, reseed: int | None = None) -> "DockerSession":
        """An independent session with the same state, by fork inside the container."""
        return DockerSession(self._box, _number(await self._ask({"op": "branch", "reseed": reseed})))

    async def put(self, path: str, content: bytes) -> None:
        """Write a file below the working directory. Raises `SandboxError`, also for a path outside."""
        await self._ask({"op": "put", "path": path, "data": base64.b64encode(content).decode()})

    async def fetch(self, path: str) -> bytes:
        """Read a regular file below the working directory. Raises `SandboxError`."""
        data = (await self._ask({"op": "fetch", "path": path})).get("data")
        try:
            return base64.b64decode(data if isinstance(data, str) else "", validate=True)
        except ValueError:
            raise SandboxError(f"the container's answer for {path!r} is not readable") from None

    async def close(self) -> None:
        """Drop the session; the last one of a container removes it. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._box.sessions.discard(self._number)
        if self._box.sessions:
            self._box.tell({"op": "close", "session": self._number})
        else:
            await self._box.remove()

    async def _ask(self, request: Mapping[str, Any], timeout_s: float = STEP_S) -> Mapping[str, Any]:
        if self._closed:
            raise SandboxError("the session is closed; open a new one")
        return await self._box.ask({**request, "session": self._number}, timeout_s)


class _Container:
    """A container, its streams, and the requests that wait for an answer."""

    def __init__(self, client: Any, config: DockerConfig) -> None:
        self._client = client
        self._config = config
        self._container: Any = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self._complaints = b""
        self._removal: asyncio.Task[None] | None = None
        self.sessions: set[int] = set()
        self.layers: tuple[str, ...] = ()
        self.on_end: Any = None

    async def start(self) -> Mapping[str, Any]:
        """Create, attach, start, send the sources; what the relay said of itself. Raises `SandboxError`."""
        self._container = await asyncio.to_thread(_create, self._client, self._config)
        raw = await asyncio.to_thread(_attach, self._client, self._container)
        opener = asyncio.open_unix_connection if raw.family == getattr(socket, "AF_UNIX", None) else asyncio.open_connection
        reader, self._writer = await opener(sock=raw)
        await asyncio.to_thread(_start, self._container, self._config)
        ready = self._waiting[0] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.ensure_future(self._read(reader))
        sources = await asyncio.to_thread(_sources)
        self._writer.write(len(sources).to_bytes(4, "big") + sources)
        return await self._outcome(0, ready, START_S)

    async def ask(self, request: Mapping[str, Any], timeout_s: float = STEP_S) -> Mapping[str, Any]:
        """Send a request and wait for its answer. Raises `SandboxError` when the relay refuses, the container died or hangs."""
        if self._removal is not None or self._writer is None:
            raise SandboxError("the container of this session is gone; open a new session")
        self._asked += 1
        number = self._asked
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(pack({**request, "id": number}))
        try:
            reply = await self._outcome(number, answer, timeout_s)
        except asyncio.CancelledError:
            self.tell({"op": "cancel", "target": number})
            raise
        if "error" in reply:
            raise SandboxError(results.text(reply, "error"))
        return reply

    def tell(self, request: Mapping[str, Any]) -> None:
        """Send a request whose answer does not matter."""
        if self._writer is not None and self._removal is None:
            self._asked += 1
            self._writer.write(pack({**request, "id": self._asked}))

    async def _outcome(self, number: int, answer: "asyncio.Future[Any]", timeout_s: float) -> Mapping[str, Any]:
        try:
            reply: Mapping[str, Any] = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            await self.remove()
            raise SandboxError(f"the container did not answer within {timeout_s:g} s and was removed; open a new session") from None
        finally:
            self._waiting.pop(number, None)
        return reply

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Take the engine's multiplexed stream apart and hand the answers on, until the container ends."""
        frames = asyncio.StreamReader(limit=1 << 20)
        sorting = asyncio.ensure_future(self._hand_on(frames))
        try:
            while True:
                head = await reader.readexactly(8)
                block = await reader.readexactly(int.from_bytes(head[4:], "big"))
                if head[0] == 1:
                    frames.feed_data(block)
                elif len(self._complaints) < 4000:
                    self._complaints += block
        except (asyncio.IncompleteReadError, OSError):
            frames.feed_eof()
        await sorting
        reason = await asyncio.to_thread(_cause, self._container, self._complaints)
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(SandboxError(f"the container died: {reason}; open a new session"))
        await self.remove()

    async def _hand_on(self, frames: asyncio.StreamReader) -> None:
        while True:
            try:
                reply = await read_frame(frames)
            except (EOFError, ValueError):
                return
            number = reply.get("id", 0) if isinstance(reply, dict) else None
            waiter = self._waiting.get(number) if isinstance(number, int) else None
            if waiter is not None and not waiter.done():
                waiter.set_result(reply)

    async def remove(self) -> None:
        """End and remove the container; idempotent, and not to be cut short by a cancellation."""
        if self._removal is None:
            self._removal = asyncio.ensure_future(self._remove())
        await asyncio.shield(self._removal)

    async def _remove(self) -> None:
        if self.on_end is not None:
            self.on_end(self)
        if self._writer is not None:
            self._writer.close()
        if self._container is not None:
            await asyncio.to_thread(_remove, self._container)
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(SandboxError("the container was removed; open a new session"))


def _docker() -> Any:
    try:
        import docker
    except ImportError:
        raise MissingExtra("docker", "all") from None
    return docker


def _connect(config: DockerConfig) -> Any:
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


def _create(client: Any, config: DockerConfig) -> Any:
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


def _attach(client: Any, container: Any) -> socket.socket:
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


def _start(container: Any, config: DockerConfig) -> None:
    docker = _docker()
    try:
        container.start()
    except docker.errors.APIError as error:
        said = _said(error)
        raise SandboxError(f"the container of image {config.image!r} did not start: {said}", boundary="sandbox") from None


def _said(error: Any) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:400]


def _cause(container: Any, complaints: bytes) -> str:
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


def _remove(container: Any) -> None:
    docker = _docker()
    try:
        container.remove(force=True)
    except (docker.errors.APIError, docker.errors.DockerException, OSError):
        # Already gone, or the engine is: nothing is left to remove.
        return


def _sources() -> bytes:
    """The package's sources that the container needs, as a zip archive."""
    root = Path(__file__).parent.parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tirage/__init__.py", '"""The part of tirage that a container needs."""\n')
        for pattern in NEEDED:
            for path in sorted(root.glob(pattern)):
                archive.write(path, f"tirage/{path.relative_to(root).as_posix()}")
    return buffer.getvalue()


def _number(reply: Mapping[str, Any]) -> int:
    number = reply.get("session")
    if not isinstance(number, int):
        raise SandboxError("the container's answer is not readable")
    return number
