"""Bounds on what a box takes in all: a cgroup where the host lets one be made, else a watch over its processes.

Limits on single processes do not add up to one on their sum: sixty processes below a limit of 1 GB each are 60 GB.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tirage.sandbox.shelf import PAGE_MB

ROOT = Path("/sys/fs/cgroup")
PREFIX = "tirage-"
PROCESSES = 4096


@dataclass(slots=True, kw_only=True)
class Cgroup:
    """A group of the kernel's that holds one box."""

    folders: tuple[Path, ...]
    """One of each hierarchy: a single one in version 2, memory and pids in version 1."""
    events: tuple[Path, str]
    """Where the kernel counts what it killed for want of memory, and under which name."""
    killed: int = 0

    def oom_killed(self) -> bool:
        """True when the kernel has killed something here for want of memory since the last look."""
        path, name = self.events
        with suppress(OSError, ValueError):
            for line in path.read_text(encoding="ascii").splitlines():
                key, _, count = line.partition(" ")
                if key == name:
                    before, self.killed = self.killed, int(count)
                    return self.killed > before
        return False

    def remove(self) -> bool:
        """Delete the group; False while processes are in it."""
        gone = True
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone


def make(pid: int, name: str, *, memory_mb: int, processes: int) -> Cgroup | None:
    """Move process `pid` into a group of its own with these limits; None where the host does not allow that."""
    for layout in (_version_2, _version_1):
        group = layout(name, memory_mb, processes)
        if group is None:
            continue
        try:
            for folder in group.folders:
                (folder / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError:
            group.remove()
            continue
        return group
    return None


def _own(controller: str) -> str | None:
    """This process's group in a version 1 hierarchy, or in version 2 for the empty name."""
    with suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.strip().split(":", 2)
            if controller in controllers.split(","):
                return path.lstrip("/")
    return None


def _version_2(name: str, memory_mb: int, processes: int) -> Cgroup | None:
    own = _own("")
    parent = ROOT / (own or "")
    if own is None or not (ROOT / "cgroup.controllers").exists():
        return None
    folder = parent / name
    try:
        with suppress(OSError):
            (parent / "cgroup.subtree_control").write_text("+memory +pids", encoding="ascii")
        _sweep(parent)
        folder.mkdir()
        (folder / "memory.max").write_text(str(memory_mb << 20), encoding="ascii")
        with suppress(OSError):
            (folder / "memory.swap.max").write_text("0", encoding="ascii")
        (folder / "pids.max").write_text(str(processes), encoding="ascii")
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        return None
    return Cgroup(folders=(folder,), events=(folder / "memory.events", "oom_kill"))


def _version_1(name: str, memory_mb: int, processes: int) -> Cgroup | None:
    folders = []
    for controller, limits in (("memory", {"memory.limit_in_bytes": memory_mb << 20}), ("pids", {"pids.max": processes})):
        own = _own(controller)
        if own is None:
            continue
        parent = ROOT / controller / own
        folder = parent / name
        try:
            _sweep(parent)
            folder.mkdir()
            folders.append(folder)
            for file, limit in limits.items():
                (folder / file).write_text(str(limit), encoding="ascii")
        except OSError:
            Cgroup(folders=tuple(folders), events=(folder, "")).remove()
            return None
    memory = next((folder for folder in folders if (folder / "memory.oom_control").exists()), None)
    if memory is None:
        Cgroup(folders=tuple(folders), events=(ROOT, "")).remove()
        return None
    return Cgroup(folders=tuple(folders), events=(memory / "memory.oom_control", "oom_kill"))


def _sweep(parent: Path) -> None:
    """Delete groups of hosts that died before they could."""
    for folder in parent.glob(f"{PREFIX}*"):
        host = folder.name.removeprefix(PREFIX).partition("-")[0]
        if host.isdigit() and not os.path.exists(f"/proc/{host}"):
            with suppress(OSError):
                folder.rmdir()


def new_name(token: str) -> str:
    """A group's name, by which one left behind can be told."""
    return f"{PREFIX}{os.getpid()}-{token}"


LOOK_S = 0.05


class Watch:
    """Looks at a running cell and all that it started, and kills the cell when together they take too much."""

    def __init__(self, pid: int, base_mb: float, most_mb: float, kill: Callable[[], None]) -> None:
        """`base_mb` of each process are pages that it shares with the template."""
        self._pid = pid
        self._base_mb = base_mb
        self._most_mb = most_mb
        self._kill = kill
        self.fired = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now and then from now on."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Add up, and kill where it is too much."""
        total, queue = 0.0, [self._pid]
        until = time.monotonic() + LOOK_S
        while queue and time.monotonic() < until:
            pid = queue.pop()
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                    total += max(0.0, int(file.read().split()[1]) * PAGE_MB - self._base_mb)
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                    queue += [int(word) for word in file.read().split()]
        if total > self._most_mb:
            self.fired = True
            self._kill()
        else:
            self.start()
