"""Tools of other frameworks behind the tool port: smolagents and LangChain.

    tools = toolset(from_smolagents(DuckDuckGoSearchTool()), from_langchain(retriever_tool))

They run in this process, outside the sandbox and the tree: what a call changes is not undone when a search takes another branch.
Whatever such a tool raises is an observation: it says by exceptions both what the policy did wrong and what went wrong around it.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from tirage.core.errors import ConfigError, MissingExtra
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.models.model_json import read_object
from tirage.sandbox.base import Session
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.cards import refused
from tirage.tools.function import NAME, as_text
from tirage.tools.python import clip

if TYPE_CHECKING:
    import langchain_core.tools
    import smolagents

Run = Callable[[dict[str, Any], ToolCall], Awaitable[tuple[str, ObservationStatus]]]
"""Runs the other framework's tool on checked arguments: what it said, and how it ended."""


class ForeignTool(Tool):
    """A tool of another framework. Made by `from_smolagents` and `from_langchain`."""

    def __init__(self, spec: ToolSpec, run: Run, *, timeout_s: float, parallel: bool, clip_chars: int) -> None:
        """Raises `ConfigError` for a name that a chat API would refuse, and for limits that are not above 0."""
        if not NAME.fullmatch(spec.name):
            raise ConfigError(f"tool name {spec.name!r} must be letters, digits, _ or -, at most 64; give another with name=...")
        if timeout_s <= 0 or clip_chars < 1:
            raise ConfigError(f"tool {spec.name!r}: timeout_s={timeout_s} and clip_chars={clip_chars} must be above 0")
        self.spec = spec
        self.parallel = parallel
        self._run = run
        self._timeout_s = timeout_s
        self._clip_chars = clip_chars

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Check the arguments by the schema, run within the time limit, clip. A thread that runs too long is left behind, not stopped."""
        began = time.monotonic()
        try:
            given = read_object(call.arguments)
            wrong = refused(self.spec, given)
        except ValueError:
            wrong = "arguments must be a JSON object"
        if wrong is not None:
            return Observation(text=f"InvalidCall: {wrong}", status=ObservationStatus.INVALID, call_id=call.id)
        running = asyncio.ensure_future(self._run(given, call))
        await asyncio.wait([running], timeout=self._timeout_s)
        try:
            if running.done():
                text, status = running.result()
            else:
                text, status = f"TimeoutError: {self.spec.name} took longer than {self._timeout_s:g} s", ObservationStatus.TIMEOUT
        except Exception as error:
            text, status = f"{type(error).__name__}: {error}", ObservationStatus.ERROR
        finally:
            running.cancel()
        shown, clipped = clip(text if text.strip() else "(no output)", self._clip_chars)
        return Observation(text=shown, status=status, call_id=call.id, duration_s=time.monotonic() - began, truncated=clipped)


def from_smolagents(
    tool: "smolagents.Tool", *, name: str | None = None, timeout_s: float = 30.0, parallel: bool = False, clip_chars: int = 4000
) -> ForeignTool:
    """A smolagents tool for tirage's agents.

    Args:
        tool: Its `forward` runs in a thread; what an async one gives is awaited here.
        name: What the policy calls it; its own name by default.
        timeout_s: Of one call.
        parallel: Whether its calls may run beside others of the same step.
        clip_chars: Longest observation, head and tail kept.

    Raises:
        ConfigError: No smolagents tool, or one that takes an image or sound, which a call cannot carry.
        MissingExtra: smolagents is not installed.
    """
    try:
        import smolagents
    except ImportError as error:
        raise MissingExtra("smolagents", "interop") from error
    if not isinstance(tool, smolagents.Tool):
        raise ConfigError(f"{tool!r:.80} is no smolagents tool; give an instance of smolagents.Tool, or what @smolagents.tool makes")
    required = [key for key, given in tool.inputs.items() if not given.get("nullable")]
    properties = {key: _property(tool.name, key, given) for key, given in tool.inputs.items()}
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    spec = ToolSpec(name=name or tool.name, description=tool.description, parameters=parameters)

    async def run(arguments: dict[str, Any], call: ToolCall) -> tuple[str, ObservationStatus]:
        found = await asyncio.to_thread(tool, **arguments)
        return as_text(await found if inspect.isawaitable(found) else found), ObservationStatus.OK

    return ForeignTool(spec, run, timeout_s=timeout_s, parallel=parallel, clip_chars=clip_chars)


def from_langchain(
    tool: "langchain_core.tools.BaseTool",
    *,
    name: str | None = None,
    timeout_s: float = 30.0,
    parallel: bool = False,
    clip_chars: int = 4000,
) -> ForeignTool:
    """A LangChain tool for tirage's agents: sync ones run in a thread, async ones are awaited; arguments as for `from_smolagents`.

    Raises:
        ConfigError: No LangChain tool.
        MissingExtra: langchain-core is not installed.
    """
    try:
        from langchain_core.tools import BaseTool
    except ImportError as error:
        raise MissingExtra("langchain-core", "interop") from error
    if not isinstance(tool, BaseTool):
        raise ConfigError(f"{tool!r:.80} is no LangChain tool; give an instance of BaseTool, or what @langchain_core.tools.tool makes")
    known = tool.tool_call_schema
    parameters = dict(known) if isinstance(known, dict) else known.model_json_schema()
    shown = {key: value for key, value in parameters.items() if key not in ("title", "description")}
    spec = ToolSpec(name=name or tool.name, description=tool.description, parameters={"type": "object", "properties": {}, **shown})

    async def run(arguments: dict[str, Any], call: ToolCall) -> tuple[str, ObservationStatus]:
        # As a call with an id the tool answers with a message, which tells a failure that the tool handles itself from a result.
        said = await tool.ainvoke({"type": "tool_call", "name": tool.name, "args": arguments, "id": call.id or "call"})
        failed = getattr(said, "status", "success") == "error"
        return as_text(getattr(said, "text", said)), ObservationStatus.ERROR if failed else ObservationStatus.OK

    return ForeignTool(spec, run, timeout_s=timeout_s, parallel=parallel, clip_chars=clip_chars)


def _property(tool: str, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """An input of smolagents as JSON Schema, which writes "any" and "nullable" in other words."""
    kinds = [given["type"]] if isinstance(given["type"], str) else list(given["type"])
    if unfit := {"image", "audio"} & set(kinds):
        raise ConfigError(f"tool {tool!r}: its input {key!r} is of type {unfit.pop()}, which a call cannot carry; wrap it to take a path")
    if given.get("nullable") and "null" not in kinds:
        kinds.append("null")
    rest = {name: value for name, value in given.items() if name not in ("type", "nullable")}
    return rest if "any" in kinds else {"type": kinds[0] if len(kinds) == 1 else kinds, **rest}
