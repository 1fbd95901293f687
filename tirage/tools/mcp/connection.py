"""A conversation with one server, held by a task of its own.

The SDK's scopes must be left by the task that entered them, so that task opens the conversation, waits, and closes it, however the callers
come and go; calls are made from any task of the same event loop.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tirage.core.errors import ConfigError, MissingExtra
from tirage.tools.mcp.process import GRACE_S, LastWords, program_streams
from tirage.tools.mcp.servers import Address, Program

if TYPE_CHECKING:
    import mcp
    import mcp_types
    from mcp.client._transport import TransportStreams

UNASKED = 100_000
"""Notifications between two answers; a server that sends more has gone wild. Its own requests count a hundredfold."""
_CLOSE_S = 4 * GRACE_S
_CONNECT_S = 10.0


class Gone(Exception):
    """The server is not there any more; the message says how it ended."""


class Connection:
    """One server, started or reached by `open`."""

    def __init__(self, name: str, server: Program | Address, *, start_s: float) -> None:
        """`start_s`: seconds until its tools must be listed."""
        self.name = name
        self._server = server
        self._start_s = start_s
        self._words = LastWords()
        self._refused = 0
        self._over = asyncio.Event()
        self._client: mcp.Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> "list[mcp_types.Tool]":
        """Connect and list the tools. Raises `ConfigError` with what the server said last; nothing is left behind then."""
        try:
            import mcp  # noqa: F401
        except ImportError as error:
            raise MissingExtra("mcp", "mcp") from error
        # The SDK logs what it cannot parse; the terminal belongs to the display.
        logging.getLogger("mcp").addHandler(logging.NullHandler())
        logging.getLogger("client").addHandler(logging.NullHandler())
        ready: asyncio.Future[list[mcp_types.Tool]] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(ready), name=f"mcp {self.name}")
        try:
            either: list[asyncio.Future[Any]] = [ready, self._task]
            await asyncio.wait(either, timeout=self._start_s, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return ready.result()
            failure = self._task.exception() if self._task.done() else None
            raise ConfigError(f"MCP server {self.name!r} {self._why(failure)}") from failure
        except BaseException:
            self._task.cancel()
            await self.close()
            raise

    async def call(self, tool: str, arguments: dict[str, Any]) -> "mcp_types.CallToolResult":
        """Call a tool. Raises `Gone`, or the SDK's `MCPError` for what the server refuses."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        if self._client is None or self._over.is_set():
            raise Gone(str(self._words))
        try:
            return await self._client.call_tool(tool, arguments)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise
            await self._settle()
            raise Gone(str(self._words) or error.message) from None

    async def close(self) -> None:
        """End the conversation, and the program with all it started; idempotent, and done within some seconds whatever the server does."""
        self._over.set()
        await self._settle()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await self._settle()

    async def _settle(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_CLOSE_S)

    async def _hold(self, ready: "asyncio.Future[list[mcp_types.Tool]]") -> None:
        from mcp import Client

        try:
            async with Client(self._streams(), cache=None) as client:
                tools = await _list(client)
                self._client = client
                ready.set_result(tools)
                await self._over.wait()
        except Exception as error:
            if not ready.done():
                raise
            self._words.ending = self._words.ending or _innermost(error)
        finally:
            self._over.set()

    @asynccontextmanager
    async def _streams(self) -> "AsyncIterator[TransportStreams]":
        if isinstance(self._server, Program):
            async with program_streams(self._server, self._words) as (heard, said):
                yield _Ears(heard, self._over, self._words), said
            return
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        async def note(response: httpx2.Response) -> None:
            self._refused = response.status_code if response.status_code >= 400 else 0

        # A call is limited by its own timeout, and a stream may be silent for long.
        limits = httpx2.Timeout(_CONNECT_S, read=None)
        async with (
            httpx2.AsyncClient(headers=self._server.headers, timeout=limits, event_hooks={"response": [note]}) as http,
            streamable_http_client(self._server.url, http_client=http) as (heard, said),
        ):
            yield _Ears(heard, self._over, self._words), said

    def _why(self, failure: BaseException | None) -> str:
        """Why it could not be opened, and the remedy."""
        words = f"; {self._words}" if str(self._words) else ""
        if isinstance(self._server, Address):
            url = self._server.url
            if self._refused in (401, 403):
                return f'refuses the token (HTTP {self._refused} from {url}); give it in "headers": {{"Authorization": "Bearer ..."}}'
            if self._refused:
                return f"has no MCP endpoint at {url} (HTTP {self._refused}); correct the url, its path is often /mcp"
            if failure is not None:
                return f"cannot be reached at {url} ({_innermost(failure)}); start it, or correct the url"
            return f"at {url} listed no tools within {self._start_s:g} s; see that it is an MCP server and answers"
        if isinstance(failure, OSError) and isinstance(self._server, Program):
            place = f" in {self._server.cwd}" if self._server.cwd is not None else ""
            return f"cannot be started: {self._server.command!r}{place}: {failure.strerror}; install it, or give its full path"
        if failure is None:
            return f"listed no tools within {self._start_s:g} s; see that it starts by itself{words}"
        return f"did not open a conversation ({_innermost(failure)}); see that it starts by itself{words}"


async def _list(client: "mcp.Client") -> "list[mcp_types.Tool]":
    page = await client.list_tools()
    found = page.tools
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        found = [*found, *page.tools]
    return found


def _innermost(error: BaseException) -> str:
    """The first cause inside exception groups, on one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split()) or type(error).__name__


class _Ears:
    """What a server sends, less its notifications, of which nothing here depends; ends the conversation when they do not end."""

    def __init__(self, inner: Any, over: asyncio.Event, words: LastWords) -> None:
        self._inner = inner
        self._over = over
        self._words = words
        self._unasked = 0

    async def receive(self) -> Any:
        """The next answer, or request of the server. Raises `EndOfStream`."""
        import anyio
        from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

        while True:
            try:
                item = await self._inner.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                self._over.set()
                raise
            message = getattr(item, "message", None)
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                self._unasked = 0
                return item
            self._unasked += 100 if isinstance(message, JSONRPCRequest) else 1
            if self._unasked > UNASKED:
                self._words.ending = "it sent messages without end"
                self._over.set()
                raise anyio.EndOfStream
            if isinstance(message, JSONRPCRequest):
                return item

    async def aclose(self) -> None:
        """Close."""
        await self._inner.aclose()

    def __aiter__(self) -> "_Ears":
        return self

    async def __anext__(self) -> Any:
        import anyio

        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> "_Ears":
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.aclose()
