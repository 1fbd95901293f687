"""Bring back a state whose process was evicted or lost: replay its journal on the nearest ancestor that lives."""

import os
import time
from dataclasses import dataclass

from tirage.core.errors import SandboxError
from tirage.sandbox import journal, results
from tirage.sandbox.base import ExecResult, StateKind
from tirage.sandbox.box import Box, Denied, Fork, FrozenState, Holder
from tirage.sandbox.calls import Again, CallGate
from tirage.sandbox.capture import filled_file
from tirage.sandbox.execution import Fate, file_request, run_cell
from tirage.sandbox.frames import Flooded
from tirage.sandbox.guests import Gone, Guest, request_id
from tirage.sandbox.journal import Cell, Journal


async def revive(box: Box, checkpoint: FrozenState, home: str) -> None:
    """Give `checkpoint` a process again and note in its `state` whether the replay gave what was seen the first time.

    A process that can be forked from needs no directory but for the replay; one with threads lives on in `home`. Raises
    `SandboxError` when the state cannot be made again.
    """
    async with checkpoint.lock:
        if checkpoint.guest.usable:
            return
        place = home if checkpoint.threaded else box.new_name()
        try:
            made = await rebuild(box, checkpoint.journal, place)
        finally:
            if not checkpoint.threaded:
                box.remove(place)
        checkpoint.guest, checkpoint.layers, checkpoint.state = made.guest, made.layers, made.state
        box.shelve(checkpoint, before=box.origin)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A process with a state that was made again."""

    guest: Guest
    layers: int
    state: StateKind


async def rebuild(box: Box, past: Journal | None, home: str) -> Rebuilt:
    """A process with the state that `past` made, working in `home`, files included. Raises `SandboxError`."""
    ancestor = nearest(box, past)
    try:
        guest, layers = await _fork_at(box, ancestor, home)
    except (Denied, Gone, Flooded) as error:
        raise _lost(str(error) or "no process could be made") from None
    try:
        state = await journal.replay(_Replayed(box, guest), journal.entries(past, since=ancestor.journal))
    except BaseException:
        box.drop(guest)
        raise
    return Rebuilt(guest, layers, max(state, ancestor.state, key=list(StateKind).index))


def nearest(box: Box, past: Journal | None) -> FrozenState:
    """The youngest state before the last entry of `past` that lives, can be forked from, and whose files are at hand.

    The box's fresh state in the worst case.
    """
    link = past and past.before
    while link is not None:
        found = box.states.get(link)
        alive = found is not None and found.guest.usable and not found.threaded
        if alive and found is not None and (found.snapshot is not None or _keeper(found) is not None):
            return found
        link = link.before
    return box.origin


def _keeper(checkpoint: FrozenState) -> Holder | None:
    """A session at rest in this state, whose files are those of the state."""
    return next((holder for holder in checkpoint.holders if holder.files is not None and not holder.lock.locked()), None)


async def _fork_at(box: Box, ancestor: FrozenState, home: str) -> tuple[Guest, int]:
    """A process with the state and the files of `ancestor`."""
    if ancestor.snapshot is not None:
        return await box.fork(ancestor, Fork(home=home, fill=ancestor.snapshot, branch=True))
    keeper = _keeper(ancestor)
    assert keeper is not None
    async with keeper.lock:
        return await box.fork(ancestor, Fork(home=home, fill=keeper.files, branch=True))


class _Replayed:
    """A process that repeats what another did, cell after cell, without forks in between."""

    def __init__(self, box: Box, guest: Guest) -> None:
        self._box = box
        self._guest = guest

    async def repeat(self, cell: Cell) -> ExecResult:
        gate = None if cell.calls is None else CallGate(Again(cell.calls))
        result, fate = await run_cell(self._box, self._guest, cell.code, cell.limits, started=time.perf_counter(), gate=gate)
        if fate is Fate.LOST:
            raise _lost(f"a cell that went well before ended in the replay: {result.error_text}")
        return result

    async def put(self, path: str, content: bytes) -> None:
        fd = filled_file("put", content)
        try:
            reply = await file_request(self._guest, {"op": "put", "path": path}, fd)
        except (Gone, Flooded) as error:
            raise _lost(str(error) or "its process is gone") from None
        finally:
            os.close(fd)
        if "error" in reply:
            raise _lost(f"{path!r} cannot be written again: {results.text(reply, 'error')}")

    async def reseed(self, value: int) -> None:
        try:
            await self._guest.ask({"op": "seed", "id": request_id(), "seed": value})
        except (Gone, Flooded) as error:
            raise _lost(str(error) or "its process is gone") from None


def _lost(reason: str) -> SandboxError:
    return SandboxError(f"the session's state is lost and cannot be rebuilt: {reason}; open a new session", boundary="sandbox")
