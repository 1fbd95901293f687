"""The `mcpServers` file: which servers there are, and how each is started or reached.

    {"mcpServers": {
        "files": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "."]},
        "issues": {"url": "http://127.0.0.1:8000/mcp", "headers": {"Authorization": "Bearer ${ISSUES_TOKEN}"}}}}

`${NAME}` in a text stands for an environment variable, so that no secret needs to be written down.
"""

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tirage.core.errors import ConfigError

_SHARED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""What a server inherits; everything else of this process's environment, keys above all, stays out."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Program(_Entry):
    """A server that is started here and spoken to over its standard input and output."""

    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: Path | None = None
    type: Literal["stdio"] = "stdio"

    def environment(self) -> dict[str, str]:
        """All that the process is given."""
        return {**{name: os.environ[name] for name in _SHARED if name in os.environ}, **self.env}


class Address(_Entry):
    """A server that runs already, reached by streamable HTTP."""

    url: str = Field(pattern=r"^https?://")
    headers: dict[str, str] = {}
    type: Literal["http", "streamable-http", "streamableHttp"] = "http"


def read_servers(source: Path | str | Mapping[str, Any]) -> dict[str, Program | Address]:
    """The servers by name, in order. `source`: a JSON file, or what it holds. Raises `ConfigError` naming file, key and remedy."""
    where = "mcpServers" if isinstance(source, Mapping) else str(source)
    data = source if isinstance(source, Mapping) else _load(Path(source))
    servers = data.get("mcpServers") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(servers, Mapping):
        raise ConfigError(f'{where}: must be a JSON object {{"mcpServers": {{NAME: {{"command": ...}} or {{"url": ...}}}}}}')
    for key in data:
        if key != "mcpServers":
            raise ConfigError(f'{where}: unknown key {key!r}; only "mcpServers" is read here')
    return {name: _entry(entry, f"{where}: server {name!r}") for name, entry in servers.items()}


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"MCP servers {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"MCP servers {path} is not JSON: {error}; correct it there") from error


def _entry(entry: Any, where: str) -> Program | Address:
    if not isinstance(entry, Mapping) or ("command" in entry) == ("url" in entry):
        raise ConfigError(f'{where}: give "command" (a program to start) or "url" (a server that runs), one of them')
    if entry.get("type") == "sse":
        raise ConfigError(f'{where}: the SSE transport is superseded; give the url of its streamable HTTP endpoint and "type": "http"')
    kind: type[Program] | type[Address] = Program if "command" in entry else Address
    try:
        return kind.model_validate(_filled(entry, where))
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(kind, item) for item in error.errors())) from None


def _explain(kind: type[BaseModel], item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{place}: {item['msg']}"
    near = difflib.get_close_matches(place, kind.model_fields, n=1)
    return f"unknown key {place!r}; " + (f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(kind.model_fields)}")


def _filled(value: Any, where: str) -> Any:
    """`value` with the environment's variables in its texts."""
    if isinstance(value, Mapping):
        return {key: _filled(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, where) for item in value]
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(f"{where}: the environment has no variable {found[1]}; set it, or write the value in place of {found[0]}")
        return os.environ[found[1]]

    return _VARIABLE.sub(variable, value)
