"""The tool port: a call in, an observation out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tirage.core.message import Observation, ToolCall
from tirage.sandbox.base import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What a policy is told about a tool."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments object."""

    def schema(self) -> dict[str, Any]:
        """The OpenAI function-tool form."""
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}}


class Tool(Protocol):
    """Something a policy may use."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and argument schema."""
        ...

    # A tool may have an attribute `parallel`: True lets its calls run beside other such calls of a step. Without it they run in order.

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Run one call. `session` is the node's interpreter, None for tools that declare none.

        What the policy did wrong is an observation; only a broken tool or sandbox raises.
        """
        ...
