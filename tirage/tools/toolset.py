"""Toolsets: mappings from name to tool, changed by wrapping, never in place."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tirage.core.errors import ConfigError
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.sandbox.base import Session
from tirage.tools.base import Tool
from tirage.tools.card_notes import CardSource
from tirage.tools.cards import make_card
from tirage.tools.figures import Figures
from tirage.tools.function import Approve, refusal


def toolset(*tools: Tool) -> dict[str, Tool]:
    """The tools by name. Raises `ConfigError` for a name that is there twice."""
    found: dict[str, Tool] = {}
    for item in tools:
        if item.spec.name in found:
            raise ConfigError(f"two tools are named {item.spec.name!r}; rename one: @tool(name=...), renamed(...) or prefixed(...)")
        found[item.spec.name] = item
    return found


def joined(*sets: Mapping[str, Tool]) -> dict[str, Tool]:
    """All tools of several sets. Raises `ConfigError` for a name that is there twice."""
    return toolset(*(item for tools in sets for item in tools.values()))


def renamed(tools: Mapping[str, Tool], names: Mapping[str, str]) -> dict[str, Tool]:
    """Tools under new names, old to new; those not mentioned keep theirs. Raises `ConfigError` for an unknown or repeated name."""
    _known(tools, names)
    return toolset(*(_Named(item, names[name]) if name in names else item for name, item in tools.items()))


def prefixed(tools: Mapping[str, Tool], prefix: str) -> dict[str, Tool]:
    """Every tool's name with `prefix` in front."""
    return renamed(tools, {name: prefix + name for name in tools})


def only(tools: Mapping[str, Tool], names: Iterable[str]) -> dict[str, Tool]:
    """The named tools. Raises `ConfigError` for an unknown name."""
    wanted = list(names)
    _known(tools, wanted)
    return {name: tools[name] for name in wanted}


def without(tools: Mapping[str, Tool], names: Iterable[str]) -> dict[str, Tool]:
    """All but the named tools. Raises `ConfigError` for an unknown name."""
    dropped = list(names)
    _known(tools, dropped)
    return {name: item for name, item in tools.items() if name not in dropped}


def approved(tools: Mapping[str, Tool], approve: Approve) -> dict[str, Tool]:
    """Each call is shown to `approve` first; one that it does not allow is an observation that says so."""
    return {name: _Approved(item, approve) for name, item in tools.items()}


def limited(tools: Mapping[str, Tool], calls: int) -> dict[str, Tool]:
    """At most `calls` calls of these tools together, over the life of the returned set; further ones are observations that say so."""
    if calls < 0:
        raise ConfigError(f"a limit of {calls} calls makes no sense; give 0 or more")
    counter = _Counter(calls)
    return {name: _Limited(item, counter) for name, item in tools.items()}


def with_card(item: Tool, card: CardSource) -> Tool:
    """The tool with its author's notes for its card. Raises `ConfigError` when they do not fit its signature."""
    make_card(item.spec, card)
    return _Carded(item, card)


def measured(tools: Mapping[str, Tool], figures: Mapping[str, Figures] | None = None) -> dict[str, Tool]:
    """The tools with a count of how their calls end, how long they take and cost, which their cards then tell.

    `figures` by name are gone on from, and changed, where there are some; `figures_of` gives them all.
    """
    before = figures or {}
    return {name: _Measured(item, before.get(name) or Figures()) for name, item in tools.items()}


def figures_of(tools: Mapping[str, Tool]) -> dict[str, Figures]:
    """The figures of those tools that are measured, by name."""
    return {name: figures for name, item in tools.items() if (figures := item.figures) is not None}


def _known(tools: Mapping[str, Tool], names: Iterable[str]) -> None:
    for name in names:
        if name not in tools:
            raise ConfigError(f"there is no tool named {name!r}; tools: {', '.join(sorted(tools)) or 'none'}")


class _Wrapped(Tool):
    """A tool around another."""

    def __init__(self, inner: Tool) -> None:
        self.inner = inner
        self.spec = inner.spec
        self.parallel = inner.parallel
        self.needs_session = inner.needs_session
        self.most_tokens = inner.most_tokens
        self.card = inner.card
        self.figures = inner.figures

    @property
    def fingerprint(self) -> str | None:
        return self.inner.fingerprint

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        return await self.inner.call(call, session)


class _Named(_Wrapped):
    def __init__(self, inner: Tool, name: str) -> None:
        super().__init__(inner)
        self.spec = replace(inner.spec, name=name)

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        return await self.inner.call(replace(call, name=self.inner.spec.name), session)


class _Approved(_Wrapped):
    def __init__(self, inner: Tool, approve: Approve) -> None:
        super().__init__(inner)
        self._approve = approve

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        return await refusal(call, self._approve) or await self.inner.call(call, session)


class _Counter:
    def __init__(self, left: int) -> None:
        self.left = left
        self.most = left


class _Limited(_Wrapped):
    def __init__(self, inner: Tool, counter: _Counter) -> None:
        super().__init__(inner)
        self._counter = counter

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        if not self._counter.left:
            text = f"No further call of {call.name}: the limit of {self._counter.most} calls is reached."
            return Observation(text=text, status=ObservationStatus.ERROR, call_id=call.id)
        self._counter.left -= 1
        return await self.inner.call(call, session)


class _Carded(_Wrapped):
    def __init__(self, inner: Tool, card: CardSource) -> None:
        super().__init__(inner)
        self.card = card


class _Measured(_Wrapped):
    def __init__(self, inner: Tool, figures: Figures) -> None:
        super().__init__(inner)
        self.figures = self._counted = figures

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        began = time.monotonic()
        try:
            found = await self.inner.call(call, session)
        except Exception:  # counted, and none of this wrapper's business
            self._counted.add(None, time.monotonic() - began)
            raise
        self._counted.add(found, time.monotonic() - began)
        return found
