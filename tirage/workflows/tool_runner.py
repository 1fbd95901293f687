"""The tool calls that a workflow makes itself: each is settled in the log, and those that need a session share one."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

from tirage.agents.driver import Log
from tirage.agents.sessions import DIVERGED
from tirage.agents.step_executor import FATAL, recorded_tool, run_tool, unknown_tool
from tirage.core.budget import Meter
from tirage.core.errors import TirageError, boundary
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.step import Finish, Opening, Source, Span, Step, Usage
from tirage.core.trajectory import Failure, StopReason
from tirage.core.tree import Node, Tree
from tirage.sandbox.base import Calls, ExecResult, Limits, Sandbox, Session
from tirage.tools.base import Tool, ToolSpec
from tirage.traces.search_log import StepOutcome

IN_SESSION = "in_session"
"""Set in `Observation.data` of a call that used the shared session: a resumed run replays it there."""
ONE_CALL = Usage(tool_calls=1)
OWN = Opening(messages=(), prompt=())
"""A tool call belongs to no model's conversation."""


def only_text(spec: ToolSpec) -> str | None:
    """The name of the one argument that a tool requires, where it is a text: what may be given without naming it."""
    required = spec.parameters.get("required", ())
    wanted = spec.parameters.get("properties", {}).get(required[0], {}) if len(required) == 1 else {}
    return required[0] if wanted.get("type") == "string" else None


def encoded(spec: ToolSpec, text: str) -> str:
    """A text as the arguments of a tool that requires one text; for another tool the text itself, which it has to refuse."""
    field = only_text(spec)
    return text if field is None else json.dumps({field: text})


class ToolRunner:
    """The tools of one transcript."""

    def __init__(self, tools: Mapping[str, Tool], sandbox: Sandbox | None, tree: Tree, meter: Meter) -> None:
        """What the transcript has. The session is opened when a call first uses it."""
        self._tools = tools
        self._tree = tree
        self._meter = meter
        self._session = _Lazy(sandbox) if sandbox is not None else None
        self._past: list[Node] = []
        """What ran in the session of the run before."""

    async def use(self, call: ToolCall, log: Log | None, *, after: int, move: str, timeout_s: float | None) -> StepOutcome:
        """What becomes of a call: from the log, or by running it. Raises only what `FATAL` names."""
        outcome = log.take(0, after, 0, move) if log is not None else None
        if outcome is not None:
            return outcome
        usage = ONE_CALL
        self._meter.reserve(ONE_CALL)
        try:
            seen, error = await self._run(call, timeout_s)
            usage = replace(ONE_CALL, sandbox_s=seen.duration_s) + seen.usage
        finally:
            self._meter.settle(ONE_CALL, usage)
        spans = (Span(Source.TOOL, seen.text),)
        step = Step(spans=spans, finish=Finish.CALL, calls=(call,), observations=(seen,), usage=usage, opening=OWN)
        stop = StopReason.OPEN if error is None else StopReason.ERROR
        outcome = StepOutcome(trial=0, parent=after, sample=0, move=move, step=step, stop=stop, error=error)
        if log is not None:
            log.add(outcome)
        return outcome

    def keep(self, node: Node) -> None:
        """Hear where in the tree a call was put that `use` gave."""
        assert node.step is not None
        if node.step.observations[0].data.get(IN_SESSION) and self._session is not None and not self._session.is_open:
            self._past.append(node)

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def _run(self, call: ToolCall, timeout_s: float | None) -> tuple[Observation, Failure | None]:
        """The observation, and what broke."""
        tool, error = self._tools.get(call.name), None
        if tool is None:
            return unknown_tool(call, self._tools), None
        try:
            await self._bring_back()
            if self._session is not None:
                self._session.used = False
            async with asyncio.timeout(timeout_s):
                seen = await run_tool(tool, call, self._session)
        except TimeoutError:
            # The session takes the call back, so there is nothing to replay.
            text = f"TimeoutError: {call.name} took longer than {timeout_s:g} s"
            return Observation(text=text, status=ObservationStatus.TIMEOUT, duration_s=timeout_s or 0.0), None
        except FATAL:
            raise
        except TirageError as broken:
            error = Failure(boundary=broken.boundary or "tool", kind=type(broken).__name__, message=str(broken))
            seen = Observation(text=f"{error.kind}: {error.message}", status=ObservationStatus.ERROR)
        if self._session is not None and self._session.used and error is None:
            seen = replace(seen, data={**seen.data, IN_SESSION: True})
        return seen, error

    async def _bring_back(self) -> None:
        """Replay what the run before had run in its session; a difference is noted, never hidden."""
        while self._past:
            node = self._past[0]
            assert node.step is not None
            (call,), (recorded,) = node.step.calls, node.step.observations
            again = await run_tool(recorded_tool(call, self._tools), call, self._session)
            if again.text != recorded.text:
                self._tree.notes[node.index] = DIVERGED
            del self._past[0]


class _Lazy:
    """A session that is opened when it is first used; fits the `Session` port."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._session: Session | None = None
        self.used = False
        """Whether anything asked for it; whoever wants to know clears it first."""

    @property
    def is_open(self) -> bool:
        return self._session is not None

    async def _opened(self) -> Session:
        self.used = True
        if self._session is None:
            with boundary("sandbox"):
                self._session = await self._sandbox.open()
        return self._session

    async def run(self, code: str, limits: Limits | None = None, *, calls: Calls | None = None) -> ExecResult:
        return await (await self._opened()).run(code, limits, calls=calls)

    async def branch(self, *, reseed: int | None = None) -> Session:
        return await (await self._opened()).branch(reseed=reseed)

    async def put(self, path: str, content: bytes) -> None:
        await (await self._opened()).put(path, content)

    async def fetch(self, path: str) -> bytes:
        return await (await self._opened()).fetch(path)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
