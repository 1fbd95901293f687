"""The tool port: a call in, an observation out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.models.model_json import read_object
from tirage.sandbox.base import Session
from tirage.tools.card_notes import CardSource
from tirage.tools.figures import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What a policy is told about a tool."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments object."""
    returns: Mapping[str, Any] | None = None
    """JSON Schema of the result where an observation's text is a JSON value; None where it is plain text."""

    def schema(self) -> dict[str, Any]:
        """The OpenAI function-tool form."""
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}}


def text_argument(call: ToolCall, name: str) -> str | None:
    """The text under `name` in the arguments of `call`; None where there is none."""
    try:
        value = read_object(call.arguments)[name]
    except (ValueError, KeyError):
        return None
    return value if isinstance(value, str) else None


def needs_text(call: ToolCall, name: str) -> Observation:
    """What the policy reads when its call lacks that text."""
    text = f'InvalidCall: arguments must be a JSON object with a string "{name}"'
    return Observation(text=text, status=ObservationStatus.INVALID, call_id=call.id)


class Tool(Protocol):
    """Something a policy may use. A tool is a subclass: what it does not declare has the defaults below."""

    spec: ToolSpec
    """Name, description and argument schema."""
    parallel: bool = False
    """Whether its calls may run beside other such calls of a step; else they run in order."""
    needs_session: bool = False
    """Whether a call without a session raises."""
    most_tokens: int | None = 0
    """Tokens that one call has models sample at most; None where it cannot say."""
    card: CardSource | None = None
    """What its author adds to its card."""
    figures: Figures | None = None
    """What its calls came to, where they are counted."""

    @property
    def fingerprint(self) -> str | None:
        """Changes when the tool answers from something else, such as a changed collection; None where it has none."""
        return None

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Run one call. `session` is the node's interpreter, None for tools that declare none.

        What the policy did wrong is an observation; only a broken tool or sandbox raises.
        """
        ...
