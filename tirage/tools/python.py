"""Run Python in the node's sandbox session."""

from collections.abc import Mapping
from pathlib import Path

from tirage.core.errors import ToolError
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.usage import Usage
from tirage.sandbox.base import ExecFailure, ExecResult, Limits, Session
from tirage.tools.base import Tool, ToolSpec, needs_text, text_argument
from tirage.tools.bridge import Bridge, listing

TIMEOUTS = (ExecFailure.TIMEOUT_SOFT, ExecFailure.TIMEOUT_KILLED)


def clip(text: str, most: int) -> tuple[str, bool]:
    """Keep head and tail of `text` when it is longer than `most` characters: first half, `...`, last half."""
    if len(text) <= most:
        return text, False
    half = most // 2
    return f"{text[:half]}...{text[-half:]}", True


def describe(result: ExecResult, *, wall_s: float) -> str:
    """What the policy reads about a cell: its output, then the last line of an error. Never empty.

    The convention of ToRA and Qwen2.5-Math: printed text, else the last expression's value, else the error's last line.
    """
    text = result.stdout
    if not text.strip() and result.value is not None:
        text = result.value
    if result.failure in TIMEOUTS:
        line = f"TimeoutError: the code ran for more than {wall_s:g} s and was stopped"
    elif result.failure is not None:
        line = ": ".join(part for part in (result.error_name or result.failure.value, result.error_text) if part)
    else:
        return text if text.strip() else "(no output)"
    return f"{text.rstrip()}\n{line}" if text.strip() else line


class PythonTool(Tool):
    """The `python` tool: a stateful interpreter per node."""

    needs_session = True
    card = Path(__file__).with_suffix(".yaml")

    def __init__(
        self, *, limits: Limits | None = None, clip_chars: int = 400, tools: Mapping[str, Tool] | None = None, most_calls: int = 20
    ) -> None:
        """`limits` of one cell (10 s by default); `clip_chars`: longest observation, head and tail kept.

        The code may call `tools` as functions, `tools.NAME(...)`, `most_calls` times in a cell; what they take counts towards its time.
        Raises `ConfigError` for tools that code cannot call.
        """
        self.limits = limits or Limits()
        self.clip_chars = clip_chars
        self._tools = tools or {}
        self._most_calls = most_calls
        if self._tools:
            Bridge(self._tools, most=most_calls)
        told = f" The code may call these functions:\n{listing(self._tools)}" if self._tools else ""
        self.spec = ToolSpec(
            name="python",
            description="Run Python code in a stateful interpreter and read what it prints." + told,
            parameters={
                "type": "object",
                "properties": {"code": {"type": "string", "description": "Python source; print what you need."}},
                "required": ["code"],
                "additionalProperties": False,
            },
        )

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Run the code of `call` as one cell of `session`."""
        if session is None:
            raise ToolError("the python tool needs a sandbox session; give the agent a sandbox")
        code = text_argument(call, "code")
        if code is None:
            return needs_text(call, "code")
        bridge = Bridge(self._tools, most=self._most_calls, call_id=call.id) if self._tools else None
        result = await (session.run(code, self.limits) if bridge is None else session.run(code, self.limits, calls=bridge))
        text, clipped = clip(describe(result, wall_s=self.limits.wall_s), self.clip_chars)
        status = ObservationStatus.OK
        if result.failure is not None:
            status = ObservationStatus.TIMEOUT if result.failure in TIMEOUTS else ObservationStatus.ERROR
        data: dict[str, object] = {}
        if result.failure is not None:
            data = {"failure": result.failure.value, "error": result.error_name, "line": result.error_line}
        if not result.exact:
            data["exact"] = False
        if bridge is not None and bridge.made:
            data["calls"] = [{"tool": name, "status": found.status.value, **found.data} for name, found in bridge.made]
        return Observation(
            text=text,
            status=status,
            call_id=call.id,
            duration_s=result.duration_s,
            truncated=clipped or result.truncated,
            data=data,
            usage=sum((found.usage for _, found in bridge.made), Usage()) if bridge is not None else Usage(),
        )
