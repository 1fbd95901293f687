"""A node: a process that holds one interpreter state, frozen between requests. A cell runs in a fork of it."""

import errno
import gc
import os
import resource
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from . import calls, cell, kernel, openfiles, randomness, scratch, strays, streams, wire
from .walls import landlock

THREAD_PATIENCE_S = 0.1


class Node:
    """Answers the host on one socket: fork, run, put, fetch, reap. Runs user code, so nothing it says is trusted."""

    def __init__(self, channel: socket.socket, root: str, home: str) -> None:
        """`root` is the box's scratch directory, `home` this branch's directory below it."""
        self.channel = channel
        self.root = root
        self.home = home
        self.layered = False
        self.children: dict[str, int] = {}
        self.open_files: dict[int, str] | None = {}
        """Descriptor to path below `home`, as the last cell left them; None until somebody needs to know."""
        self.own_fds = 0
        """How many descriptors are open that no cell has opened."""
        self.serial = 0
        self.shown = b""
        """Rich displays of the last cell, until the host asks for them."""
        self.namespace: dict[str, Any] = {}
        self.tools = calls.Tools()

    def serve(self) -> NoReturn:
        """Answer until the host lets go; the child of a fork goes on in the same loop on its own socket."""
        while True:
            try:
                request, fds = wire.receive(self.channel)
                self.answer(request, fds)
            except (EOFError, OSError):
                os._exit(0)

    def answer(self, request: dict[str, Any], fds: list[int]) -> None:
        """Handle one request."""
        op = request["op"]
        if op == "run":
            self.run(request, fds)
        elif op == "fork":
            self.fork(request, fds)
        elif op == "put":
            self.put(request, fds[0])
        elif op == "fetch":
            self.fetch(request, fds[0])
        elif op == "displays":
            self.give_displays(request, fds[0])
        elif op == "seed":
            randomness.fix(request["seed"])
            wire.send(self.channel, {"id": request["id"]})
        elif op == "bury":
            for child in request["dead"]:
                self.reap(child)
        elif op == "reap":
            wire.send(self.channel, {"id": request["id"], "status": self.reap(request["child"])})

    def fork(self, request: dict[str, Any], fds: list[int]) -> bool:
        """Split; True in the child, which has taken over the new socket and acknowledged. Failure is a reply, not a death.

        `fds` are the new socket and, for a child that is to get ready for a cell, the cell's stdout and stderr.
        """
        for dead in request.get("dead", ()):
            self.reap(dead)
        channel = socket.socket(fileno=fds.pop(0))
        if kernel.has_threads():
            return self._deny(channel, fds, request, "threads are running, and they do not survive a fork", again=False)
        state = randomness.save()
        if self.open_files is None:
            self.open_files = openfiles.survey(self.home, self.own_fds)
        try:
            child = os.fork()
        except OSError as error:
            return self._deny(channel, fds, request, f"fork: {error.strerror}", again=error.errno == errno.EAGAIN)
        if child:
            channel.close()
            wire.close_all(fds)
            self.children[request["id"]] = child
            return False
        self.channel.close()
        self.channel = channel
        self.children = {}
        if request["seed"] is None:
            randomness.restore(state)
        else:
            randomness.fix(request["seed"])
        self.layered = landlock.own_scope() if request["layer"] else False
        try:
            kept = self.settle(request)
        except (OSError, scratch.TooLarge) as error:
            wire.send(channel, {"id": request["id"], "denied": str(error)})
            os._exit(0)
        wire.send(channel, {"id": request["id"], "layered": self.layered, "kept": kept})
        if request["ahead"] is not None:
            self._get_ready(request["ahead"], fds)
        return True

    def _get_ready(self, cap: int, fds: list[int]) -> None:
        """Do once what the next cell will do, so that its page faults happen while the model still thinks; open its streams."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wire.send(there, {"op": "run", "id": "0", "code": "1+1", "processes": resource.getrlimit(resource.RLIMIT_NPROC)[1]})
        request, _ = wire.receive(here)
        streams.attach(os.dup(0), os.dup(0), cap)
        wire.send(here, self._perform(request, {}, 0))
        self._rest()
        here.close()
        there.close()
        streams.attach(fds[0], fds[1], cap)

    def _deny(self, channel: socket.socket, fds: list[int], request: dict[str, Any], reason: str, *, again: bool) -> bool:
        channel.close()
        wire.close_all(fds)
        wire.send(self.channel, {"id": request["id"], "denied": reason, "again": again})
        return False

    def settle(self, request: dict[str, Any]) -> str | None:
        """Move into the branch's directory; returns the name of the copy kept for a roll-back.

        "" says that there was nothing to keep, None that it could not be kept.
        """
        home = f"{self.root}/{request['home']}"
        fill = request["fill"]
        if fill is not None:
            scratch.empty(home)
            if fill:
                scratch.copy(f"{self.root}/{fill}", home)
        self._move(home)
        openfiles.reopen(self.open_files or {}, home)
        snapshot = request["snapshot"]
        if snapshot is None:
            return None
        try:
            return snapshot if scratch.copy(home, f"{self.root}/{snapshot}") else ""
        except (scratch.TooLarge, OSError):
            # Too much, or no space for it: the files cannot be rolled back, but the session goes on.
            scratch.empty(f"{self.root}/{snapshot}")
            return None

    def _move(self, home: str) -> None:
        """Be at the same place below `home` as before below the old one; keep out of it when the cell went elsewhere."""
        try:
            here = os.getcwd()
        except OSError:
            here = self.home
        if here == self.home or here.startswith(self.home + "/"):
            try:
                os.chdir(home + here[len(self.home) :])
            except OSError:
                os.chdir(home)
        if os.environ.get("HOME") == self.home:
            os.environ["HOME"] = home
        self.home = home

    def run(self, request: dict[str, Any], fds: list[int]) -> None:
        """Run a cell and report."""
        if request["cap"] is not None:
            streams.attach(fds.pop(0), fds.pop(0), request["cap"])
        if fds:
            request["code"] = _read(fds.pop())
        self.serial += 1
        line = self._open_line(request)
        reply = self._perform(request, self.namespace, self.serial)
        if line is not None:
            line.close()
            self.tools._line = None
        self.shown = reply.pop("shown", b"")
        wire.send(self.channel, reply)
        self._rest()
        self.open_files = None

    def _open_line(self, request: dict[str, Any]) -> calls.Line | None:
        """Let the cell call the host's functions, if it is served any."""
        functions = request.get("calls")
        if functions is None:
            return None
        line = self.tools._line = calls.Line(self.channel, request["id"], functions)
        self.namespace.setdefault("tools", self.tools)
        return line

    def _perform(self, request: dict[str, Any], namespace: dict[str, Any], serial: int) -> dict[str, Any]:
        _limit_processes(request["processes"])
        # While the cell runs, whatever it daemonises comes to this process and ends with the cell. Not afterwards:
        # nodes forked from here and orphaned belong to the zygote.
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        reply = cell.run(request["code"], namespace, serial)
        reply["id"] = request["id"]
        if kernel.has_threads():
            reply["threads"] = self._threads_remain()
        if strays.has_children():
            reply["strays"] = not strays.end_own(kernel.end_domain if self.layered else None)
        return reply

    def _rest(self) -> None:
        """Be forkable and let go of the cell's output; the reply need not wait for that."""
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 0)
        _limit_processes(None)
        streams.detach()

    def _threads_remain(self) -> bool:
        """Give idle pools, which end when they are collected, a moment."""
        gc.collect()
        until = time.monotonic() + THREAD_PATIENCE_S
        while kernel.has_threads():
            if time.monotonic() > until:
                return True
            time.sleep(0.002)
        return False

    def put(self, request: dict[str, Any], fd: int) -> None:
        """Write a file below the branch's directory from a descriptor of the host."""
        reply: dict[str, Any] = {"id": request["id"]}
        try:
            path = self._inside(request["path"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(fd, "rb") as source, open(path, "wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
        except (OSError, ValueError) as error:
            reply["error"] = str(error)
        wire.send(self.channel, reply)

    def fetch(self, request: dict[str, Any], fd: int) -> None:
        """Copy a regular file into a descriptor of the host, which bounds it."""
        reply: dict[str, Any] = {"id": request["id"]}
        try:
            path = self._inside(request["path"])
            if not os.path.isfile(path):
                raise FileNotFoundError(f"no regular file {request['path']!r} in the working directory")
            with open(path, "rb") as source:
                while block := source.read(1 << 20):
                    os.write(fd, block)
        except (OSError, ValueError) as error:
            reply["error"] = str(error)
        os.close(fd)
        wire.send(self.channel, reply)

    def give_displays(self, request: dict[str, Any], fd: int) -> None:
        """Write the last cell's displays into a descriptor of the host, which bounds it."""
        view = memoryview(self.shown)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            pass
        os.close(fd)
        self.shown = b""
        wire.send(self.channel, {"id": request["id"]})

    def _inside(self, path: str) -> str:
        full = os.path.normpath(os.path.join(self.home, path))
        if not full.startswith(self.home + "/"):
            raise ValueError(f"path {path!r} is outside the working directory")
        return full

    def reap(self, child: str) -> int | None:
        """Collect one dead child by its fork's id; its wait status, None when unknown."""
        pid = self.children.pop(child, None)
        if pid is None:
            return None
        try:
            return os.waitpid(pid, 0)[1]
        except ChildProcessError:
            return None


def _limit_processes(count: int | None) -> None:
    """Soft limit for the cell, or None to be forkable again; the cell may have lowered the hard one, its own loss."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (hard if count is None else min(count, hard), hard))


def _read(fd: int) -> str:
    with open(fd, encoding="utf-8") as file:
        return file.read()


def begin(node: Node) -> NoReturn:
    """Turn the zygote's fresh child into a session: its own `__main__`, default signals, nothing of the zygote."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    node.namespace = cell.new_main().__dict__
    sys.path.insert(0, "")
    os.environ["HOME"] = node.home
    node.own_fds = openfiles.count()
    node.serve()
