"""`tirage mcp` as other programs meet it, and `--mcp` of solve and search."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.calling_server import Calling
from tests.processes import interruptible
from tirage.cli.main import main
from tirage.tools.mcp import mcp_tools

pytest.importorskip("mcp", reason="pip install 'tirage[mcp]'")
from mcp import Client, StdioServerParameters

WILD = Path(__file__).parents[1] / "tools" / "mcp" / "wild_server.py"
FUNCTIONS = '''
print("noise at import")

def plain(word: str) -> str:
    """Spell a word backwards."""
    print("noise in a call")
    return word[::-1]

number = 3
'''


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    output = capsys.readouterr()
    code = ended.value.code
    return code if isinstance(code, int) else 1, output.out, output.err


def servers(folder: Path, how: str) -> str:
    path = folder / "servers.json"
    path.write_text(json.dumps({"mcpServers": {"wild": {"command": sys.executable, "args": [str(WILD), how]}}}))
    return str(path)


async def test_an_official_client_uses_tools_and_an_agent_over_standard_input_and_output(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    (tmp_path / "script.txt").write_text("I add. \\boxed{2}")
    command = ["-m", "tirage", "mcp", "python", "mine:plain", "solve", "--model", "scripted/script.txt"]
    given = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    async with Client(StdioServerParameters(command=sys.executable, args=command, cwd=tmp_path, env=given)) as client:

        async def ask(name: str, **arguments: Any) -> tuple[str, bool]:
            result = await client.call_tool(name, arguments)
            return result.content[0].text, result.is_error  # type: ignore[union-attr]

        assert [item.name for item in (await client.list_tools()).tools] == ["python", "plain", "solve"]
        assert await ask("python", code="x = 6") == ("(no output)", False)
        assert await ask("python", code="print(x * 7)") == ("42\n", False)
        assert await ask("plain", word="egarit") == ("tirage", False)
        text, failed = await ask("solve", question="1 + 1?")
        found = json.loads(text)
        assert (failed, found["answer"], found["response"], found["stop"]) == (False, "2", "I add. \\boxed{2}", "answered")
        assert found["usage"]["model_calls"] == 1
        text, failed = await ask("solve", question="1 + 1?", strategy="mtcs")
        assert failed
        assert text.startswith("there is no strategy 'mtcs'; strategies: greedy, best-of-n")
        assert await ask("solve", question=" ") == ("the question is empty; give the text of a problem", True)


RUBBISH = (
    b"rubbish",
    b"\xff\xfe",
    b"null",
    b"[" * 100_000,
    b'{"jsonrpc": "2.0", "id": 9}',
    b'"' + b"x" * (17 << 20) + b'"',
    b'{"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {"name": 3}}',
)


def test_rubbish_a_call_given_up_and_a_client_that_leaves_do_no_harm() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tirage", "mcp", "python"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None

        def send(message: bytes | dict[str, Any]) -> None:
            data = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
            server.stdin.write(data + b"\n")
            server.stdin.flush()

        def call(number: int, code: str) -> None:
            send({"id": number, "method": "tools/call", "params": {"name": "python", "arguments": {"code": code}}})

        info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        send({"id": 1, "method": "initialize", "params": info})
        assert json.loads(server.stdout.readline())["id"] == 1
        send({"method": "notifications/initialized"})
        for line in RUBBISH:
            send(line)
        call(2, "print(1)")
        refused, answered = (json.loads(server.stdout.readline()) for _ in range(2))
        assert (refused["id"], refused["error"]["message"]) == (8, "Invalid request parameters")
        assert (answered["id"], answered["result"]["content"][0]["text"]) == (2, "1\n")
        call(3, "import time; time.sleep(4)")
        send({"method": "notifications/cancelled", "params": {"requestId": 3}})
        call(4, "print(2)")
        answered = json.loads(server.stdout.readline())
        assert (answered["id"], answered["result"]["content"][0]["text"]) == (4, "2\n")
        call(5, "import time; time.sleep(4)")
        server.stdin.close()
        assert server.wait(timeout=20) == 0
        assert server.stderr.read() == b""


def test_an_interrupt_ends_the_server_while_it_waits_for_its_client() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tirage", "mcp", "python"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=interruptible,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info}).encode() + b"\n")
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["result"]["serverInfo"]["name"] == "tirage"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=20) == 130
        assert server.stdout.read() == b""


def test_over_http_it_says_how_to_connect() -> None:
    async def listed(entry: dict[str, Any]) -> list[str]:
        async with mcp_tools(entry) as tools:
            return list(tools)

    environment = {**os.environ, "TIRAGE_MCP_TOKEN": "t0ken"}
    with subprocess.Popen(
        [sys.executable, "-m", "tirage", "mcp", "python", "--http", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=interruptible,
    ) as server:
        try:
            assert server.stderr is not None
            assert server.stderr.readline().startswith("serving python at http://127.0.0.1:")
            entry = json.loads(server.stderr.readline())
            assert entry["mcpServers"]["tirage"]["headers"] == {"Authorization": "Bearer t0ken"}
            assert asyncio.run(listed(entry)) == ["python"]
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=20) == 130
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pyhton"], 2, "there is no tool 'pyhton'; tools: python, shell, solve, or module:attribute"),
        (["absent_module:x"], 2, "there is no module 'absent_module'"),
        (["mine:absent"], 2, "no attribute 'absent'"),
        (["mine:number"], 2, "tool 'mine:number' is of type int; give a function, a @tool, or a mapping or list of these"),
        (["mine:plain", "mine:plain"], 2, "two tools are named 'plain'"),
        (["-c", "absent.sqlite"], 3, "make one with: tirage index add absent.sqlite FOLDER"),
        (["solve", "--model", "nanoo"], 2, "did you mean 'nano'"),
        (["--set", "agent.best_off=2"], 2, "did you mean 'best_of'"),
    ],
)
def test_what_cannot_be_served_is_one_line_with_the_remedy(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FUNCTIONS.replace("print(", "str("))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    found, out, err = run(capfd, "mcp", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1), err
    assert message in err


@pytest.fixture
def model() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Calling) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1#caller"
        server.shutdown()


def test_solve_and_search_offer_the_tools_of_servers(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str) -> None:
    path = servers(tmp_path, "garbage")
    code, out, err = run(capsys, "solve", "Go.", "-m", model, "--mcp", path, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["answer"], found["usage"]["tool_calls"]) == ("after the garbage", 1)
    arguments = ["--strategy", "greedy", "--mcp", path, "--run", str(tmp_path / "run"), "--json"]
    code, out, err = run(capsys, "search", "Go.", "-m", model, *arguments)
    assert code == 0, err
    tree = json.loads(out)["trees"][0]
    assert (tree["answer"], tree["tool_calls"]) == ("after the garbage", 1)


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("start-die", 2, "'wild' did not open a conversation"),
        ("{", 2, "is not JSON"),
        (None, 2, "cannot be read: No such file"),
    ],
)
def test_servers_that_cannot_be_had(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str, how: str | None, code: int, message: str
) -> None:
    path = tmp_path / "servers.json"
    if how == "{":
        path.write_text(how)
    elif how is not None:
        servers(tmp_path, how)
    found, _, err = run(capsys, "solve", "Go.", "-m", model, "--mcp", str(path))
    assert (found, err.count("\n")) == (code, 1), err
    assert message in err


def test_the_fenced_dialect_cannot_call_them(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str) -> None:
    settings = ["--set", "agent.dialect=fenced-python", "--run", str(tmp_path / "run")]
    code, _, err = run(capsys, "search", "Go.", "-m", model, "--mcp", servers(tmp_path, "garbage"), *settings)
    assert (code, err.count("\n")) == (2, 1), err
    assert "agent.dialect=native" in err
