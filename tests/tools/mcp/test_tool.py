"""Tools of real MCP servers: the official SDK's, a third party's, and ones that misbehave."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tirage.agents.dialects.base import NativeTools
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.model_policy import ModelPolicy
from tirage.core import Observation, ObservationStatus, Problem, ToolCall
from tirage.core.errors import ConfigError
from tirage.models.base import Sampling
from tirage.testing.models import ScriptedModel
from tirage.testing.scripted import Reply
from tirage.tools.base import Tool
from tirage.tools.mcp import connection, mcp_tools

pytest.importorskip("mcp", reason="pip install 'tirage[mcp]'")
pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = Path(__file__).parent


def program(name: str, *args: str, **more: object) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(HERE / f"{name}_server.py"), *args], **more}


def wild(*args: str, **more: object) -> dict[str, Any]:
    return {"mcpServers": {"wild": program("wild", *args, **more)}}


async def ask(tool: Tool, **arguments: Any) -> Observation:
    return await tool.call(ToolCall(name=tool.spec.name, arguments=json.dumps(arguments), id="c"), None)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tools() -> AsyncIterator[dict[str, Tool]]:
    async with mcp_tools({"mcpServers": {"good": program("good")}}) as opened:
        yield opened


async def test_tools_are_listed_as_the_server_describes_them(tools: dict[str, Tool]) -> None:
    assert list(tools) == ["add", "count", "point", "fail", "look_around", "sleep", "chatty", "much"]
    spec = tools["add"].spec
    assert (spec.name, spec.description) == ("add", "Add two numbers.")
    assert spec.parameters["required"] == ["a", "b"]
    assert spec.parameters["properties"]["a"]["type"] == "integer"
    assert [name for name, item in tools.items() if getattr(item, "parallel", False)] == ["add"]


@pytest.mark.parametrize(
    ("name", "arguments", "text", "status"),
    [
        ("add", {"a": 1, "b": 2}, "3", ObservationStatus.OK),
        ("point", {}, '{\n  "x": 1,\n  "y": 2\n}', ObservationStatus.OK),
        ("chatty", {"notes": 300}, "done", ObservationStatus.OK),
        ("fail", {}, "Error executing tool fail", ObservationStatus.ERROR),
        (
            "look_around",
            {},
            "three things\n[image: image/png, 5 bytes]\n[resource 'log': file:///log.txt]\n[resource note:1]\nremember\n"
            "[resource note:2, image/gif, 3 bytes]",
            ObservationStatus.OK,
        ),
    ],
)
async def test_what_a_call_brings(
    tools: dict[str, Tool], name: str, arguments: dict[str, Any], text: str, status: ObservationStatus
) -> None:
    found = await ask(tools[name], **arguments)
    assert (found.text, found.status, found.call_id, found.data) == (text, status, "c", {"mcp_server": "good"})


async def test_arguments_the_server_refuses_are_told(tools: dict[str, Tool]) -> None:
    found = await ask(tools["add"], a="one", b=2)
    assert found.status is ObservationStatus.ERROR
    assert "valid integer" in found.text


@pytest.mark.parametrize("arguments", ["{", "[1]", '"a"', '{"a": NaN}', '{"name": "\\ud800"}', "[" * 100_000])
async def test_arguments_that_are_no_object_never_reach_the_server(tools: dict[str, Tool], arguments: str) -> None:
    found = await tools["count"].call(ToolCall(name="count", arguments=arguments, id="c"), None)
    assert (found.status, found.call_id) == (ObservationStatus.INVALID, "c")


async def test_megabytes_are_clipped(tools: dict[str, Tool]) -> None:
    found = await ask(tools["much"])
    assert found.truncated
    assert len(found.text) == 4003


async def test_secrets_of_this_process_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    async with mcp_tools(wild("environment", env={"DEPTH": "2"})) as opened:
        names = (await ask(opened["go"])).text.split()
    assert {"PATH", "DEPTH"} <= set(names)
    assert "OPENAI_API_KEY" not in names


async def test_calls_from_many_tasks_reach_one_server(tools: dict[str, Tool]) -> None:
    found = await asyncio.gather(*(asyncio.create_task(ask(tools["count"])) for _ in range(20)))
    assert sorted(int(item.text) for item in found) == list(range(1, 21))


async def test_a_call_that_takes_too_long_is_given_up_and_the_server_goes_on() -> None:
    async with mcp_tools(wild("slow-once"), timeout_s=0.3) as opened:
        slow = await ask(opened["go"])
        assert (slow.status, slow.text) == (ObservationStatus.TIMEOUT, "TimeoutError: go took longer than 0.3 s")
        assert (await ask(opened["go"])).status is ObservationStatus.OK


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("die", "it ended with code 7; its last words: segmentation fault, as they say"),
        ("line", "it sent a message of more than 16 MB"),
        ("notify", "it sent messages without end"),
        ("ask", "it sent messages without end"),
    ],
)
async def test_a_server_that_breaks_in_a_call_is_gone_and_every_call_says_so(monkeypatch: pytest.MonkeyPatch, how: str, words: str) -> None:
    monkeypatch.setattr(connection, "UNASKED", 500)
    async with mcp_tools(wild(how)) as opened:
        for _ in range(2):
            found = await ask(opened["go"])
            assert found.status is ObservationStatus.ERROR
            assert found.text == f"ServerGone: the MCP server 'wild' is gone, and its tools with it; {words}"


@pytest.mark.parametrize("how", ["hang", "errors"])
async def test_a_server_that_never_answers_or_floods_its_errors_costs_the_time_limit(how: str) -> None:
    async with mcp_tools(wild(how), timeout_s=0.3) as opened:
        assert (await ask(opened["go"])).status is ObservationStatus.TIMEOUT


@pytest.mark.parametrize(
    ("how", "status", "text"),
    [("garbage", ObservationStatus.OK, "after the garbage"), ("shapeless", ObservationStatus.ERROR, "BrokenAnswer: go")],
)
async def test_what_is_not_the_protocol(how: str, status: ObservationStatus, text: str) -> None:
    async with mcp_tools(wild(how)) as opened:
        found = await ask(opened["go"])
    assert found.status is status
    assert found.text.startswith(text)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("start-die", r"'wild' did not open .* it ended with code 3; its last words: the licence has expired"),
        ("start-usage", r"it ended with code 2; its last words: usage: wild_server.py PLACE"),
        ("start-hang", r"'wild' listed no tools within 0.8 s"),
    ],
)
async def test_a_server_that_does_not_start(how: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        async with mcp_tools(wild(how), start_s=0.8):
            pass
    assert "\n" not in str(caught.value)


async def test_a_program_that_is_not_there_and_a_name_that_is_there_twice() -> None:
    with pytest.raises(ConfigError, match=r"'a' cannot be started: 'no-such-program': No such file.* install it"):
        async with mcp_tools({"mcpServers": {"a": {"command": "no-such-program"}}}):
            pass
    twice = {"mcpServers": {name: program("wild", "garbage") for name in ("a", "b")}}
    with pytest.raises(ConfigError, match=r"'b': there is a tool named 'go' already; put the servers' names in front"):
        async with mcp_tools(twice):
            pass
    async with mcp_tools(twice, prefix=True) as opened:
        assert list(opened) == ["a_go", "b_go"]
        assert (await ask(opened["b_go"])).text == "after the garbage"


def running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_closing_ends_a_stubborn_server_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with mcp_tools(wild("stubborn", str(pids))):
        server, child = map(int, pids.read_text().split())
        began = time.monotonic()
    assert time.monotonic() - began < connection._CLOSE_S + 1
    assert not running(server)
    assert not running(child)


async def test_a_cancelled_user_leaves_no_server_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    opened = asyncio.Event()

    async def use() -> None:
        async with mcp_tools(wild("stubborn", str(pids))) as found:
            opened.set()
            await ask(found["go"])

    task = asyncio.create_task(use())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(running(int(pid)) for pid in pids.read_text().split())


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(HERE / "good_server.py"), str(port), "s3cret"])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/mcp", process
    process.kill()
    process.wait()


async def test_streamable_http(address: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = address
    headers = {"Authorization": "Bearer s3cret"}
    for token in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(ConfigError, match=r"'web' refuses the token \(HTTP 401 from http.*; give it in \"headers\""):
            async with mcp_tools({"mcpServers": {"web": {"url": url, "headers": token}}}):
                pass
    with pytest.raises(ConfigError, match=r"has no MCP endpoint at .*/elsewhere \(HTTP 404\); correct the url"):
        async with mcp_tools({"mcpServers": {"web": {"url": url.replace("/mcp", "/elsewhere"), "headers": headers}}}):
            pass
    async with mcp_tools({"mcpServers": {"web": {"url": url, "headers": headers}}}, timeout_s=5) as opened:
        assert (await ask(opened["add"], a=1, b=2)).text == "3"
        assert (await ask(opened["fail"])).status is ObservationStatus.ERROR
        process.kill()
        process.wait()
        for _ in range(2):
            found = await ask(opened["add"], a=1, b=2)
            assert found.status is ObservationStatus.ERROR
            assert found.text.startswith("ServerGone: the MCP server 'web' is gone")
    with pytest.raises(ConfigError, match=r"cannot be reached at .* start it, or correct the url"):
        async with mcp_tools({"mcpServers": {"web": {"url": url}}}):
            pass


async def test_an_address_that_never_answers() -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        url = f"http://127.0.0.1:{door.getsockname()[1]}/mcp"
        with pytest.raises(ConfigError, match=r"'web' at http://\S+/mcp listed no tools within 0.3 s; see that it is an MCP server"):
            async with mcp_tools({"mcpServers": {"web": {"url": url}}}, start_s=0.3):
                pass


def reference(name: str) -> str:
    """The program of one of the protocol's reference servers."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"pip install {name}")
    return found


