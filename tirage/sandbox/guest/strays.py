"""Processes that a cell started and left behind."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

ROUNDS = 200


def children_of(pid: int) -> list[int] | None:
    """Direct children by the kernel's own list; None where /proc is out of reach."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return None


def has_children() -> bool:
    """True when this process has a child, dead or alive."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def reap() -> list[tuple[int, int]]:
    """Collect every dead child: (pid, wait status)."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended.append((pid, status))


def descendants(pids: list[int], keep: frozenset[int] = frozenset()) -> list[int]:
    """`pids` and all below them, walking down only; not `keep` and what is below those."""
    found: list[int] = []
    queue = list(pids)
    while queue:
        pid = queue.pop()
        if pid in keep:
            continue
        found.append(pid)
        queue.extend(children_of(pid) or [])
    return found


def end(pids: list[int], keep: frozenset[int] = frozenset()) -> None:
    """Stop, then kill the trees below `pids`, sparing `keep` and what is below those.

    Stopping until a look finds nobody new keeps a fork bomb from outrunning the kill.
    """
    stopped: set[int] = set()
    for _ in range(ROUNDS):
        fresh = set(descendants(pids, keep)) - stopped
        if not fresh:
            break
        send(fresh, signal.SIGSTOP)
        stopped |= fresh
    send(stopped, signal.SIGKILL)


def send(pids: Iterable[int], number: int) -> None:
    """Signal each, if it is still there."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_own(kill_domain: Callable[[], None] | None) -> bool:
    """End every child of this process; True when none is left.

    `kill_domain` is used where /proc cannot list children: it signals all of the caller's own Landlock domain.
    """
    for _ in range(ROUNDS):
        reap()
        if not has_children():
            return True
        listed = children_of(os.getpid())
        if listed is not None:
            end(listed)
        elif kill_domain is not None:
            kill_domain()
        else:
            return False
        time.sleep(0.002)
    return False
