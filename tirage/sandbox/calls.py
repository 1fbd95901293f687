"""Calls out of a cell, on the host's side: served one at a time, bounded in number and size, recorded, given again in a replay.

A cell gets at the functions that were declared for it and at nothing else: it sends a name and JSON text, and gets text.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox.base import CallResult, Calls
from tirage.sandbox.frames import Flooded
from tirage.sandbox.guests import Gone, Guest

MAX_RESULT = 50_000
"""Bytes of a result, which has to fit a packet of the guest's."""
MAX_REFUSED = 100
"""Calls beyond those that a cell may make which are answered with an error; more end the cell."""
MAX_NAMES = 4_000
"""Characters of all names and parameters, which travel with each cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A call that was made."""

    digest: int
    """Of name and arguments; good within this process only."""
    result: CallResult


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """The calls of a cell that took effect: stands in for the host when the cell is run again."""

    functions: Mapping[str, Sequence[str]]
    most: int
    made: tuple[Made, ...]


class Again:
    """Gives the recorded results in their order; nothing is called."""

    def __init__(self, record: CallRecord) -> None:
        """At the first call."""
        self.functions = record.functions
        self.most = record.most
        self._left = list(record.made)

    async def answer(self, name: str, arguments: str) -> CallResult:
        """What the call gave the first time; an error for one that was not made then."""
        if self._left and self._left[0].digest == hash((name, arguments)):
            return self._left.pop(0).result
        return CallResult(text=f"{name} was not called so when this cell ran first, and is not called in a replay", kind="error")


class CallGate:
    """Serves the calls of one cell."""

    def __init__(self, calls: Calls) -> None:
        """Raises `ConfigError` for more names than a cell can be told."""
        self.functions = {name: list(parameters) for name, parameters in calls.functions.items()}
        self.size = len(json.dumps(self.functions))
        if self.size > MAX_NAMES:
            raise ConfigError(
                f"the names of {len(self.functions)} functions take {self.size} characters, more than {MAX_NAMES}; offer fewer"
            )
        self._calls = calls
        self._made: list[Made] = []
        self._count = 0

    def record(self) -> CallRecord:
        """What was called so far."""
        return CallRecord(functions=self.functions, most=self._calls.most, made=tuple(self._made))

    async def attend(self, runner: Guest, run: str, timeout_s: float) -> dict[str, Any] | None:
        """Wait for the report on the cell `run` and serve its calls meanwhile; None when the time is up, which calls take from too.

        Raises `Gone` or `Flooded`, and what a function of the host raises: a bug of its own, never a wrong use.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while True:
            reply = await runner.answer(run, max(0.0, until - loop.time()))
            if reply is None or "call" not in reply:
                return reply
            number, name, arguments = reply["call"], reply.get("name"), reply.get("arguments")
            if not isinstance(number, int) or not isinstance(name, str) or not isinstance(arguments, str):
                raise Flooded("a call without number, name and arguments")
            result = await self._result(runner, name, arguments, until - loop.time())
            if result is None:
                return None
            try:
                runner.send({"op": "answer", "id": run, "call": number, "kind": result.kind, "text": result.text})
            except SandboxError as error:
                raise Flooded(f"calls whose results are not read: {error}") from None

    async def _result(self, runner: Guest, name: str, arguments: str, left_s: float) -> CallResult | None:
        """The result of one call; None when the time is up first."""
        self._count += 1
        if self._count > self._calls.most + MAX_REFUSED:
            raise Flooded(f"more than {MAX_REFUSED} calls beyond the {self._calls.most} that a cell may make")
        if self._count > self._calls.most:
            return CallResult(text=f"{name} was not called: a cell may make {self._calls.most} calls", kind="error")
        if name not in self.functions:
            return CallResult(text=f"there is no function {name[:100]!r}", kind="error")
        serving = asyncio.ensure_future(self._calls.answer(name, arguments))
        ending = asyncio.ensure_future(runner.died(left_s))
        try:
            await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                if ending.result():
                    raise Gone
                return None
            result = serving.result()
        finally:
            serving.cancel()
            ending.cancel()
        size = len(json.dumps(result.text, ensure_ascii=False).encode("utf-8", "replace"))
        if size > MAX_RESULT:
            result = CallResult(text=f"the result of {name} takes {size} bytes, more than {MAX_RESULT}; ask for less", kind="error")
        self._made.append(Made(digest=hash((name, arguments)), result=result))
        return result
