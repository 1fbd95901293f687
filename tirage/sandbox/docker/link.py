"""The host's end of the line to one container: requests out, replies in, and an end to waiting when the container dies.

Whatever is in the container may write anything, so a reply must fit a request that waits for it, in name and size. The first one
that does not ends the link.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tirage.core.errors import SandboxError
from tirage.sandbox.frames import STDERR, Demultiplexer, Flooded, Frame, FrameReader, pack
from tirage.sandbox.results import one_line

READ_SIZE = 1 << 18
KEPT_STDERR = 2_000
ROOM = 4 << 20
"""Bytes of a reply without output: seven clipped texts, every letter escaped, and the braces around them."""


class Stream:
    """A byte stream for asyncio: a plain socket by the loop itself, a Windows pipe or ssh channel by two threads."""

    def __init__(self, raw: Any) -> None:
        """`raw` has `recv` and `sendall`; whoever made it closes it."""
        self._raw = raw
        self._threads = None
        if isinstance(raw, socket.socket):
            raw.setblocking(False)
        else:
            self._threads = ThreadPoolExecutor(2, "tirage-docker")

    async def receive(self) -> bytes:
        """The next bytes; none at the end."""
        loop = asyncio.get_running_loop()
        if self._threads is None:
            return await loop.sock_recv(self._raw, READ_SIZE)
        return bytes(await loop.run_in_executor(self._threads, self._raw.recv, READ_SIZE))

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        loop = asyncio.get_running_loop()
        if self._threads is None:
            await loop.sock_sendall(self._raw, data)
        else:
            await loop.run_in_executor(self._threads, self._raw.sendall, data)

    def close(self) -> None:
        """Let the threads end."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)


@dataclass(slots=True)
class _Waiting:
    reply: asyncio.Future[Frame]
    room: int


class Link:
    """Many requests at a time over one stream."""

    def __init__(self, stream: Stream, *, autopsy: Callable[[str], Awaitable[str]], ended: Callable[[], None]) -> None:
        """`autopsy` says why the stream ended, given the last of stderr; `ended` is called once when the link is of no more use."""
        self._stream = stream
        self._autopsy = autopsy
        self._ended = ended
        self._waiting: dict[str, _Waiting] = {}
        self._frames = FrameReader(self._room)
        self._chunks = Demultiplexer()
        self._stderr = b""
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self.failure: str | None = None
        loop = asyncio.get_running_loop()
        # A task of its own writes, so that a cancelled request does not leave half a frame behind.
        self._tasks = [loop.create_task(self._write()), loop.create_task(self._read())]

    def post(self, data: bytes) -> None:
        """Send as soon as may be; without effect on a dead link."""
        if self.failure is None:
            self._outgoing.put_nowait(data)

    async def ask(self, message: Mapping[str, Any], blob: bytes = b"", *, timeout_s: float, room: int = ROOM) -> Frame:
        """Send a request and wait for its reply of at most `room` bytes. A cancelled call cancels the request.

        Raises `SandboxError` when the other side reports a failure, dies, or says nothing in time; the last one ends the link.
        """
        self.check()
        name = secrets.token_hex(6)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), room)
        self._waiting[name] = waiting
        self.post(pack({"id": name, **message}, blob))
        try:
            async with asyncio.timeout(timeout_s):
                reply, content = await waiting.reply
        except TimeoutError:
            self.fail(f"the container did not answer {message['op']!r} within {timeout_s:g} s and was killed")
            self.check()
            raise
        except asyncio.CancelledError:
            # Its place is kept: the reply will still come.
            self.post(pack({"op": "cancel", "of": name}))
            raise
        error = reply.get("error")
        if error is not None:
            raise SandboxError(one_line(error, 1000), boundary="sandbox")
        return reply, content

    def check(self) -> None:
        """Raise `SandboxError` on a dead link."""
        if self.failure is not None:
            raise SandboxError(self.failure, boundary="sandbox")

    def fail(self, reason: str) -> None:
        """End the link: everything that waits gets a `SandboxError` with `reason`. Idempotent."""
        if self.failure is not None:
            return
        self.failure = reason
        for waiting in self._waiting.values():
            if not waiting.reply.done():
                waiting.reply.set_exception(SandboxError(reason, boundary="sandbox"))
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        self._stream.close()
        self._ended()

    def _room(self) -> int:
        return max((waiting.room for waiting in self._waiting.values()), default=0)

    async def _write(self) -> None:
        # An end seen while writing is seen by the reader too, which knows more about it.
        with suppress(OSError):
            while True:
                await self._stream.send(await self._outgoing.get())

    async def _read(self) -> None:
        try:
            while data := await self._stream.receive():
                for kind, part in self._chunks.feed(data):
                    if kind == STDERR:
                        self._stderr = (self._stderr + part)[-KEPT_STDERR:]
                        continue
                    for frame in self._frames.feed(part):
                        self._deliver(frame)
        except Flooded as error:
            self.fail(f"the container broke the protocol and was killed: {error}")
            return
        except OSError:
            pass
        self.fail(await self._autopsy(self._stderr.decode("utf-8", "replace")))

    def _deliver(self, frame: Frame) -> None:
        name = frame[0].get("id")
        if not isinstance(name, str) or name not in self._waiting:
            raise Flooded("a reply that nobody asked for")
        waiting = self._waiting[name]
        if len(frame[1]) > waiting.room:
            raise Flooded(f"a reply of {len(frame[1])} bytes where {waiting.room} were expected at most")
        del self._waiting[name]
        if not waiting.reply.done():
            waiting.reply.set_result(frame)
