"""The `mcpServers` file: what it says, and what is wrong with it."""

import json
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError
from tirage.tools.mcp.servers import Address, Program, read_servers


def test_programs_and_addresses_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUES_TOKEN", "s3cret")
    path = tmp_path / "servers.json"
    path.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "files": {"type": "stdio", "command": "npx", "args": ["-y", "server"], "env": {"DEPTH": "2"}, "cwd": "/tmp"},
                    "issues": {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${ISSUES_TOKEN}"}},
                }
            }
        )
    )
    assert list(read_servers(path).items()) == [
        ("files", Program(command="npx", args=("-y", "server"), env={"DEPTH": "2"}, cwd=Path("/tmp"))),
        ("issues", Address(url="https://example.org/mcp", headers={"Authorization": "Bearer s3cret"})),
    ]


def test_a_program_is_given_what_its_entry_names_and_little_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    monkeypatch.setenv("HOME", "/home/me")
    given = Program(command="x", env={"DEPTH": "2"}).environment()
    assert (given["HOME"], given["DEPTH"]) == ("/home/me", "2")
    assert "OPENAI_API_KEY" not in given


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"servers.json is not JSON"),
        ("[" * 100_000, r"servers.json is not JSON"),
        ("[]", r'must be a JSON object \{"mcpServers"'),
        ('{"servers": {}}', r'must be a JSON object \{"mcpServers"'),
        ('{"mcpServers": {}, "inputs": []}', r"unknown key 'inputs'"),
        ('{"mcpServers": {"a": {}}}', r"server 'a': give \"command\""),
        ('{"mcpServers": {"a": {"command": "x", "url": "http://x"}}}', r"one of them"),
        ('{"mcpServers": {"a": {"command": "x", "arg": []}}}', r"unknown key 'arg'; did you mean 'args'"),
        ('{"mcpServers": {"a": {"command": "x", "disabled": true}}}', r"known keys: command, args, env, cwd, type"),
        ('{"mcpServers": {"a": {"command": ""}}}', r"command: String should have at least 1"),
        ('{"mcpServers": {"a": {"command": "x", "args": "-v"}}}', r"args: Input should be a valid tuple"),
        ('{"mcpServers": {"a": {"url": "example.org"}}}', r"url: String should match"),
        ('{"mcpServers": {"a": {"url": "http://x/sse", "type": "sse"}}}', r"streamable HTTP endpoint"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"K": "${NO_SUCH_KEY}"}}}}', r"no variable NO_SUCH_KEY; set it"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "servers.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_servers(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.json cannot be read: No such file"):
        read_servers(tmp_path / "absent.json")
