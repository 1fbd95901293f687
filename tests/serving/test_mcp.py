"""tirage's tools served over loopback and used by the official SDK's client, and by tirage's own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from tirage.core import ObservationStatus, ToolCall
from tirage.core.errors import ConfigError, ToolError
from tirage.sandbox import Sandbox, SandboxConfig, Session, open_sandbox
from tirage.serving.mcp import HOST, Seat, serve_http
from tirage.tools.base import Tool
from tirage.tools.function import tool
from tirage.tools.mcp import mcp_tools
from tirage.tools.python import PythonTool
from tirage.tools.shell import ShellTool
from tirage.tools.toolset import toolset

pytest.importorskip("mcp", reason="pip install 'tirage[mcp]'")
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKEN = "s3cret"


@dataclass
class Counted:
    """A sandbox that knows how many of its sessions are open."""

    inner: Sandbox
    open_now: set[int] = field(default_factory=set)

    async def open(self) -> Session:
        session = await self.inner.open()
        close = session.close
        self.open_now.add(id(session))

        async def closing() -> None:
            self.open_now.discard(id(session))
            await close()

        session.close = closing  # type: ignore[method-assign]
        return session


@tool
def broken() -> str:
    """Has a bug."""
    raise KeyError("x")


@tool
def odd() -> str:
    """Says what UTF-8 cannot."""
    return "a\ud800b"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandbox() -> AsyncIterator[Counted]:
    async with open_sandbox(SandboxConfig(preload=())) as opened:
        yield Counted(opened)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(sandbox: Counted) -> AsyncIterator[str]:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tools = toolset(PythonTool(), ShellTool(), broken, odd)
    server = asyncio.create_task(serve_http(tools, sandbox, port=0, token=TOKEN, ready=told.set_result))  # type: ignore[arg-type]
    yield await told
    server.cancel()
    await asyncio.wait({server})


Ask = Callable[..., Awaitable[tuple[str, bool]]]


@asynccontextmanager
async def client(url: str, mode: str = "auto", token: str = TOKEN) -> AsyncIterator[tuple[Client, Ask]]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as found,
    ):

        async def ask(name: str, **arguments: Any) -> tuple[str, bool]:
            result = await found.call_tool(name, arguments)
            return result.content[0].text, result.is_error  # type: ignore[union-attr]

        yield found, ask


async def test_the_sdk_lists_and_calls(url: str) -> None:
    async with client(url) as (found, ask):
        listed = {item.name: item for item in (await found.list_tools()).tools}
        assert list(listed) == ["python", "shell", "broken", "odd"]
        assert listed["python"].input_schema == PythonTool().spec.parameters
        assert listed["python"].description == PythonTool().spec.description
        assert await ask("python", code="print(6 * 7)") == ("42\n", False)
        assert await ask("shell", command="exit 3") == ("[exit code 3]", True)
        assert await ask("python", cod="1") == ('InvalidCall: arguments must be a JSON object with a string "code"', True)
        assert await ask("broken") == ("tool 'broken' broke: KeyError: 'x'", True)
        assert await ask("odd") == ("a?b", False)
        with pytest.raises(MCPError, match=r"no tool named 'nope'; tools: broken, odd, python, shell"):
            await ask("nope")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_each_client_has_a_session_that_lasts_as_long_as_it(url: str, sandbox: Counted, mode: str) -> None:
    before = len(sandbox.open_now)
    async with client(url, mode) as (_, mine), client(url, mode) as (_, yours):
        await asyncio.gather(mine("python", code="x = 'mine'"), yours("python", code="x = 'yours'"))
        assert await mine("python", code="print(x)") == ("mine\n", False)
        assert await yours("shell", command="echo kept > file") == ("(no output)", False)
        assert await yours("python", code="print(x, open('file').read())") == ("yours kept\n\n", False)
        assert len(sandbox.open_now) == before + 2
    for _ in range(100):
        if len(sandbox.open_now) == before:
            break
        await asyncio.sleep(0.02)
    assert len(sandbox.open_now) == before


async def test_a_client_that_will_have_no_session_gets_a_fresh_one_per_call(url: str, sandbox: Counted) -> None:
    before = len(sandbox.open_now)
    async with client(url, "2026-07-28") as (_, ask):
        assert await ask("python", code="x = 1") == ("(no output)", False)
        text, failed = await ask("python", code="print(x)")
        assert (text, failed) == ("NameError: name 'x' is not defined", True)
    assert len(sandbox.open_now) == before


async def test_nobody_gets_in_without_the_token(url: str) -> None:
    async with httpx2.AsyncClient() as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            answer = await http.post(url, headers=headers, json={})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        # A web page that found a way around the same-origin rule still shows where it is from.
        answer = await http.post(url, headers={"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, json={})
        assert answer.status_code == 421


ACCEPT = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[tuple[httpx2.AsyncClient, Callable[..., Awaitable[str]]]]:
    """A client that speaks HTTP by hand, in a session of the protocol."""
    async with httpx2.AsyncClient(headers=ACCEPT, timeout=30) as http:
        info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        opened = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info})
        http.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
        await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})

        async def run(number: int, code: str) -> str:
            params = {"name": "python", "arguments": {"code": code}}
            return (await http.post(url, json={"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})).text

        yield http, run


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"rubbish", 400),
        (b"\xff\xfe", 400),
        (b"", 400),
        (b"[" * 100_000, 400),
        (b'{"jsonrpc": "2.0", "id": 1}', 400),
        (b'"' + b"x" * (17 << 20) + b'"', 413),
    ],
    ids=["rubbish", "bytes", "nothing", "depth", "no request", "megabytes"],
)
async def test_rubbish_is_refused_and_does_no_harm(url: str, body: bytes, status: int) -> None:
    async with httpx2.AsyncClient(headers=ACCEPT) as http:
        assert (await http.post(url, content=body)).status_code == status
    async with client(url) as (_, ask):
        assert await ask("python", code="print(1)") == ("1\n", False)


async def test_clients_that_leave_or_cancel_in_a_call_keep_their_session(url: str, sandbox: Counted) -> None:
    before = len(sandbox.open_now)
    async with raw(url) as (http, run):
        assert "(no output)" in await run(2, "x = 'kept'; import time")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run(3, "time.sleep(0.5)"), 0.2)
        assert "kept" in await run(4, "print(x)")
        waiting = asyncio.ensure_future(run(5, "time.sleep(4)"))
        await asyncio.sleep(0.2)
        await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}})
        assert "Request cancelled" in await waiting
        assert "kept" in await run(6, "print(x)")
        waiting = asyncio.ensure_future(run(7, "time.sleep(4)"))
        await asyncio.sleep(0.2)
        assert (await http.delete(url)).status_code == 200
        await asyncio.wait({waiting})
        assert "Session not found" in await run(8, "print(x)")
    for _ in range(100):
        if len(sandbox.open_now) == before:
            break
        await asyncio.sleep(0.02)
    assert len(sandbox.open_now) == before


async def test_once_it_is_ready_it_can_be_reached() -> None:
    def knock(url: str) -> None:
        socket.create_connection((HOST, int(url.split(":")[2].split("/")[0]))).close()
        knocked.set_result(None)

    knocked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve_http({}, None, port=0, token=TOKEN, ready=knock))
    await asyncio.wait({server, knocked}, return_when=asyncio.FIRST_COMPLETED)
    assert knocked.done()
    server.cancel()
    await asyncio.wait({server})


async def test_tirage_uses_tirage(url: str) -> None:
    servers = {"mcpServers": {"box": {"url": url, "headers": {"Authorization": f"Bearer {TOKEN}"}}}}
    async with mcp_tools(servers, prefix=True) as tools:
        call = ToolCall(name="box_python", arguments='{"code": "1/0"}', id="c")
        found = await tools["box_python"].call(call, None)
        assert (found.text, found.status) == ("ZeroDivisionError: division by zero", ObservationStatus.ERROR)


async def test_a_port_that_is_taken(url: str) -> None:
    port = int(url.split(":")[2].split("/")[0])
    with pytest.raises(ConfigError, match=rf"port {port} of {HOST} cannot be had .* --port"):
        await serve_http({}, None, port=port, token=TOKEN, ready=lambda _: None)


async def test_calls_of_a_seat_take_turns_unless_their_tool_lets_them_run_together() -> None:
    running, most = 0, 0

    async def work() -> str:
        """Work."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return "done"

    for parallel, expected in ((False, 1), (True, 3)):
        most, seat = 0, Seat(None)
        item: Tool = tool(parallel=parallel)(work)
        calls = [seat.call(item, ToolCall(name="work", arguments="{}")) for _ in range(3)]
        assert await asyncio.gather(*calls) == [("done", False)] * 3
        assert most == expected


async def test_a_sandbox_that_broke_is_told_and_the_next_call_has_a_new_session(sandbox: Counted) -> None:
    seat = Seat(sandbox)  # type: ignore[arg-type]
    call = ToolCall(name="python", arguments='{"code": "print(1)"}')
    assert await seat.call(PythonTool(), call) == ("1\n", False)
    assert seat._session is not None
    await seat._session.close()
    text, failed = await seat.call(PythonTool(), call)
    assert failed
    assert text.startswith("The sandbox failed, and what was defined in it is lost:")
    assert await seat.call(PythonTool(), call) == ("1\n", False)
    await seat.close()
    with pytest.raises(ToolError, match="needs a sandbox session"):
        await PythonTool().call(call, None)
