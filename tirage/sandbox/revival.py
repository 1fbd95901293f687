"""Bring back a state whose process was evicted or lost: replay its journal on the nearest ancestor that lives."""

import os
import time

from tirage.core.errors import SandboxError
from tirage.sandbox import journal, results
from tirage.sandbox.base import ExecResult, Limits, StateKind
from tirage.sandbox.box import Box, Checkpoint, Denied, Fork, Holder
from tirage.sandbox.capture import filled_file
from tirage.sandbox.execution import file_request, run_cell
from tirage.sandbox.frames import Flooded
from tirage.sandbox.guests import Gone, Guest, request_id


async def revive(box: Box, checkpoint: Checkpoint) -> None:
    """Give `checkpoint` a process again and note in its `state` whether the replay gave what was seen the first time.

    Raises `SandboxError` when that is not possible.
    """
    async with checkpoint.lock:
        if checkpoint.guest.usable:
            return
        ancestor = nearest(box, checkpoint)
        past = journal.entries(checkpoint.journal, since=ancestor.journal)
        home = box.new_name()
        try:
            guest, layers = await _fork_at(box, ancestor, home)
        except (Denied, Gone, Flooded) as error:
            raise _lost(str(error) or "no process could be made") from None
        try:
            state = await journal.replay(_Replayed(box, guest), past)
        except BaseException:
            box.drop(guest)
            raise
        finally:
            box.remove(home)
        checkpoint.guest, checkpoint.layers = guest, layers
        checkpoint.state = max(state, ancestor.state, key=list(StateKind).index)
        box.shelve(checkpoint, before=ancestor)


def nearest(box: Box, checkpoint: Checkpoint) -> Checkpoint:
    """The youngest ancestor of `checkpoint` that lives and whose files are at hand; the box's fresh state in the worst case."""
    link = checkpoint.journal and checkpoint.journal.before
    while link is not None:
        found = box.states.get(link)
        if found is not None and found.guest.usable and (found.snapshot is not None or _keeper(found) is not None):
            return found
        link = link.before
    return box.origin


def _keeper(checkpoint: Checkpoint) -> Holder | None:
    """A session at rest in this state, whose files are those of the state."""
    return next((holder for holder in checkpoint.holders if holder.files is not None and not holder.lock.locked()), None)


async def _fork_at(box: Box, ancestor: Checkpoint, home: str) -> tuple[Guest, int]:
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

    async def run(self, code: str, limits: Limits | None = None) -> ExecResult:
        result, lived = await run_cell(self._box, self._guest, code, limits or Limits(), started=time.perf_counter())
        if not lived:
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
