"""The Docker back end: one container per box, and the forking box inside it, so that branches are exact here too.

The container has no network, no capabilities, a read-only root, one sized directory to write in, and bounds on memory and
processes. The host speaks to it over its standard streams, never by an exec per cell; the sandbox's sources travel the same way, so
the engine may be on another machine. When the host dies, the streams end and the container goes.
"""

import asyncio
import base64
import socket
from collections.abc import Mapping
from typing import Any, Self

from tirage.core.errors import SandboxError
from tirage.sandbox import docker_engine, results
from tirage.sandbox.base import ExecResult, Limits, SandboxCapabilities
from tirage.sandbox.config import DockerConfig
from tirage.sandbox.relay import pack, read_frame

LAYERS = ("container", "no-network", "read-only-root", "cgroup", "no-new-privileges", "no-capabilities")
START_S, STEP_S = 60.0, 60.0


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
                self._client = await asyncio.to_thread(docker_engine.connect, self._config)
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
        self._container = await asyncio.to_thread(docker_engine.create, self._client, self._config)
        raw = await asyncio.to_thread(docker_engine.attach, self._client, self._container)
        opener = asyncio.open_unix_connection if raw.family == getattr(socket, "AF_UNIX", None) else asyncio.open_connection
        reader, self._writer = await opener(sock=raw)
        await asyncio.to_thread(docker_engine.start, self._container, self._config)
        ready = self._waiting[0] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.ensure_future(self._read(reader))
        sources = await asyncio.to_thread(docker_engine.sources)
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
        reason = await asyncio.to_thread(docker_engine.cause, self._container, self._complaints)
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
            # Not close: that would wait for a container that no longer reads.
            self._writer.transport.abort()
        if self._container is not None:
            await asyncio.to_thread(docker_engine.remove, self._container)
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(SandboxError("the container was removed; open a new session"))


def _number(reply: Mapping[str, Any]) -> int:
    number = reply.get("session")
    if not isinstance(number, int):
        raise SandboxError("the container's answer is not readable")
    return number
