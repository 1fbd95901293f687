"""Tools as functions that sandboxed code calls: `rows = tools.search(query="...")`.

The code names a tool of a given set and sends JSON. The call is like any policy's: arguments are checked, time is limited, approvals are
asked for and calls are counted as the tools themselves do it.
"""

import keyword
from collections.abc import Mapping

from tirage.core.errors import ConfigError
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.sandbox.base import CallResult
from tirage.tools.base import Tool
from tirage.tools.cards import card_of


class Bridge:
    """The tools that one cell may call, and what became of the calls; fits the sandbox's `Calls`."""

    def __init__(self, tools: Mapping[str, Tool], *, most: int = 20, call_id: str = "") -> None:
        """`most` calls at most; `call_id` is that of the call whose code this serves.

        Raises `ConfigError` for a name that code cannot write, and for a tool that needs a session: the cell has it.
        """
        if most < 1:
            raise ConfigError(f"a cell that may make {most} calls makes no sense; give 1 or more, or no tools")
        for name, item in tools.items():
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or name == "ToolError":
                raise ConfigError(f"code cannot call a tool named {name!r}; rename it with renamed(...)")
            if item.needs_session:
                raise ConfigError(f"tool {name!r} needs a session of its own and cannot be called from inside one; leave it out")
        self._tools = tools
        self._call_id = call_id
        self.most = most
        self.made: list[tuple[str, Observation]] = []
        """The tools that were called, in order, and what they said."""
        self.functions = {name: list(item.spec.parameters.get("properties", {})) for name, item in tools.items()}

    async def answer(self, name: str, arguments: str) -> CallResult:
        """Call a tool. What the code did wrong is an error in the code; what the tool raises is its own bug and goes through."""
        item = self._tools[name]
        call = ToolCall(name=name, arguments=arguments, id=f"{self._call_id}.{len(self.made) + 1}")
        try:
            found = await item.call(call, None)
        except RecursionError:
            found = Observation(text=f"InvalidCall: the arguments of {name} are nested too deeply", status=ObservationStatus.INVALID)
        self.made.append((name, found))
        if found.status is not ObservationStatus.OK:
            return CallResult(text=found.text, kind="error")
        if item.spec.returns is None:
            return CallResult(text=found.text)
        if found.truncated:
            return CallResult(text=f"the result of {name} is longer than its observations may be; ask for less", kind="error")
        return CallResult(text=found.text, kind="json")


def listing(tools: Mapping[str, Tool]) -> str:
    """What a policy is told of the functions: a line each."""
    return "\n".join(f"- {_signature(name, item)}" for name, item in tools.items())


def _signature(name: str, item: Tool) -> str:
    card = card_of(item)
    takes = (
        f"{parameter}: {field.type}" + ("" if field.required else f" = {field.default or 'None'}")
        for parameter, field in card.inputs.items()
    )
    return f"tools.{name}({', '.join(takes)}) -> {card.output}. {card.description}"
