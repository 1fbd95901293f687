"""The template: a single-threaded interpreter with the configured modules loaded. Boxes are forked from it; it runs no user code."""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from . import box, hugepages, kernel, randomness, scratch, strays, wire

ALWAYS = (
    "collections",
    "cmath",
    "datetime",
    "decimal",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "math",
    "re",
    "statistics",
    "string",
)
PATIENCE_S = 10.0


class _Leave(BaseException):
    pass


def _leave(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Leave


def preload(names: tuple[str, ...]) -> None:
    """Import what sessions will find loaded. Raises whatever an import raises."""
    for name in (*ALWAYS, *names):
        importlib.import_module(name)
    import site

    site.setquit()
    site.sethelper()


def main(fd: int, order: str) -> NoReturn:
    """Load, report, build boxes until the host is gone, then see to it that nothing stays."""
    settings: dict[str, Any] = json.loads(order)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, int(signal.SIGTERM))
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=fd)
    channel.set_inheritable(False)
    sys.path[:] = settings["path"]
    try:
        preload(tuple(settings["preload"]))
        if kernel.has_threads():
            raise RuntimeError("a preloaded module started a thread, which does not survive a fork")
    except BaseException as error:  # a module may raise anything at import; the host reports it
        wire.send(channel, {"failed": "preload", "text": f"{type(error).__name__}: {error}"})
        os._exit(1)
    randomness.fix()
    gc.collect()
    gc.freeze()
    hugepages.collapse()
    wire.send(channel, {"ready": True})
    _Template(channel).serve()


class _Template:
    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.zygotes: dict[int, str] = {}

    def serve(self) -> NoReturn:
        try:
            while True:
                request, fds = wire.receive(self.channel)
                if request["op"] == "box":
                    self.box(request, fds[0])
                elif request["op"] == "end":
                    self.end(request["pids"], frozenset(request["keep"]))
                elif request["op"] == "close":
                    self.close(request["pid"])
                self.collect()
        except (EOFError, OSError, _Leave):
            pass
        try:
            self.leave()
        except _Leave:
            # The host's end came as an end of file first and as a signal, which is sent once, in the middle of the sweep.
            self.leave()
        os._exit(0)

    def box(self, order: dict[str, Any], fd: int) -> None:
        end = socket.socket(fileno=fd)
        pid = box.start(order, end, [self.channel])
        end.close()
        if pid:
            self.zygotes[pid] = "" if order["rung"] == 1 else order["root"]

    def end(self, pids: list[int], keep: frozenset[int]) -> None:
        """End stray trees for a zygote that cannot see /proc; only what hangs below a zygote of ours."""
        below = {child for zygote in self.zygotes for child in strays.children_of(zygote) or ()}
        strays.end(list(below.intersection(pids)), keep)

    def close(self, pid: int) -> None:
        """End a box and all below its zygote."""
        if pid in self.zygotes:
            strays.end([pid])
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            self.tidy(self.zygotes[pid])
            del self.zygotes[pid]

    def collect(self) -> None:
        """Collect zygotes that ended, what they left running (no pid namespace: it comes to us) and their directories."""
        for pid, _ in strays.reap():
            root = self.zygotes.get(pid)
            if root is not None:
                self.tidy(root)
                del self.zygotes[pid]

    def tidy(self, root: str) -> None:
        """End orphans that came to the template and delete a box's directory."""
        for _ in range(strays.ROUNDS):
            orphans = [pid for pid in strays.children_of(os.getpid()) or () if pid not in self.zygotes]
            if not orphans:
                break
            strays.end(orphans)
            for pid in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        if root:
            scratch.remove_tree(root)

    def leave(self) -> None:
        """End all boxes, walking down from here."""
        roots = [root for root in self.zygotes.values() if root]
        until = time.monotonic() + PATIENCE_S
        while strays.has_children() and time.monotonic() < until:
            strays.end(strays.children_of(os.getpid()) or list(self.zygotes))
            strays.reap()
            time.sleep(0.001)
        for root in roots:
            scratch.remove_tree(root)
