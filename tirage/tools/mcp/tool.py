"""A tool of an MCP server behind the tool port.

A server lives outside the sandbox and outside the tree: what a call changes there is not undone when a search takes another branch.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tirage.core.errors import ConfigError
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.models.model_json import read_object
from tirage.sandbox.base import Session
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.mcp.connection import Connection, Gone
from tirage.tools.mcp.servers import read_servers
from tirage.tools.python import clip

if TYPE_CHECKING:
    import mcp_types


class McpTool(Tool):
    """One tool of one server. Made by `mcp_tools`."""

    def __init__(self, tool: "mcp_types.Tool", connection: Connection, *, name: str, timeout_s: float, clip_chars: int) -> None:
        """`name` is what the policy calls it."""
        self._remote = tool.name
        self._connection = connection
        self._timeout_s = timeout_s
        self._clip_chars = clip_chars
        self.server = connection.name
        # A hint of the server: taken for the order of calls, never for safety.
        self.parallel = bool(tool.annotations is not None and tool.annotations.read_only_hint)
        self.spec = ToolSpec(name=name, description=tool.description or tool.title or tool.name, parameters=tool.input_schema)

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Ask the server; whatever it does is an observation, within the time limit."""
        began = time.monotonic()
        arguments = _arguments(call.arguments)
        if arguments is None:
            text = "InvalidCall: arguments must be a JSON object in Unicode text"
            return Observation(text=text, status=ObservationStatus.INVALID, call_id=call.id)
        text, status = await self._ask(arguments)
        shown, clipped = clip(text if text.strip() else "(no output)", self._clip_chars)
        return Observation(
            text=shown,
            status=status,
            call_id=call.id,
            duration_s=time.monotonic() - began,
            truncated=clipped,
            data={"mcp_server": self.server},
        )

    async def _ask(self, arguments: dict[str, Any]) -> tuple[str, ObservationStatus]:
        from mcp import MCPError
        from mcp_types import INVALID_PARAMS

        try:
            result = await asyncio.wait_for(self._connection.call(self._remote, arguments), self._timeout_s)
        except TimeoutError:
            return f"TimeoutError: {self.spec.name} took longer than {self._timeout_s:g} s", ObservationStatus.TIMEOUT
        except Gone as ending:
            return f"ServerGone: the MCP server {self.server!r} is gone, and its tools with it; {ending}", ObservationStatus.ERROR
        except MCPError as error:
            return (
                f"{self.spec.name}: {error.message}",
                ObservationStatus.INVALID if error.code == INVALID_PARAMS else ObservationStatus.ERROR,
            )
        except (RuntimeError, ValueError) as error:
            # The SDK's words for a result that is not what the protocol or the tool's own schema says.
            return f"BrokenAnswer: {self.spec.name}: {error}", ObservationStatus.ERROR
        return _text(result), ObservationStatus.ERROR if result.is_error else ObservationStatus.OK


@asynccontextmanager
async def mcp_tools(
    source: Path | str | Mapping[str, Any],
    *,
    timeout_s: float = 30.0,
    start_s: float = 30.0,
    prefix: bool = False,
    clip_chars: int = 4000,
) -> AsyncIterator[dict[str, Tool]]:
    """The tools of all servers of an `mcpServers` file, by name, while the context is open; servers are ended with it.

    What can only be called as a task of the protocol is left out: calls here wait for their result.

    Args:
        source: The JSON file, or its content.
        timeout_s: Of one call.
        start_s: Until a server must have listed its tools.
        prefix: Put `SERVER_` in front of each name.
        clip_chars: Longest observation, head and tail kept.

    Raises:
        ConfigError: The file is wrong, a server cannot be started or reached, or two tools have one name.
        MissingExtra: Without the `mcp` package.
    """
    connections = [Connection(name, server, start_s=start_s) for name, server in read_servers(source).items()]
    try:
        listed = await asyncio.gather(*(connection.open() for connection in connections), return_exceptions=True)
        tools: dict[str, Tool] = {}
        for connection, found in zip(connections, listed, strict=True):
            if isinstance(found, BaseException):
                raise found
            for remote in found:
                if remote.execution is not None and remote.execution.task_support == "required":
                    continue
                name = _name(f"{connection.name}_{remote.name}" if prefix else remote.name)
                if name in tools:
                    remedy = "offer only one of them" if prefix else "put the servers' names in front: prefix=true"
                    raise ConfigError(f"MCP server {connection.name!r}: there is a tool named {name!r} already; {remedy}")
                tools[name] = McpTool(remote, connection, name=name, timeout_s=timeout_s, clip_chars=clip_chars)
        yield tools
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))


def _name(text: str) -> str:
    """As chat APIs take names: letters, digits, _ and -, at most 64."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64]


def _arguments(text: str) -> dict[str, Any] | None:
    """The arguments; None for what is no JSON object, or cannot be sent as UTF-8."""
    try:
        found = read_object(text)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return found


def _text(result: "mcp_types.CallToolResult") -> str:
    """What the policy reads: texts as they are, the rest in words; structured content where there is no text."""
    parts = [_part(block) for block in result.content]
    if result.structured_content is not None and not any(block.type == "text" for block in result.content):
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return "\n".join(parts)


def _part(block: "mcp_types.ContentBlock") -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type}: {block.mime_type}, {_bytes(block.data)} bytes]"
        case "resource_link":
            return f"[resource {block.name!r}: {block.uri}]"
        case "resource":
            held = block.resource
            kind = f", {held.mime_type}" if held.mime_type else ""
            if hasattr(held, "text"):
                return f"[resource {held.uri}{kind}]\n{held.text}"
            return f"[resource {held.uri}{kind}, {_bytes(held.blob)} bytes]"


def _bytes(base64: str) -> int:
    """Length of what base64 text encodes."""
    return len(base64) * 3 // 4 - base64[-2:].count("=")
