"""Tools served by the Model Context Protocol: over this process's standard input and output, or streamable HTTP on loopback.

Each client has a sandbox session of its own, so that what it defines stays from call to call; it is dropped with the client.
"""

import asyncio
import hmac
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from io import FileIO
from typing import TYPE_CHECKING, Any, TextIO

from tirage.core.errors import ConfigError, MissingExtra, SandboxError, TirageError
from tirage.core.message import ObservationStatus, ToolCall
from tirage.sandbox.base import Sandbox, Session
from tirage.tools.base import Tool

if TYPE_CHECKING:
    import mcp_types
    from mcp.server import Server

HOST = "127.0.0.1"
IDLE_S = 1800.0
"""After so long without a request, an HTTP client's session is dropped."""
_LEAVE_S = 1
_LONGEST = 16 << 20
"""Bytes of one message."""


class Seat:
    """One client's place: its sandbox session, opened with its first call."""

    def __init__(self, sandbox: Sandbox | None) -> None:
        """Without a sandbox tools are called without a session."""
        self._sandbox = sandbox
        self._session: Session | None = None
        self._turn = asyncio.Lock()

    async def call(self, tool: Tool, call: ToolCall) -> tuple[str, bool]:
        """What the client is told, and whether it is an error. Calls come one after the other, unless the tool lets them run together."""
        try:
            if tool.parallel:
                observation = await tool.call(call, await self._open())
            else:
                async with self._turn:
                    observation = await tool.call(call, await self._open())
        except SandboxError as error:
            await self.close()
            return f"The sandbox failed, and what was defined in it is lost: {error}", True
        except TirageError as error:
            return str(error), True
        return observation.text, observation.status is not ObservationStatus.OK

    async def close(self) -> None:
        """Drop the session; a later call opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self) -> Session | None:
        if self._session is None and self._sandbox is not None:
            opened = await self._sandbox.open()
            if self._session is None:
                self._session = opened
            else:
                await opened.close()
        return self._session


@contextmanager
def wire() -> Iterator[tuple[FileIO, TextIO]]:
    """Standard input and output, for the protocol alone: meanwhile input is empty and whatever is printed goes to standard error."""
    sys.stdout.flush()
    heard, said = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as empty:
        os.dup2(empty.fileno(), 0)
    os.dup2(2, 1)
    try:
        # The event loop closes what it has read to its end, hence files of their own.
        with open(os.dup(heard), "rb", buffering=0) as source, open(os.dup(said), "w", encoding="utf-8") as sink:
            yield source, sink
    finally:
        sys.stdout.flush()
        os.dup2(heard, 0)
        os.dup2(said, 1)
        os.set_blocking(0, True)
        os.close(heard)
        os.close(said)


async def serve_stdio(tools: Mapping[str, Tool], sandbox: Sandbox | None, files: tuple[FileIO, TextIO]) -> None:
    """Serve the one client at the other end of `files` (see `wire`) until it leaves."""
    stdio_server = _sdk().stdio_server
    import anyio

    server = _server(tools, sandbox, one_client=True)
    source, sink = files
    lines = asyncio.StreamReader(_LONGEST)
    kind = os.fstat(source.fileno()).st_mode
    if source.isatty() or stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        # Not the SDK's reading in a thread: a thread that waits for input cannot be interrupted.
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), source)
    else:
        lines.feed_data(source.readall())
        lines.feed_eof()
    async with stdio_server(stdin=_messages(lines), stdout=anyio.wrap_file(sink)) as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def _messages(lines: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """A line each, less those that are too long to be one."""
    while True:
        try:
            line = await lines.readline()
        except ValueError:
            continue
        if not line:
            return
        yield line


async def serve_http(tools: Mapping[str, Tool], sandbox: Sandbox | None, *, port: int, token: str, ready: Callable[[str], None]) -> None:
    """Serve clients that show the token until the process is interrupted.

    `port`: 0 takes any; `ready` is told the URL. Raises `ConfigError` for a port that is taken.
    """
    _sdk()
    import uvicorn
    from mcp_types import DiscoverResult, RequestParams
    from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

    server = _server(tools, sandbox, one_client=False)

    async def discover(ctx: Any, params: RequestParams) -> DiscoverResult:
        # Clients of the newest protocol have no session over HTTP; told so, they fall back to the one before, which has.
        return DiscoverResult(supported_versions=list(HANDSHAKE_PROTOCOL_VERSIONS), capabilities=server.get_capabilities())

    server.add_request_handler("server/discover", RequestParams, discover)
    app = _Guarded(server.streamable_http_app(session_idle_timeout=IDLE_S), token)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_LEAVE_S)
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((HOST, port))
        except OSError as error:
            raise ConfigError(f"port {port} of {HOST} cannot be had ({error.strerror}); give another with --port") from error
        door.listen()
        ready(f"http://{HOST}:{door.getsockname()[1]}/mcp")
        web = uvicorn.Server(config)
        serving = asyncio.create_task(web.serve(sockets=[door]))
        try:
            await asyncio.shield(serving)
        finally:
            web.should_exit = True
            await serving


def _sdk() -> Any:
    try:
        import mcp
    except ImportError as error:
        raise MissingExtra("mcp", "mcp") from error
    return mcp


def _server(tools: Mapping[str, Tool], sandbox: Sandbox | None, *, one_client: bool) -> "Server[Seat | None]":
    """`one_client`: the process serves one client, whatever connections it makes of it; else each connection has a seat."""
    import mcp_types as types
    from mcp import MCPError
    from mcp.server import Server

    from tirage import __version__

    @asynccontextmanager
    async def lifespan(_: Server[Seat | None]) -> AsyncIterator[Seat | None]:
        seat = Seat(sandbox) if one_client else None
        try:
            yield seat
        finally:
            if seat is not None:
                await seat.close()

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(item) for item in tools.values()])

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool named {params.name!r}; tools: {', '.join(sorted(tools))}")
        call = ToolCall(name=params.name, arguments=json.dumps(params.arguments or {}), id=str(ctx.request_id))
        text, failed = await _seat(ctx, sandbox).call(tool, call)
        # A lone surrogate has no place in UTF-8, and would end the conversation.
        content: list[types.ContentBlock] = [types.TextContent(text=text.encode("utf-8", "replace").decode())]
        return types.CallToolResult(content=content, is_error=failed)

    return Server("tirage", version=__version__, lifespan=lifespan, on_list_tools=list_tools, on_call_tool=call_tool)


def _seat(ctx: Any, sandbox: Sandbox | None) -> Seat:
    """The client's seat: the process's, or that of its connection, which closes it."""
    if ctx.lifespan_context is not None:
        return ctx.lifespan_context  # type: ignore[no-any-return]
    # What lives as long as a client hangs on its connection, to which the SDK gives handlers no public way.
    connection = ctx.session._connection
    if "seat" not in connection.state:
        connection.state["seat"] = Seat(sandbox)
        connection.exit_stack.push_async_callback(connection.state["seat"].close)
    return connection.state["seat"]  # type: ignore[no-any-return]


def _described(tool: Tool) -> "mcp_types.Tool":
    import mcp_types as types

    return types.Tool(name=tool.spec.name, description=tool.spec.description, input_schema=dict(tool.spec.parameters))


class _Guarded:
    """An application that answers only requests with the token."""

    def __init__(self, app: Any, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "lifespan" or hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
