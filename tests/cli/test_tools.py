"""`tirage tools`, as a user meets it."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import run
from tirage.tools.retrieval import Collection

MODULE = '''
from tirage.tools.function import Refuse, tool

@tool(card={"demos": [{"arguments": {"number": 4}, "description": "even"}, {"arguments": {"number": 3}, "description": "odd"}]})
def halve(number: int) -> int:
    """Half of an even number."""
    if number % 2:
        raise Refuse("give an even number")
    return number // 2

@tool
def bare() -> str:
    """Nothing."""
    return ""
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "halving.py").write_text(MODULE)
    return tmp_path


def test_the_tools_there_are(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    listed = json.loads(run(capsys, "tools", "ls", "--json")[1])
    assert {"python", "shell"} <= {card["name"] for card in listed}
    code, out, _ = run(capsys, "tools", "ls", "--from", "mine")
    assert code == 0
    assert "halve" in out
    assert "python" not in out
    (folder / "tirage_test_halving.py").write_text(MODULE)
    both = run(capsys, "tools", "ls", "--from", "tirage_test_halving:halve", "--from", "c.sqlite", "--json")
    assert both[0] == 2
    assert "no folder or file" in both[2]
    with Collection(folder / "c.sqlite") as collection:
        collection.add([("a", "A rock.")])
    both = run(capsys, "tools", "ls", "--from", "tirage_test_halving:halve", "--from", "c.sqlite", "--json")
    assert [card["name"] for card in json.loads(both[1])] == ["halve", "search"]


def test_a_card_is_shown_and_measured(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = run(capsys, "tools", "card", "halve", "--from", "mine")
    assert code == 0
    assert out.splitlines()[:3] == ["halve: Half of an even number.", "  input number (integer)", "  output: integer"]
    assert "measured" not in out
    out = run(capsys, "tools", "card", "halve", "--from", "mine", "--measure", "3", "--figures", "figures.json")[1]
    assert "  measured: 3 of 6 calls failed (3 error); median " in out
    told = json.loads(run(capsys, "tools", "card", "halve", "--from", "mine", "--figures", "figures.json", "--json")[1])
    assert told["figures"]["ended"] == {"ok": 3, "error": 3}
    assert told["demos"][1] == {"arguments": {"number": 3}, "description": "odd"}
    out = run(capsys, "tools", "card", "halve", "--from", "mine", "--measure", "1", "--figures", "figures.json")[1]
    assert "4 of 8 calls failed" in out


def test_the_interpreter_is_measured_in_a_sandbox(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(run(capsys, "tools", "card", "shell", "--measure", "2", "--json")[1])
    assert told["figures"]["ended"] == {"ok": 2}


@pytest.mark.parametrize(
    ("arguments", "says", "exits"),
    [
        (["card", "halv", "--from", "mine"], "no tool named 'halv'; tools: bare, halve", 2),
        (["card", "bare", "--from", "mine", "--measure", "1"], "tool 'bare' has no demos to measure; write `demos` in its card", 2),
        (["ls", "--from", "json:loads"], "tool 'loads': parameter 's' has no type hint", 2),
        (["ls", "--from", "sys:path"], "tool 'sys:path' is of type list; give a function, a @tool", 2),
        (["card", "halve", "--from", "mine", "--figures", "none.json"], "none.json", 3),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], says: str, exits: int) -> None:
    code, _, err = run(capsys, "tools", *arguments)
    assert code == exits
    assert says in err


WEATHER = '''
import socket
from tirage.tools.function import tool

@tool
def weather(city: str) -> str:
    """The weather."""
    return city
'''


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.py": WEATHER.replace('    """The weather."""\n', "")}, "bad/a.py: tool 'weather' has no docstring; write one"),
        ({"a.py": WEATHER.replace("city: str", "city: socket.socket")}, "'city' has the type socket, which JSON cannot carry; give it"),
        ({"a.py": WEATHER.replace("city: str", "city")}, "parameter 'city' has no type hint; write one"),
        ({"a.py": WEATHER, "b.py": WEATHER}, "two tools are named 'weather'; rename one: @tool(name=...)"),
        ({"a.py": "def f(:"}, "bad/a.py does not load (SyntaxError"),
        ({"a.py": WEATHER, "weather.yaml": "demos: ["}, "the card bad/weather.yaml is no YAML"),
        ({"a.py": WEATHER, "weather.yaml": "demos: [{arguments: {city: a}}]"}, "demos.0.description of bad/weather.yaml: it is missing"),
        ({"a.py": WEATHER, "weather.yaml": "demos: [{arguments: {city: 3}, description: x}]"}, "demo 1 of its card does not fit (city: 3"),
        ({"a.py": WEATHER, "weather.yaml": "inputs: {town: x}"}, "describes 'town', which is no parameter; parameters: city"),
        ({"a.py": WEATHER, "weather.yaml": "descripton: x"}, "descripton of bad/weather.yaml: unknown key; keys: description, inputs"),
        ({"a.py": WEATHER, "weather.yaml": ""}, "the whole of bad/weather.yaml: no keys with values; keys: description"),
        ({"a.py": WEATHER, "wether.yaml": ""}, "the card bad/wether.yaml is of no tool in its folder; tools: weather"),
    ],
)
def test_a_tool_or_card_that_is_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, files: dict[str, str], says: str
) -> None:
    (folder / "bad").mkdir()
    for name, text in files.items():
        (folder / "bad" / name).write_text(text)
    code, _, err = run(capsys, "tools", "ls", "--from", "bad")
    assert (code, err.count("\n")) == (2, 1), err
    assert says in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"mcpServers": ', "servers.json is not JSON: Expecting value: line 1 column 16 (char 15); correct it there"),
        ('{"mcpServers": {"a": {}}}', 'server \'a\': give "command" (a program to start) or "url"'),
        ('{"mcpServers": {"a": {"command": "no-such-server"}}}', "'no-such-server': No such file or directory; install it, or give"),
        ('{"mcpServers": {"a": {"url": "http://127.0.0.1:9/mcp"}}}', "'a' cannot be reached at http://127.0.0.1:9/mcp (All connection"),
    ],
)
def test_servers_that_cannot_be_used_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, says: str) -> None:
    pytest.importorskip("mcp", reason="pip install 'tirage[mcp]'")
    servers = tmp_path / "servers.json"
    servers.write_text(text)
    code, _, err = run(capsys, "tools", "ls", "--from", str(servers))
    assert (code, err.count("\n")) == (2, 1), err
    assert says in err


def test_the_tools_of_mcp_servers_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("mcp_server_time", reason="needs an MCP server: pip install mcp-server-time")
    servers = tmp_path / "servers.json"
    servers.write_text(json.dumps({"mcpServers": {"time": {"command": sys.executable, "args": ["-m", "mcp_server_time"]}}}))
    code, out, _ = run(capsys, "tools", "ls", "--from", str(servers), "--json")
    assert code == 0
    assert "convert_time" in out
    assert run(capsys, "tools", "ls", "--from", str(tmp_path / "none.json"))[0] == 2
