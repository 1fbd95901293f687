"""One process of the box as the host sees it: a socket, a pidfd, and the art of waiting for either."""

import array
import asyncio
import errno
import json
import os
import secrets
import select
import signal
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tirage.core.errors import SandboxError
from tirage.sandbox.capture import Capture
from tirage.sandbox.frames import Flooded, parse

SO_PASSPIDFD, SCM_PIDFD = 76, 4
MAX_PACKET = 200_000
MAX_STALE = 16
CREDENTIALS = struct.Struct("3i")
_BUFFER = memoryview(bytearray(MAX_PACKET))
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Gone(Exception):
    """The guest process is dead or its socket closed."""


def request_id() -> str:
    """A fresh id; replies with another one are dropped."""
    return secrets.token_hex(6)


def settle(future: "asyncio.Future[Any]", value: Any) -> None:
    """Give a future its result unless it has one."""
    if not future.done():
        future.set_result(value)


async def readable(fd: int, timeout_s: float) -> bool:
    """Wait until `fd` can be read; False when the time is up."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()
    loop.add_reader(fd, settle, ready, True)
    timer = loop.call_later(timeout_s, settle, ready, False)
    try:
        return await ready
    finally:
        timer.cancel()
        loop.remove_reader(fd)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The host's end, non-blocking and stamped by the kernel with the sender's identity, and the guest's end."""
    host, guest = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host.setblocking(False)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with suppress(OSError):
        host.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
    return host, guest


def identify(channel: socket.socket, fds: list[int] | None = None) -> tuple[dict[str, Any], int, int]:
    """The first packet of a guest with the pid and pidfd that the kernel put on it. Raises `Gone` or `Flooded`.

    Descriptors that came with it are added to `fds`; without a list they are closed.
    """
    try:
        data, ancillary, _, _ = channel.recvmsg(MAX_PACKET, 256)
    except ConnectionError:
        data, ancillary = b"", []
    pid, pidfd = _stamps(ancillary, fds)
    try:
        if not data or not pid:
            raise Gone
        message = parse(data)
        if pidfd < 0:
            pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise Gone from None
    except BaseException:
        if pidfd >= 0:
            os.close(pidfd)
        raise
    return message, pid, pidfd


