"""The interpreter of each node of a tree: moved, branched, opened, or brought back by replay."""

import asyncio
from collections.abc import Awaitable, Callable

from tirage.core.errors import boundary
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.tree import ROOT, Tree
from tirage.sandbox.base import Sandbox, Session

RunCall = Callable[[ToolCall, Session], Awaitable[Observation]]

DIVERGED = "replayed, and its output differs from what was recorded"


class Sessions:
    """The sessions of one tree's open nodes."""

    def __init__(self, sandbox: Sandbox | None, tree: Tree, run: RunCall) -> None:
        """`run` executes one call in a session; it is used to replay nodes whose session this process never had."""
        self._sandbox = sandbox
        self._tree = tree
        self._run = run
        self._held: dict[int, Session] = {}
        self._lock = asyncio.Lock()

    def holds(self, node: int) -> bool:
        """Whether the node has a session."""
        return node in self._held

    def take(self, node: int) -> Session | None:
        """The session of a node that needs it no more, moved to the caller; None when it has none."""
        return self._held.pop(node, None)

    async def for_child(self, parent: int) -> Session | None:
        """A session in the state of `parent`, the caller's own: branched, or opened where nothing has run; None without a sandbox.

        Raises `SandboxError`.
        """
        if self._sandbox is None:
            return None
        with boundary("sandbox"):
            if parent not in self._held and self._ran(parent):
                async with self._lock:
                    if parent not in self._held:
                        await self._bring_back(parent)
            held = self._held.get(parent)
            return await (held.branch() if held is not None else self._sandbox.open())

    def keep(self, node: int, session: Session) -> None:
        """The session that a step left is its node's."""
        self._held[node] = session

    async def release(self, node: int) -> None:
        """A node will never be extended again."""
        session = self._held.pop(node, None)
        if session is not None:
            await session.close()

    async def sweep(self, is_closed: Callable[[int], bool]) -> None:
        """Close the sessions of nodes that will never be extended again."""
        for node in [node for node in self._held if is_closed(node)]:
            await self.release(node)

    async def close(self) -> None:
        """Close all."""
        for node in list(self._held):
            await self.release(node)

    def _ran(self, node: int) -> bool:
        """Whether anything was run on the path to `node`."""
        return any(item.step is not None and item.step.observations for item in self._tree.path(node))

    async def _bring_back(self, node: int) -> None:
        """Replay what was run since the nearest node above that has a session; a difference is noted, never hidden."""
        assert self._sandbox is not None
        missing = []
        above = node
        while above != ROOT and above not in self._held:
            missing.append(above)
            above = self._tree.nodes[above].parent
        held = self._held.get(above)
        session = await (held.branch() if held is not None else self._sandbox.open())
        try:
            for index in reversed(missing):
                step = self._tree.nodes[index].step
                for call, recorded in zip(step.calls, step.observations, strict=False) if step is not None else ():
                    if recorded.status is ObservationStatus.INVALID:
                        continue  # nothing ran
                    again = await self._run(call, session)
                    if again.text != recorded.text:
                        self._tree.notes[index] = DIVERGED
        except BaseException:
            await session.close()
            raise
        self._held[node] = session
