"""The program in the container: the forking sandbox, served over stdin and stdout.

Runs from an archive of this project's sandbox sources, so it imports those and the standard library only. User code never holds
its stdin or stdout: the template starts with none of this process's descriptors.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from tirage.core.codec import decode, encode
from tirage.core.errors import TirageError
from tirage.sandbox.base import Limits
from tirage.sandbox.config import SandboxConfig
from tirage.sandbox.fork import ForkSandbox
from tirage.sandbox.frames import HEADER, Frame, pack, parse
from tirage.sandbox.guest import kernel
from tirage.sandbox.session import ForkSession


class Relay:
    """Requests in, replies out, each with its request's id; many at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Nothing is open yet."""
        self._reader = reader
        self._writer = writer
        self._sandbox: ForkSandbox | None = None
        self._sessions: dict[str, ForkSession] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Answer until the host lets go."""
        while True:
            try:
                message, blob = await self._receive()
            except asyncio.IncompleteReadError:
                return
            if message["op"] == "cancel":
                if message["of"] in self._tasks:
                    self._tasks[message["of"]].cancel()
                continue
            self._tasks[message["id"]] = asyncio.get_running_loop().create_task(self._answer(message, blob))
            # A task that is cancelled before it began would never reply.
            await asyncio.sleep(0)

    async def _receive(self) -> Frame:
        text_size, blob_size = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        return parse(await self._reader.readexactly(text_size)), await self._reader.readexactly(blob_size)

    async def _answer(self, message: dict[str, Any], blob: bytes) -> None:
        reply: dict[str, Any] = {}
        content = b""
        try:
            reply, content = await getattr(self, f"_{message['op']}")(message, blob)
        except asyncio.CancelledError:
            reply = {"error": "cancelled"}
        except TirageError as error:
            reply = {"error": str(error)}
        except Exception as error:  # one request's failure must not end the others
            reply = {"error": f"{type(error).__name__}: {error}"}
        finally:
            del self._tasks[message["id"]]
        self._writer.write(pack({**reply, "id": message["id"]}, content))
        await self._writer.drain()

    async def _start(self, message: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        """Open the sandbox on the best rung there is in here, and the first session."""
        self._sandbox = ForkSandbox(decode(SandboxConfig, message["config"]))
        self._sessions[message["session"]] = await self._sandbox.open()
        # From here on no other process of this user can reach the descriptors through /proc.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        offered = self._sandbox.capabilities
        return {"rung": offered.rung, "layers": offered.layers, "notes": offered.notes}, b""

    async def _run(self, message: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        session = self._sessions[message["session"]]
        return {"result": encode(await session.run(message["code"], decode(Limits, message["limits"])))}, b""

    async def _branch(self, message: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        twin = await self._sessions[message["session"]].branch(reseed=message["reseed"])
        self._sessions[message["twin"]] = twin
        return {}, b""

    async def _put(self, message: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        await self._sessions[message["session"]].put(message["path"], blob)
        return {}, b""

    async def _fetch(self, message: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        return {}, await self._sessions[message["session"]].fetch(message["path"])

    async def _close(self, message: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        session = self._sessions.pop(message["session"], None)
        if session is not None:
            await session.close()
        return {}, b""


async def _live() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    with suppress(ConnectionError):
        await Relay(reader, asyncio.StreamWriter(transport, protocol, reader, loop)).serve()
    # No goodbyes: the end of this process is the end of the container and of everything in it.
    os._exit(0)


def main() -> None:
    """Serve until the host lets go. As the first process of the container it gets no signal from inside that it does not handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_live())
