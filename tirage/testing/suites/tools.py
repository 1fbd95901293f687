"""What every tool promises.

require(await check_tool(my_tool, {"city": "Paris"}))
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.sandbox.base import Session
from tirage.testing.suites.findings import Finding, Skipped, demand, try_each
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.cards import card_of
from tirage.tools.function import NAME, tool

ODD = ("", "\x00\x1b[2J", "é 漢字", "'; --", "x" * 20_000)
"""Texts that no tool may break on."""


@dataclass(frozen=True, slots=True)
class _Case:
    tool: Tool
    arguments: Mapping[str, Any]
    session: Session | None

    async def call(self, arguments: str) -> Observation:
        """What the tool makes of that text for arguments. Raises what it raises."""
        call = ToolCall(name=self.tool.spec.name, arguments=arguments, id="call-1")
        seen = await self.tool.call(call, self.session)
        demand(isinstance(seen, Observation), f"it gave a {type(seen).__name__}, not an Observation")
        demand(seen.call_id == "call-1", f"the observation is of call {seen.call_id!r}, not of the call that was made")
        return seen


async def check_tool(subject: Tool | Callable[..., Any], arguments: Mapping[str, Any], *, session: Session | None = None) -> list[Finding]:
    """Check a tool, or a function as a tool, with one set of good arguments; `session`: for tools that need one. Its calls are real."""
    made: Any = subject if isinstance(getattr(subject, "spec", None), ToolSpec) else tool(cast(Callable[..., Any], subject))
    return await try_each("tool", _Case(made, arguments, session), PROMISES)


async def _spec(case: _Case) -> None:
    spec = case.tool.spec
    demand(NAME.fullmatch(spec.name), f"its name is {spec.name!r}; letters, digits, _ or -, at most 64")
    demand(spec.description.strip(), "it has no description: a policy knows nothing of it")
    schema = json.loads(json.dumps(dict(spec.parameters)))
    demand(schema.get("type") == "object", f"its arguments are of type {schema.get('type')!r}; an object is expected")
    unknown = set(schema.get("required", ())) - set(schema.get("properties", {}))
    demand(not unknown, f"arguments {sorted(unknown)} are required and not described")
    card_of(case.tool)


async def _works(case: _Case) -> None:
    seen = await case.call(json.dumps(dict(case.arguments)))
    demand(seen.status is ObservationStatus.OK, f"good arguments gave {seen.status}: {seen.text[:100]}")
    demand(isinstance(seen.text, str) and seen.text, "the observation has no text; say at least that there is nothing")


async def _malformed(case: _Case) -> None:
    for text in ("not JSON", "[]", "3", '{"no such argument of it": 1}'):
        if text.startswith("{") and not case.tool.spec.parameters.get("required"):
            continue
        seen = await case.call(text)
        demand(seen.status is not ObservationStatus.OK, f"the arguments {text} were taken")


async def _missing(case: _Case) -> None:
    required = case.tool.spec.parameters.get("required") or ()
    if not required:
        raise Skipped("it requires no argument")
    for name in required:
        seen = await case.call(json.dumps({key: value for key, value in case.arguments.items() if key != name}))
        demand(seen.status is ObservationStatus.INVALID, f"without {name!r} the call was {seen.status}, not invalid")
        demand(name in seen.text, f"without {name!r} the policy reads {seen.text[:80]!r}, which does not name it")


async def _odd(case: _Case) -> None:
    texts = [name for name, value in case.arguments.items() if isinstance(value, str)]
    if not texts:
        raise Skipped("it takes no text")
    for name in texts:
        for odd in ODD:
            await case.call(json.dumps({**case.arguments, name: odd}))


async def _together(case: _Case) -> None:
    if not case.tool.parallel:
        raise Skipped("its calls do not run side by side")
    text = json.dumps(dict(case.arguments))
    seen = await asyncio.gather(*(case.call(text) for _ in range(4)))
    demand(all(item.status is ObservationStatus.OK for item in seen), "of four calls at once one failed")


PROMISES: dict[str, Callable[[_Case], Any]] = {
    "it says what it is and takes": _spec,
    "good arguments give an observation": _works,
    "arguments that are no such object are answered, not raised": _malformed,
    "a missing argument is named": _missing,
    "odd texts do not break it": _odd,
    "calls may run side by side": _together,
}
