"""The docker back end: one container per box, and in it the forking sandbox, so that a branch is a fork here too.

Never an exec per cell: one stream to each container carries the requests of all its sessions.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Self, TypeVar

from tirage.core.codec import encode
from tirage.core.errors import DataError, SandboxError
from tirage.sandbox import results
from tirage.sandbox.base import Calls, ExecResult, Limits, SandboxCapabilities, check_code, no_calls
from tirage.sandbox.config import DockerConfig, SandboxConfig
from tirage.sandbox.docker.engine import Engine, Launched, archive, free_uid
from tirage.sandbox.docker.link import ROOM, Link, Stream
from tirage.sandbox.frames import Frame

T = TypeVar("T")
START_S = 150.0
PATIENCE_S = 45.0
"""Seconds past a request's own limits until the container counts as hung; what runs inside gives up before."""
MEMORY_KEPT_MB = 96
"""Memory of the container that no single cell may take: the programs around the cells live in it."""
CELL_PROCESSES = 64
ESCAPED = 6
"""Bytes that a byte of output takes in a reply at most."""
FIRST = "s0"


class DockerSandbox:
    """Sessions in containers of a Docker engine. Use as an async context manager, or `close` it."""

    def __init__(self, config: DockerConfig) -> None:
        """Nothing is contacted yet."""
        self.config = config
        self._capabilities = SandboxCapabilities(backend="docker", rung=3, can_branch=True, exact=True)
        self._engine: Engine | None = None
        self.boxes: set[ContainerBox] = set()
        self._taken: set[int] = set()
        self._busy: set[asyncio.Task[Any]] = set()
        self._lock = asyncio.Lock()
        self._closed = False

    @property
    def capabilities(self) -> SandboxCapabilities:
        """What is promised; final after the first `open`."""
        return self._capabilities

    async def __aenter__(self) -> Self:
        """Find the engine and the image."""
        try:
            await self._connected()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove all containers."""
        await self.close()

    async def open(self) -> "DockerSession":
        """A fresh session in a container of its own. Raises `SandboxError` with the remedy when there can be none."""
        engine = await self._connected()
        uid = free_uid(self._taken)
        self._taken.add(uid)
        try:
            launched = await self._launched(engine, uid)
        except BaseException:
            self._taken.discard(uid)
            raise
        box = ContainerBox(self, engine, launched, uid)
        self.boxes.add(box)
        try:
            self._check_open()
            await self._started(box)
        except BaseException:
            box.link.fail("the container is not wanted any more")
            raise
        return DockerSession(box, FIRST)

    async def close(self) -> None:
        """End everything, all sessions included; idempotent."""
        self._closed = True
        for box in list(self.boxes):
            box.link.fail("the sandbox of this session is closed")
        await self.settled()
        if self._engine is not None:
            self._engine.close()

    async def _connected(self) -> Engine:
        async with self._lock:
            self._check_open()
            if self._engine is None:
                self._engine = await asyncio.to_thread(Engine, self.config)
            return self._engine

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxError("the sandbox is closed; open a new one")

    async def _launched(self, engine: Engine, uid: int) -> Launched:
        launch = self.care_for(asyncio.to_thread(engine.launch, self.config, uid))
        try:
            return await asyncio.shield(launch)
        except asyncio.CancelledError:
            # The thread goes on; the container is removed once it is there.
            self.care_for(self._unwanted(engine, launch))
            raise

    async def _unwanted(self, engine: Engine, launch: asyncio.Task[Launched]) -> None:
        with suppress(SandboxError):
            launched = await launch
            launched.close()
            await asyncio.to_thread(engine.remove, launched.id)

    async def _started(self, box: "ContainerBox") -> None:
        config = self.config
        inner = SandboxConfig(
            first_rung=2,
            min_rung=2,
            memory_mb=max(config.memory_mb - MEMORY_KEPT_MB, config.memory_mb // 2, 1),
            processes=min(CELL_PROCESSES, config.processes),
            scratch_mb=config.scratch_mb,
            # Frozen states may fill half of what cells may; beyond it they are replayed.
            live_mb=max(config.memory_mb // 2, 1),
            preload=config.preload,
            # Container engines refuse the call that tells whether threads are left, so they are counted in /proc.
            readable=("/proc",),
            # Where the container has no Landlock, the container itself is the boundary.
            unsafe=True,
        )
        box.link.post(archive())
        reply, _ = await box.ask({"op": "start", "session": FIRST, "config": encode(inner)}, timeout_s=START_S)
        box.layers = (*box.engine.layers, *results.texts(reply, "layers"))
        self._capabilities = SandboxCapabilities(
            backend="docker",
            rung=3,
            can_branch=True,
            exact=True,
            layers=box.layers,
            notes=(*box.launched.notes, *results.texts(reply, "notes")),
        )

    def forget(self, box: "ContainerBox") -> None:
        """A container is gone, or as good as gone."""
        self.boxes.discard(box)
        self._taken.discard(box.uid)

    def care_for(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something that `close` waits for, whoever is cancelled meanwhile."""
        task = asyncio.get_running_loop().create_task(work)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        return task

    async def settled(self) -> None:
        """Wait until all that is being cared for is done, the removal of containers above all."""
        while self._busy:
            await asyncio.wait(self._busy)


