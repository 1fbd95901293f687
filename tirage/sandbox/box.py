"""A box on the host's side: its zygote, its processes, and the care that none is forgotten."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from tirage.core.errors import SandboxError
from tirage.sandbox.base import StateKind
from tirage.sandbox.capture import Capture
from tirage.sandbox.config import SandboxConfig
from tirage.sandbox.frames import Flooded
from tirage.sandbox.gateway import Gateway
from tirage.sandbox.guests import Gone, Guest, handed_over, identify, request_id, settle, socket_pair
from tirage.sandbox.journal import Journal
from tirage.sandbox.shelf import Shelf, resident_mb
from tirage.sandbox.totals import Cgroup, Watch

FORK_PATIENCE_S = 30.0
REFUSAL_S = 1.0
SETTLE_S = 0.25
SETTLE_URGENT_S = 0.02
BURY_AT = 16
MAX_LAYERS = 14
FREE_LAYERS = 8


class Denied(Exception):
    """A process could not be forked; the message is the reason."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        """`passing`: the process table is full, which ends when the dead are collected."""
        super().__init__(reason)
        self.passing = passing


class Holder(Protocol):
    """What a box knows of its sessions."""

    lock: asyncio.Lock
    """Held while the session does something."""

    @property
    def files(self) -> str | None:
        """The directory with the files of the session's state; None while it holds something else."""
        ...

    def shed(self) -> None:
        """End a process that was forked ahead."""
        ...

    async def close(self) -> None:
        """End it; idempotent."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class FrozenState:
    """A state: the frozen process that holds it, and what made it, shared by the sessions that may still have to return to it."""

    box: "Box"
    guest: Guest
    """No longer usable once it was evicted; `revival.revive` brings another one."""
    journal: Journal | None = None
    """What made the state from the box's fresh one."""
    state: StateKind = StateKind.FORKED
    layers: int = 1
    """Landlock layers of the process; the kernel allows 16."""
    holders: set[Holder] = field(default_factory=set)
    shared: bool = False
    """True once a branch was made from it."""
    snapshot: str | None = None
    """Copy of the working directory in this state: a name, "" for an empty directory, None when there is none (yet)."""
    pinned: bool = False
    """The zygote: never dropped by a session."""
    threaded: bool = False
    """The process runs threads: it goes on itself, for one session, and is never forked from."""
    resident_mb: float = 0.0
    """Resident memory when it was frozen, shared pages included."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is brought back."""


