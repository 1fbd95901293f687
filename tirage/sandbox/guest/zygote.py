"""The zygote: pid 1 of a box. Forks sessions, collects orphans, never runs user code, never waits for the host."""

import os
import signal
import socket
import time
from typing import Any, NoReturn

from . import node, scratch, strays, wire
from .walls import seccomp


class Zygote(node.Node):
    """A node without user code, with the care of the box's orphans and directories."""

    def __init__(self, channel: socket.socket, root: str, children_fd: int, *, signals: bool, contained: bool) -> None:
        """`children_fd` is this process's own list of children in /proc, opened before it went out of reach (-1: none).

        `signals` False refuses signals to user code; `contained` says that killing this process ends the whole box.
        """
        super().__init__(channel, root, root)
        self.children_fd = children_fd
        self.signals = signals
        self.contained = contained
        self.ended: dict[int, int] = {}
        self.removers: set[int] = set()

    def answer(self, request: dict[str, Any], fds: list[int]) -> None:
        """Handle one request."""
        op = request["op"]
        if op == "fork":
            self.collect()
            if self.fork(request, fds):
                self._become_session()
        elif op == "strays":
            self.collect()
            wire.send(self.channel, {"id": request["id"], "pids": [pid for pid in self.direct_children() if pid not in self.removers]})
        elif op == "end":
            # A node being dropped may die slowly, with nodes that live on still below it.
            strays.end(list(set(request["pids"]).intersection(self.direct_children())), frozenset(request["keep"]))
            self.collect()
        elif op == "remove":
            for name in request["names"]:
                self.removers.add(scratch.remove(f"{self.root}/{name}"))
        else:
            super().answer(request, fds)

    def _become_session(self) -> NoReturn:
        if self.children_fd >= 0:
            os.close(self.children_fd)
        if not self.signals:
            seccomp.install(unix_sockets=False, signals=False)
        session = node.Node(self.channel, self.root, self.home)
        session.layered = self.layered
        node.begin(session)

    def direct_children(self) -> list[int]:
        """Pids of this process's own children."""
        if self.children_fd < 0:
            return []
        text = b""
        while block := os.pread(self.children_fd, 1 << 16, len(text)):
            text += block
        return [int(word) for word in text.split()]

    def collect(self) -> None:
        """Collect the dead, keeping the status of own children until the host asks."""
        known = set(self.children.values())
        for pid, status in strays.reap():
            self.removers.discard(pid)
            if pid in known:
                self.ended[pid] = status

    def reap(self, child: str) -> int | None:
        """As for a node; the status may have been collected before."""
        pid = self.children.get(child)
        if pid in self.ended:
            del self.children[child]
            return self.ended.pop(pid)
        if pid is None:
            return None
        del self.children[child]
        try:
            return os.waitpid(pid, 0)[1]
        except ChildProcessError:
            return None

    def live(self) -> NoReturn:
        """Serve until the host is gone or the end is asked for, then end the box."""
        signal.signal(signal.SIGTERM, _leave)
        try:
            while True:
                request, fds = wire.receive(self.channel)
                self.answer(request, fds)
        except (EOFError, OSError, _Leave):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.sweep()
        os._exit(0)

    def sweep(self) -> None:
        """End everything below. In a pid namespace the kernel does it when pid 1 goes; elsewhere walk down from here only."""
        if self.contained:
            return
        for _ in range(strays.ROUNDS):
            strays.reap()
            if not strays.has_children():
                return
            strays.end(self.direct_children())
            time.sleep(0.002)


class _Leave(BaseException):
    """SIGTERM: the template is gone or the box is to end."""


def _leave(number: int, frame: object) -> None:
    raise _Leave