class ContainerBox:
    """One container on the host's side."""

    def __init__(self, sandbox: DockerSandbox, engine: Engine, launched: Launched, uid: int) -> None:
        """The container runs and waits for its program."""
        self.sandbox = sandbox
        self.image = sandbox.config.image
        self.engine = engine
        self.launched = launched
        self.uid = uid
        self.layers: tuple[str, ...] = ()
        self.sessions: set[DockerSession] = set()
        self.twins = 0
        self.link = Link(Stream(launched.stream), autopsy=self._autopsy, ended=self._end)
        self._removal: asyncio.Task[None] | None = None

    async def ask(self, message: Mapping[str, Any], blob: bytes = b"", *, timeout_s: float = PATIENCE_S, room: int = ROOM) -> Frame:
        """One request; see `Link.ask`."""
        return await self.link.ask(message, blob, timeout_s=timeout_s, room=room)

    async def leave(self, session: "DockerSession") -> None:
        """One session less; the last one ends the container."""
        self.sessions.discard(session)
        if self.sessions and self.link.failure is None:
            await self.ask({"op": "close", "session": session.name})
            return
        self.link.fail("the session is closed; open a new one")
        if self._removal is not None:
            await asyncio.shield(self._removal)

    def _end(self) -> None:
        self.launched.close()
        self._removal = self.sandbox.care_for(self._remove())

    async def _remove(self) -> None:
        # An engine that refuses or is gone cannot be helped from here; the container leaves at the end of its input.
        with suppress(SandboxError):
            await asyncio.to_thread(self.engine.remove, self.launched.id)
        self.sandbox.forget(self)

    async def _autopsy(self, stderr: str) -> str:
        """Why the container ended, in one line."""
        try:
            cause = await asyncio.to_thread(self.engine.obituary, self.launched.id)
        except SandboxError as error:
            cause = str(error)
        said = results.one_line(stderr)
        remedy = "open a new session" if self.layers else "" if said else "is the configuration's `python` a Python?"
        parts = (f"the container of image {self.image!r} died ({cause})", said, remedy)
        return "; ".join(part for part in parts if part)


class DockerSession:
    """A session of the forking sandbox in a container."""

    def __init__(self, box: ContainerBox, name: str) -> None:
        """`name` is what the program in the container calls it."""
        self._box = box
        self.name = name
        self._lock = asyncio.Lock()
        self._closed = False
        box.sessions.add(self)

    async def run(self, code: str, limits: Limits | None = None, *, calls: Calls | None = None) -> ExecResult:
        """Run one cell; see `Session.run`. A cancelled call takes the cell back."""
        check_code(code)
        no_calls(calls, "docker")
        limits = limits or Limits()
        async with self._lock:
            started = time.perf_counter()
            reply, _ = await self._ask(
                {"op": "run", "code": code, "limits": encode(limits)},
                timeout_s=limits.wall_s + limits.grace_s + PATIENCE_S,
                room=ROOM + 2 * ESCAPED * limits.output_bytes,
            )
            try:
                return results.from_relay(reply.get("result"), limits, layers=self._box.layers, duration_s=time.perf_counter() - started)
            except DataError as error:
                self._box.link.fail(f"the container broke the protocol and was killed: {results.one_line(error)}")
                self._box.link.check()
                raise

    async def branch(self, *, reseed: int | None = None) -> "DockerSession":
        """An independent session with the same state, files included; see `Session.branch`. Raises `SandboxError`."""
        async with self._lock:
            self._box.twins += 1
            twin = DockerSession(self._box, f"s{self._box.twins}")
            try:
                await self._ask({"op": "branch", "twin": twin.name, "reseed": reseed})
            except BaseException:
                # What was cancelled here may have been made there.
                self._box.sandbox.care_for(twin.abandon())
                raise
            return twin

    async def put(self, path: str, content: bytes) -> None:
        """Write a file below the working directory, folders included. Raises `SandboxError`, also for a path outside."""
        async with self._lock:
            await self._ask({"op": "put", "path": path}, content)

    async def fetch(self, path: str) -> bytes:
        """Read a regular file of at most 64 MB below the working directory. Raises `SandboxError`."""
        async with self._lock:
            return (await self._ask({"op": "fetch", "path": path}, room=ROOM + results.MAX_FETCH))[1]

    async def close(self) -> None:
        """Drop the session and its state; a cell that runs is killed. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._box.leave(self)

    async def abandon(self) -> None:
        """Close, if it is there at all."""
        with suppress(SandboxError):
            await self.close()

    async def _ask(self, message: Mapping[str, Any], blob: bytes = b"", **options: Any) -> Frame:
        if self._closed:
            raise SandboxError("the session is closed; open a new one")
        return await self._box.ask({**message, "session": self.name}, blob, **options)
