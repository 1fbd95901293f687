"""A server program as a transport of the MCP SDK: JSON lines over standard input and output.

In place of the SDK's own stdio transport, which keeps a line that never ends in memory, sends the server's errors to the terminal, and
does not tell how the server ended.
"""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, SubprocessStreamProtocol
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from tirage.tools.mcp.servers import Program

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

LONGEST = 16 << 20
"""Bytes of one message; a server that sends more is broken."""
GRACE_S = 1.0
"""Seconds to end after its input was closed, and again after SIGTERM."""
_TAIL = 2000
_LOOK_S = 0.01
_PAUSE_S = 0.01
"""Between two reads of the errors: a server that floods them waits for us, and nobody else does."""


class LastWords:
    """The end of what a server said besides the protocol, and how it ended."""

    def __init__(self) -> None:
        self._tail = b""
        self.ending = ""

    def add(self, data: bytes) -> None:
        """Keep the end."""
        self._tail = (self._tail + data)[-_TAIL:]

    def __str__(self) -> str:
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        said = " | ".join(lines[-4:])[-500:]
        return "; ".join(part for part in (self.ending, f"its last words: {said}" if said else "") if part)


@asynccontextmanager
async def program_streams(program: Program, words: LastWords) -> "AsyncIterator[TransportStreams]":
    """Start the program, speak with it, end it and its process group. Raises OSError when it cannot be started."""
    import anyio
    from mcp.shared.message import SessionMessage

    loop = asyncio.get_running_loop()
    transport, pipes = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(LONGEST, loop),
        program.command,
        *program.args,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=program.environment(),
        cwd=program.cwd,
        start_new_session=True,
    )
    process = _Process(transport, pipes, words)
    try:
        into, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        said, out = anyio.create_memory_object_stream[SessionMessage](0)
        async with into, heard, said, out, anyio.create_task_group() as tasks:
            tasks.start_soon(process.hear, into)
            tasks.start_soon(process.keep_errors)
            tasks.start_soon(process.say, out)
            try:
                yield heard, said
            finally:
                with anyio.CancelScope(shield=True):
                    await process.end()
                tasks.cancel_scope.cancel()
    finally:
        process.kill()


class _Process:
    """A running server: three pipes and a process group."""

    def __init__(self, transport: asyncio.SubprocessTransport, pipes: SubprocessStreamProtocol, words: LastWords) -> None:
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        assert pipes.stderr is not None
        self._transport = transport
        self._group = transport.get_pid()
        self._stdin, self._stdout, self._stderr = pipes.stdin, pipes.stdout, pipes.stderr
        self._words = words

    async def hear(self, into: Any) -> None:
        """Hand on each message; what is none is taken for words. Ends with the server's output."""
        import anyio
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        async with into:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
                while True:
                    try:
                        line = await self._stdout.readline()
                    except ValueError:
                        self._words.ending = f"it sent a message of more than {LONGEST >> 20} MB"
                        return
                    if not line:
                        if await self._ended(GRACE_S) and self._code is not None:
                            self._words.ending = _ending(self._code)
                        return
                    try:
                        message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                    except ValueError as error:
                        self._words.add(line)
                        await into.send(error)
                        continue
                    await into.send(message)

    async def say(self, out: Any) -> None:
        """Write each message. A server that reads no more ends the conversation."""
        with suppress(ConnectionError):
            async with out:
                async for message in out:
                    self._stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                    await self._stdin.drain()

    async def keep_errors(self) -> None:
        """Read what the server writes to its standard error."""
        while data := await self._stderr.read(1 << 16):
            self._words.add(data)
            await asyncio.sleep(_PAUSE_S)

    async def end(self) -> None:
        """Close its input, then SIGTERM to the group, then SIGKILL."""
        self._stdin.close()
        if not await self._ended(GRACE_S):
            self._signal(signal.SIGTERM)
            await self._ended(GRACE_S)
        self.kill()
        await self._ended(GRACE_S)

    def kill(self) -> None:
        """End whatever is left, at once; idempotent."""
        if not self._transport.is_closing():
            self._signal(signal.SIGKILL)
            self._transport.close()

    @property
    def _code(self) -> int | None:
        return self._transport.get_returncode()

    def _signal(self, number: int) -> None:
        # The leader may have gone before its children: the group keeps its number as long as one of them lives.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)

    async def _ended(self, seconds: float) -> bool:
        for _ in range(int(seconds / _LOOK_S)):
            if self._code is not None:
                break
            await asyncio.sleep(_LOOK_S)
        return self._code is not None


def _ending(code: int) -> str:
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"