@dataclass(slots=True, kw_only=True)
class Fork:
    """What to fork and where the new process works."""

    home: str
    fill: str | None = None
    """Directory whose content `home` must have; "" empties it, None leaves it."""
    snapshot: str | None = None
    """Name under which to keep a copy of `home`."""
    branch: bool = False
    """The new process becomes a session of its own."""
    reseed: int | None = None
    """New start of the random generators; None keeps their state."""
    ahead_bytes: int | None = None
    """Output limit of the cell to come, when nobody waits for the process yet: it uses the time to get ready for it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Box:
    """One isolated group of processes."""

    zygote: Guest
    config: SandboxConfig
    rung: int
    layers: tuple[str, ...]
    notes: tuple[str, ...]
    others: int
    root: str
    ask_template: Callable[[Mapping[str, Any]], None]
    """Send to the template, which sees what a zygote without a /proc of its own cannot."""
    shelf: Shelf[FrozenState]
    group: Cgroup | None = None
    """The kernel's bound on all of the box; None where the host allows none."""
    gateway: Gateway | None = None
    """The way to the destinations on the network list, if there are any."""
    on_idle: "Callable[[Box], None]" = lambda _: None
    """Told when the last session is closed."""
    sessions: set[Holder] = field(default_factory=set)
    """Sessions opened here and not yet closed, branches included."""
    opened: int = 0
    """First sessions forked from the zygote so far."""
    opening: int = 0
    """Those being forked now."""
    retired: bool = False
    guests: set[Guest] = field(default_factory=set)
    states: dict[Journal, FrozenState] = field(default_factory=dict)
    """The states that sessions hold, the fresh one aside."""
    origin: FrozenState = field(init=False)
    _timer: asyncio.TimerHandle | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """The zygote is the state of every fresh session."""
        self.origin = FrozenState(
            box=self, guest=self.zygote, shared=True, snapshot="", pinned=True, resident_mb=resident_mb(self.zygote.pid)
        )

    @property
    def process_limit(self) -> int:
        """The soft process limit for a cell that starts now."""
        return len(self.guests) + 2 + self.others + self.config.processes

    @staticmethod
    def new_name() -> str:
        """A directory name."""
        return "s" + secrets.token_hex(5)

    async def fork(self, origin: FrozenState, order: Fork) -> tuple[Guest, int]:
        """A new process with the state of `origin`; returns it and its Landlock layers.

        Raises `Denied` when none can be made, `Gone` or `Flooded` when `origin` itself is lost.
        """
        parent = origin.guest
        spend = origin.layers < FREE_LAYERS or ((order.branch or origin.shared) and origin.layers < MAX_LAYERS)
        request = {
            "op": "fork",
            "id": request_id(),
            "home": order.home,
            "fill": order.fill,
            "snapshot": order.snapshot,
            "layer": spend,
            "ahead": order.ahead_bytes,
            "seed": order.reseed,
        }
        async with parent.lock:
            if not parent.alive:
                raise Gone
            capture = None if order.ahead_bytes is None else Capture(order.ahead_bytes)
            message, child = await self._split(parent, request, capture)
        if not self.zygote.alive:
            child.drop()
            raise Gone
        if "denied" in message:
            child.drop()
            self.forget(child)
            raise Denied(str(message["denied"])[:500])
        self.guests.add(child)
        if order.snapshot is not None:
            kept = message.get("kept")
            origin.snapshot = kept if kept in ("", order.snapshot) else None
        return child, origin.layers + bool(message.get("layered"))

    async def _split(self, parent: Guest, request: dict[str, Any], capture: Capture | None) -> tuple[dict[str, Any], Guest]:
        host, guest = socket_pair()
        try:
            with handed_over(guest) as fd:
                fds = [fd] if capture is None else [fd, capture.out, capture.err]
                parent.send({**request, "dead": parent.dead_children}, fds)
            parent.dead_children = []
            message, pid, pidfd = await _acknowledged(host, parent, request["id"])
        except BaseException:
            host.close()
            if capture is not None:
                capture.close()
            raise
        return message, Guest(host, pid, pidfd, parent=parent, fork_id=request["id"], capture=capture)

    def forget(self, guest: Guest) -> None:
        """Note the end of a dropped guest: its parent collects it, or the zygote when the parent is gone."""
        self.guests.discard(guest)
        parent = guest.parent
        if parent is not None and parent.alive:
            parent.dead_children.append(guest.fork_id)
            if len(parent.dead_children) >= BURY_AT:
                self._tell(parent, {"op": "bury", "dead": parent.dead_children})
                parent.dead_children = []
        self.unsettle()

    def drop(self, guest: Guest) -> None:
        """Kill a guest and see to its collection; idempotent."""
        if guest.alive:
            guest.drop()
            self.forget(guest)

    async def cause_of_death(self, guest: Guest) -> int | None:
        """The wait status of a dead guest from the process that forked it; None when unknown. Drops the guest."""
        parent = guest.parent
        status: Any = None
        if parent is not None and parent.alive:
            with suppress(Gone, Flooded, SandboxError):
                async with parent.lock:
                    reply = await parent.ask({"op": "reap", "id": request_id(), "child": guest.fork_id}, timeout_s=5.0)
                status = reply.get("status")
        guest.drop()
        self.guests.discard(guest)
        self.unsettle(urgent=True)
        return status if isinstance(status, int) and 0 <= status < 1 << 16 else None

    def watch(self, runner: Guest) -> Watch | None:
        """Begin to look after the memory of a cell; None where a cgroup does."""
        if self.group is not None:
            return None
        watch = Watch(runner.pid, self.origin.resident_mb, self.config.most_mb, lambda: runner.signal(9))
        watch.start()
        return watch

    def ran_out(self, watch: Watch | None) -> bool:
        """True when a cell was killed because the box took too much memory in all."""
        return watch.fired if watch is not None else self.group is not None and self.group.oom_killed()

    def release(self, checkpoint: FrozenState, holder: Holder) -> float:
        """`holder` will not return to `checkpoint` any more; the last one ends it. The memory, in MB, that this leaves to its heirs."""
        checkpoint.holders.discard(holder)
        if checkpoint.holders or checkpoint.pinned:
            return 0.0
        if checkpoint.snapshot:
            self.remove(checkpoint.snapshot)
        if checkpoint.journal is not None:
            self.states.pop(checkpoint.journal, None)
        self.drop(checkpoint.guest)
        return self.shelf.take(checkpoint)

    def went_on(self, checkpoint: FrozenState, journal: Journal, *, threaded: bool) -> None:
        """The process of a state with threads has itself become the next one: the state before is gone, copied files too."""
        if checkpoint.journal is not None:
            self.states.pop(checkpoint.journal, None)
        if checkpoint.snapshot:
            self.remove(checkpoint.snapshot)
        checkpoint.journal, checkpoint.threaded, checkpoint.snapshot = journal, threaded, None
        self.states[journal] = checkpoint

    def shelve(self, checkpoint: FrozenState, *, before: FrozenState, inherited_mb: float = 0.0) -> None:
        """Count a state that was just frozen, grown from `before`, towards the memory budget; others may have to go."""
        if checkpoint.guest.usable and checkpoint.holders:
            checkpoint.resident_mb = resident_mb(checkpoint.guest.pid)
            self.shelf.put(checkpoint, max(0.0, checkpoint.resident_mb - before.resident_mb) + inherited_mb)

    def evict(self, checkpoint: FrozenState) -> bool:
        """End the process behind a state that nobody needs right now; False when somebody does."""
        busy = checkpoint.guest.lock.locked() or checkpoint.lock.locked() or any(item.lock.locked() for item in checkpoint.holders)
        if busy or checkpoint.pinned:
            return False
        for holder in checkpoint.holders:
            holder.shed()
        self.drop(checkpoint.guest)
        return True

    def remove(self, *names: str) -> None:
        """Delete directories below the scratch root."""
        self._tell(self.zygote, {"op": "remove", "names": names})

    def _tell(self, guest: Guest, message: Mapping[str, Any]) -> None:
        """Send without waiting; a full or closed socket loses the message, which costs space at most."""
        if guest.alive:
            with suppress(Gone, SandboxError):
                guest.send(message)

    def unsettle(self, *, urgent: bool = False) -> None:
        """Have the dead collected and stray processes ended soon."""
        if not self.zygote.alive:
            return
        if self._timer is not None:
            if not urgent:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SETTLE_URGENT_S if urgent else SETTLE_S, self._start_settling)

    def _start_settling(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self.settle())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """End processes that came to the zygote and are no guest of the host's."""
        if self.group is not None:
            # What was killed by now is not to be taken for the next cell's end.
            self.group.oom_killed()
        with suppress(Gone, Flooded, SandboxError):
            async with self.zygote.lock:
                if not self.zygote.alive:
                    return
                reply = await self.zygote.ask({"op": "strays", "id": request_id()}, timeout_s=10.0)
                known = {guest.own_pid() for guest in self.guests}
                strays = [pid for pid in reply.get("pids", ()) if pid not in known]
                if strays:
                    order = {"op": "end", "pids": strays[:2000], "keep": list(known)}
                    if self.rung == 1:
                        self.zygote.send(order)
                    else:
                        self.ask_template(order)
                    self.unsettle(urgent=True)

    async def close(self) -> None:
        """End the box and everything in it; idempotent."""
        for session in list(self.sessions):
            await session.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in list(self._tasks):
            task.cancel()
        for guest in list(self.guests):
            guest.drop()
        self.guests.clear()
        if self.gateway is not None:
            await self.gateway.close()
        if not self.zygote.alive:
            return
        if self.rung == 1:
            self.zygote.signal(9)
        else:
            self.ask_template({"op": "close", "pid": self.zygote.pid})
        await self.zygote.died(5.0)
        self.zygote.drop()
        for _ in range(100):
            if self.group is None or self.group.remove():
                return
            await asyncio.sleep(0.02)


async def _acknowledged(host: socket.socket, parent: Guest, wanted: str) -> tuple[dict[str, Any], int, int]:
    """Wait for the child's first packet, the parent's refusal, or the end of either."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[dict[str, Any] | None] = loop.create_future()
    loop.add_reader(host.fileno(), settle, ready, None)
    parent.listen(wanted, ready)
    timer = loop.call_later(FORK_PATIENCE_S, settle, ready, {"denied": f"no process within {FORK_PATIENCE_S:g} s"})
    try:
        refusal = await ready
        if refusal is None:
            return identify(host)
    except Gone:
        # Either the parent is gone, or the child's end was closed: by a refusal on its way, or by a sudden death.
        refusal = await parent.answer(wanted, REFUSAL_S) or {"denied": "the new process died at once"}
    finally:
        timer.cancel()
        parent.deafen()
        loop.remove_reader(host.fileno())
    raise Denied(str(refusal.get("denied", "no reason given"))[:500], passing=refusal.get("again") is True)
