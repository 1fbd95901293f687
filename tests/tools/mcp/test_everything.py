"""The protocol's own reference server, an npm package, over both of its transports."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from tirage.core import Observation, ObservationStatus, ToolCall
from tirage.tools.base import Tool
from tirage.tools.mcp import mcp_tools

pytest.importorskip("mcp", reason="pip install 'tirage[mcp]'")
pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVER = shutil.which("mcp-server-everything", path=f"{sys.prefix}/node_modules/.bin{os.pathsep}{os.environ.get('PATH', '')}")
OK, ERROR = ObservationStatus.OK, ObservationStatus.ERROR


@contextmanager
def listening(command: str) -> Iterator[str]:
    """The server's address while it serves streamable HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port)}
    with subprocess.Popen(
        [command, "streamableHttp"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as server:
        try:
            for _ in range(300):
                with socket.socket() as knock:
                    if knock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.kill()


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["stdio", "http"])
async def tools(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Tool]]:
    if SERVER is None:
        pytest.skip("no reference server; install node, then run scripts/test_parts.sh")
    if request.param == "stdio":
        async with mcp_tools({"mcpServers": {"everything": {"command": SERVER}}}) as opened:
            yield opened
        return
    with listening(SERVER) as url:
        async with mcp_tools({"mcpServers": {"everything": {"url": url}}}) as opened:
            yield opened


async def ask(tool: Tool, **arguments: Any) -> Observation:
    return await tool.call(ToolCall(name=tool.spec.name, arguments=json.dumps(arguments), id="c"), None)


async def test_what_can_be_called_is_listed(tools: dict[str, Tool]) -> None:
    assert {"echo", "get-sum", "get-tiny-image", "get-structured-content", "trigger-long-running-operation"} <= set(tools)
    # For clients that sample, ask people, keep roots or wait for tasks.
    assert not {"trigger-sampling-request", "trigger-elicitation-request", "get-roots-list", "simulate-research-query"} & set(tools)
    spec = tools["get-sum"].spec
    assert (spec.description, spec.parameters["required"]) == ("Returns the sum of two numbers", ["a", "b"])
    assert spec.parameters["properties"]["a"] == {"type": "number", "description": "First number"}
    assert getattr(tools["get-sum"], "parallel", False)
    assert not getattr(tools["toggle-simulated-logging"], "parallel", False)


@pytest.mark.parametrize(
    ("name", "arguments", "status", "text"),
    [
        ("echo", {"message": "naïve 数"}, OK, "Echo: naïve 数"),
        ("get-sum", {"a": 2.5, "b": 40}, OK, "The sum of 2.5 and 40 is 42.5."),
        ("trigger-long-running-operation", {"duration": 0.3, "steps": 3}, OK, "completed. Duration: 0.3 seconds, Steps: 3."),
        ("get-tiny-image", {}, OK, "Here's the image you requested:\n[image: image/png, 4033 bytes]\nThe image above is the MCP logo."),
        ("get-structured-content", {"location": "Chicago"}, OK, '{"temperature":36,"conditions":"Light rain / drizzle","humidity":82}'),
        (
            "get-resource-links",
            {"count": 2},
            OK,
            "[resource 'Blob Resource 1': demo://resource/dynamic/blob/1]\n[resource 'Text Resource 2': demo://resource/dynamic/text/2]",
        ),
        ("get-resource-reference", {"resourceType": "Text"}, OK, "[resource demo://resource/dynamic/text/1, text/plain]\nResource 1: This"),
        ("get-resource-reference", {"resourceType": "Blob"}, OK, "[resource demo://resource/dynamic/blob/1, text/plain, "),
        ("get-annotated-message", {"messageType": "error", "includeImage": True}, OK, "Error: Operation failed\n[image: image/png, 4033 "),
        (
            "gzip-file-as-resource",
            {"name": "a.gz", "data": "data:,hello", "outputType": "resource"},
            OK,
            "a.gz, application/gzip, 25 bytes]",
        ),
        ("gzip-file-as-resource", {"data": "data:,hello", "outputType": "neither"}, ERROR, "Input validation error"),
        ("get-sum", {"a": "two", "b": 40}, ERROR, "expected number, received string at a"),
        ("get-structured-content", {"location": "Paris"}, ERROR, 'expected one of "New York"|"Chicago"|"Los Angeles" at location'),
        ("echo", {}, ERROR, "expected string, received undefined at message"),
    ],
)
async def test_what_a_call_brings(
    tools: dict[str, Tool], name: str, arguments: dict[str, Any], status: ObservationStatus, text: str
) -> None:
    found = await ask(tools[name], **arguments)
    assert (found.status, found.data) == (status, {"mcp_server": "everything"}), found.text
    assert text in found.text


async def test_notifications_and_calls_given_up_disturb_nobody(tools: dict[str, Tool]) -> None:
    assert "Started simulated" in (await ask(tools["toggle-simulated-logging"])).text
    assert "Started simulated" in (await ask(tools["toggle-subscriber-updates"])).text
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(tools["trigger-long-running-operation"], duration=60, steps=600), 0.3)
    found = await asyncio.gather(*(ask(tools["get-sum"], a=number, b=1) for number in range(20)))
    assert [item.text for item in found] == [f"The sum of {number} and 1 is {number + 1}." for number in range(20)]