async def test_the_reference_server_of_times() -> None:
    server = {"command": reference("mcp-server-time"), "args": ["--local-timezone", "UTC"]}
    async with mcp_tools({"mcpServers": {"time": server}}) as opened:
        noon = await ask(opened["convert_time"], source_timezone="UTC", time="12:00", target_timezone="Asia/Tokyo")
        assert noon.status is ObservationStatus.OK
        assert "T21:00:00+09:00" in noon.text
        wrong = await ask(opened["get_current_time"], timezone="Mars/Olympus")
        assert wrong.status is not ObservationStatus.OK


def git(folder: str, *command: str) -> str:
    if shutil.which("git") is None:
        pytest.skip("no git; install it with: apt-get install git")
    return subprocess.run(["git", "-C", folder, *command], check=True, capture_output=True, text=True).stdout


async def test_the_reference_server_of_repositories(tmp_path: Path) -> None:
    program, folder = reference("mcp-server-git"), str(tmp_path)
    for command in (["init", "-q"], ["config", "user.name", "Ann"], ["config", "user.email", "ann@example.org"]):
        git(folder, *command)
    (tmp_path / "notes.txt").write_text("otters\n")
    async with mcp_tools({"mcpServers": {"git": {"command": program, "args": ["--repository", folder]}}}) as opened:
        assert "notes.txt" in (await ask(opened["git_status"], repo_path=folder)).text
        assert (await ask(opened["git_add"], repo_path=folder, files=["notes.txt"])).text == "Files staged successfully"
        assert "+otters" in (await ask(opened["git_diff_staged"], repo_path=folder)).text
        assert "Changes committed" in (await ask(opened["git_commit"], repo_path=folder, message="first")).text
        assert "Message: first" in (await ask(opened["git_log"], repo_path=folder)).text
        elsewhere = await ask(opened["git_status"], repo_path="/")
        assert elsewhere.status is ObservationStatus.ERROR
        assert "outside the allowed repository" in elsewhere.text
        assert (await ask(opened["git_add"], repo_path=folder)).status is not ObservationStatus.OK
    assert git(folder, "log", "--format=%an %s") == "Ann first\n"


async def test_an_agent_calls_a_tool_of_a_server(tools: dict[str, Tool]) -> None:
    calls = (ToolCall(name="add", arguments='{"a": 40, "b": 2}', id="c1"), ToolCall(name="add", arguments='{"a": "x"}', id="c2"))
    model = ScriptedModel([Reply(tool_calls=calls), "\\boxed{42}"], mode="chat")
    policy = ModelPolicy(model, NativeTools(), sampling=Sampling(), tools=tuple(item.spec for item in tools.values()))
    tree = await Explorer(policy, tools=tools, sandbox=None).solve(Problem(prompt="40 + 2?"), SolveContext(seed=0))
    model.assert_done()
    step = tree.nodes[1].step
    assert step is not None
    assert [item.status for item in step.observations] == [ObservationStatus.OK, ObservationStatus.ERROR]
    assert step.observations[0].text == "42"
    assert {"name": "add", "description": "Add two numbers.", "parameters": tools["add"].spec.parameters} in [
        item["function"] for item in model.requests[0].tools
    ]
