"""Messages, tool calls and observations: what a policy reads and what it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from tirage.core.usage import Usage

MessageRole = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A use of a tool that the policy wrote."""

    name: str
    """Tool name as the policy wrote it; may name no existing tool."""
    arguments: str
    """Arguments as a JSON object in text; for the `python` tool, `{"code": ...}`."""
    id: str = ""
    """Identifier that pairs the call with its observation; empty in text dialects."""


class ObservationStatus(StrEnum):
    """How a tool call ended, from the policy's point of view."""

    OK = "ok"
    ERROR = "error"
    """The tool ran and reported a failure: an exception, a non-zero exit."""
    TIMEOUT = "timeout"
    INVALID = "invalid"
    """The call could not be run as written: unknown tool, malformed arguments or fence."""
    REFUSED = "refused"
    """A limit or an approval stopped it."""
    FINAL = "final"
    """The policy ended its path with this call: its answer is given."""
    GAVE_UP = "gave-up"
    """The policy gave its path up with this call, to start again elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What came back from one tool call; the policy reads `text`."""

    text: str
    """What the policy is shown, already clipped."""
    status: ObservationStatus = ObservationStatus.OK
    call_id: str = ""
    duration_s: float = 0.0
    """Wall time of the tool in seconds; kept out of all deterministic output."""
    truncated: bool = False
    """True when `text` is a clipped view of a longer output."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON-like details for people and recipes: error name, isolation layers, exactness."""
    usage: Usage = field(default_factory=Usage)
    """Of models that the tool itself asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat message in the OpenAI sense."""

    role: MessageRole
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """For role `tool`: which call it answers."""