def _stamps(ancillary: list[tuple[int, int, bytes]], wanted: list[int] | None = None) -> tuple[int, int]:
    """The kernel's pid and pidfd (-1: it made none); descriptors that nobody `wanted` are closed."""
    pid, pidfd = 0, -1
    for level, kind, blob in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS:
            pid = CREDENTIALS.unpack(blob[: CREDENTIALS.size])[0]
        elif kind == SCM_PIDFD:
            pidfd = struct.unpack("i", blob[:4])[0]
        elif kind == socket.SCM_RIGHTS:
            for fd in array.array("i", blob[: len(blob) // 4 * 4]):
                if wanted is None:
                    os.close(fd)
                else:
                    wanted.append(fd)
    return pid, pidfd


class Guest:
    """A guest process. One request at a time: take `lock` around `ask`.

    Its descriptors stay registered with the event loop from the start, so that waiting costs no system call.
    """

    __slots__ = (
        "_broken",
        "_end",
        "_late",
        "_loop",
        "_stale",
        "_waiter",
        "_wanted",
        "alive",
        "capture",
        "channel",
        "dead_children",
        "fork_id",
        "inner_pid",
        "lock",
        "parent",
        "pid",
        "pidfd",
    )

    def __init__(
        self,
        channel: socket.socket,
        pid: int,
        pidfd: int,
        *,
        parent: "Guest | None" = None,
        fork_id: str = "",
        capture: Capture | None = None,
    ) -> None:
        """`parent` forked it under the request `fork_id` and is the one to reap it; `capture` is already on its descriptors."""
        self.channel = channel
        self.pid = pid
        self.pidfd = pidfd
        self.parent = parent
        self.fork_id = fork_id
        self.capture = capture
        self.inner_pid = 0
        self.alive = True
        self.lock = asyncio.Lock()
        self.dead_children: list[str] = []
        self._stale = 0
        self._wanted = ""
        self._waiter: asyncio.Future[Any] | None = None
        self._late: dict[str, Any] | None = None
        self._broken: Gone | Flooded | None = None
        self._end: asyncio.Event | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self._readable)
        self._loop.add_reader(pidfd, self._ended)

    @property
    def usable(self) -> bool:
        """True while the process can be asked for something, as far as is known."""
        return self.alive and self._broken is None

    def send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one packet. Raises `Gone`, or `SandboxError` when the guest does not read."""
        if not self.alive:
            raise Gone
        data = _encode(message).encode("utf-8", "replace")
        try:
            if fds:
                socket.send_fds(self.channel, [data], list(fds))
            else:
                self.channel.send(data)
        except BlockingIOError:
            raise SandboxError(f"sandbox process {self.pid} does not read its requests") from None
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise SandboxError(f"a request of {len(data)} bytes is too large for the sandbox") from None
            raise Gone from None

    def listen(self, wanted: str, waiter: "asyncio.Future[Any]") -> None:
        """Let `waiter` have the packet that answers `wanted`, or the `Gone` or `Flooded` that came instead."""
        self._wanted, self._waiter = wanted, waiter
        if self._late is not None and self._late.get("id") == wanted:
            waiter.set_result(self._late)
        elif self._broken is not None or not self.alive:
            waiter.set_exception(self._broken or Gone())
        self._late = None

    def deafen(self) -> None:
        """End a `listen`."""
        self._waiter = None

    async def answer(self, wanted: str, timeout_s: float | None) -> dict[str, Any] | None:
        """Wait for the answer to `wanted`; None when the time is up. Raises `Gone` or `Flooded`.

        Death is read off the pidfd: a grandchild may hold the socket open for ever.
        """
        waiter: asyncio.Future[dict[str, Any] | None] = self._loop.create_future()
        self.listen(wanted, waiter)
        timer = self._loop.call_later(timeout_s, settle, waiter, None) if timeout_s is not None else None
        try:
            return await waiter
        finally:
            self.deafen()
            if timer is not None:
                timer.cancel()

    def _readable(self) -> None:
        try:
            self._take()
        except (Gone, Flooded) as error:
            self._break(error)

    def _ended(self) -> None:
        """The process is dead; what it said last still counts."""
        self._loop.remove_reader(self.pidfd)
        try:
            while self._take():
                pass
            self._break(Gone())
        except (Gone, Flooded) as error:
            self._break(error)
        if self._end is not None:
            self._end.set()

    def _take(self) -> bool:
        """Read one packet and hand it on; False when there is none."""
        try:
            size = self.channel.recv_into(_BUFFER)
        except BlockingIOError:
            return False
        except OSError:
            raise Gone from None
        if not size:
            raise Gone
        message = parse(_BUFFER[:size].tobytes())
        if message.get("id") == self._wanted and self._late is None:
            if self._waiter is None or self._waiter.done():
                self._late = message
            else:
                self._waiter.set_result(message)
            return True
        self._stale += 1
        if self._stale > MAX_STALE:
            raise Flooded(f"more than {MAX_STALE} packets nobody asked for")
        return True

    def _break(self, error: "Gone | Flooded") -> None:
        if self.alive:
            self._loop.remove_reader(self.channel.fileno())
        if self._broken is None:
            self._broken = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._broken)

    async def ask(self, message: Mapping[str, Any], fds: Sequence[int] = (), timeout_s: float = 30.0) -> dict[str, Any]:
        """Send and wait. Raises `Gone`, `Flooded`, or `SandboxError` when no answer comes in time."""
        self.send(message, fds)
        reply = await self.answer(message["id"], timeout_s)
        if reply is None:
            raise SandboxError(f"sandbox process {self.pid} did not answer {message['op']!r} within {timeout_s:g} s")
        return reply

    def signal(self, number: int) -> None:
        """Signal exactly this process, never one that took over its pid."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self.pidfd, number)

    async def died(self, timeout_s: float) -> bool:
        """Wait for the process to end; False when it has not by then."""
        if not self.alive:
            return True
        if self._end is None:
            self._end = asyncio.Event()
            if not _runs(self.pidfd):
                self._end.set()
        try:
            await asyncio.wait_for(self._end.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def drop(self) -> None:
        """Kill and let go; idempotent."""
        if not self.alive:
            return
        self.signal(signal.SIGKILL)
        self._loop.remove_reader(self.channel.fileno())
        self._loop.remove_reader(self.pidfd)
        self.alive = False
        self.channel.close()
        os.close(self.pidfd)
        if self.capture is not None:
            self.capture.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Gone())
        if self._end is not None:
            self._end.set()

    def own_pid(self) -> int:
        """The pid inside the innermost namespace; 0 once the process is gone."""
        if not self.inner_pid and self.alive:
            with suppress(OSError), open(f"/proc/{self.pid}/status", encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.startswith("NSpid:"):
                        self.inner_pid = int(line.split()[-1])
        return self.inner_pid


def _runs(pidfd: int) -> bool:
    """True while the process of `pidfd` has not ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return not poll.poll(0)


@contextmanager
def handed_over(end: socket.socket) -> Iterator[int]:
    """The descriptor of a guest's end while it is being passed; closed here afterwards."""
    try:
        yield end.fileno()
    finally:
        end.close()
