"""A pool in front of any sandbox: sessions opened ahead of need, leased one per problem, and never more than allowed."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from tirage.core.errors import SandboxError
from tirage.sandbox.base import Calls, ExecResult, Limits, Sandbox, SandboxCapabilities, Session

TRIES = 3


class Pool:
    """A sandbox whose `open` hands out a session that is warm already. Belongs to the event loop it is used in."""

    def __init__(self, sandbox: Sandbox, *, warm: int = 2, limit: int | None = None) -> None:
        """`warm` sessions are kept ready; at most `limit` are leased at once (None: no limit), later ones wait in order.

        A lease lasts until the session and all branches of it are closed. `sandbox` is closed with the pool.
        """
        if warm < 0 or (limit is not None and limit < 1):
            raise ValueError(f"a pool needs warm >= 0 and limit >= 1 or None; got warm={warm}, limit={limit}")
        self._sandbox = sandbox
        self._warm = warm
        self._room = None if limit is None else asyncio.Semaphore(limit)
        self._ready: deque[Session] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._closed = False

    @property
    def capabilities(self) -> SandboxCapabilities:
        """Those of the sandbox behind."""
        return self._sandbox.capabilities

    async def __aenter__(self) -> Self:
        """Open the sandbox and begin to warm up."""
        await self._sandbox.__aenter__()
        self._refill()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        await self.close()

    async def open(self) -> "Lease":
        """A session that answers, once there is room. Raises what opening one raises, in the background or now."""
        if self._room is not None:
            await self._room.acquire()
        try:
            return Lease(await self._session(), self)
        except BaseException:
            self.release()
            raise

    async def close(self) -> None:
        """End all sessions, leased ones included, and the sandbox; idempotent."""
        self._closed = True
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        while self._ready:
            await self._ready.popleft().close()
        await self._sandbox.close()

    def release(self) -> None:
        """A lease has ended."""
        if self._room is not None:
            self._room.release()

    async def _session(self) -> Session:
        for _ in range(TRIES):
            if self._closed:
                raise SandboxError("the pool is closed; open a new one")
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            session = self._ready.popleft() if self._ready else await self._sandbox.open()
            self._refill()
            if await _answers(session):
                return session
            await session.close()
        raise SandboxError(f"{TRIES} fresh sessions in a row did not answer; see `tirage doctor`")

    def _refill(self) -> None:
        under_way = sum(not task.done() for task in self._opening)
        for _ in range(self._warm - len(self._ready) - under_way):
            task = asyncio.ensure_future(self._open_one())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open_one(self) -> None:
        try:
            session = await self._sandbox.open()
        except Exception as error:  # told to the next who opens, whatever it is
            self._failure = error
            return
        if self._closed:
            await session.close()
        else:
            self._ready.append(session)


async def _answers(session: Session) -> bool:
    """True when an empty cell comes back."""
    try:
        await session.run("")
    except SandboxError:
        return False
    return True


class Lease:
    """A leased session; its branches belong to the same lease."""

    def __init__(self, session: Session, pool: Pool, held: "set[Lease] | None" = None) -> None:
        """`held` are the open sessions of the lease; None begins one."""
        self._session = session
        self._pool = pool
        self._held = set() if held is None else held
        self._held.add(self)

    async def run(self, code: str, limits: Limits | None = None, *, calls: Calls | None = None) -> ExecResult:
        """Run one cell; see `Session.run`."""
        return await self._session.run(code, limits, calls=calls)

    async def branch(self, *, reseed: int | None = None) -> "Lease":
        """An independent session with the same state; see `Session.branch`."""
        return Lease(await self._session.branch(reseed=reseed), self._pool, self._held)

    async def put(self, path: str, content: bytes) -> None:
        """Write a file; see `Session.put`."""
        await self._session.put(path, content)

    async def fetch(self, path: str) -> bytes:
        """Read a file; see `Session.fetch`."""
        return await self._session.fetch(path)

    async def close(self) -> None:
        """Close the session; the last of a lease makes room for another. Idempotent."""
        if self not in self._held:
            return
        self._held.discard(self)
        try:
            await self._session.close()
        finally:
            if not self._held:
                self._pool.release()
