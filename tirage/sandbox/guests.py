"""One process of the box as the host sees it: a socket, a pidfd, and the art of waiting for either."""

import array
import asyncio
import errno
import json
import os
import secrets
import signal
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tirage.core.errors import SandboxError

SO_PASSPIDFD, SCM_PIDFD = 76, 4
MAX_PACKET = 200_000
MAX_STALE = 16
CREDENTIALS = struct.Struct("3i")
_BUFFER = memoryview(bytearray(MAX_PACKET))


class Gone(Exception):
    """The guest process is dead or its socket closed."""


class Flooded(Exception):
    """The guest sent junk: too many packets nobody asked for, or one that is no JSON object."""


def request_id() -> str:
    """A fresh id; replies with another one are dropped."""
    return secrets.token_hex(6)


async def first_ready(fds: Sequence[int], timeout_s: float | None) -> int | None:
    """The first of `fds` to become readable; None when the time is up."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[int | None] = loop.create_future()

    def settle(fd: int | None) -> None:
        if not ready.done():
            ready.set_result(fd)

    for fd in fds:
        loop.add_reader(fd, settle, fd)
    timer = loop.call_later(timeout_s, settle, None) if timeout_s is not None else None
    try:
        return await ready
    finally:
        if timer is not None:
            timer.cancel()
        for fd in fds:
            loop.remove_reader(fd)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The host's end, non-blocking and stamped by the kernel with the sender's identity, and the guest's end."""
    host, guest = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host.setblocking(False)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with suppress(OSError):
        host.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
    return host, guest


def parse(data: bytes) -> dict[str, Any]:
    """One packet as an object. Raises `Flooded` for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Flooded(f"unreadable packet: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise Flooded(f"packet is a {type(value).__name__}, not an object")
    return value


def identify(channel: socket.socket) -> tuple[dict[str, Any], int, int]:
    """The first packet of a guest with the pid and pidfd that the kernel put on it. Raises `Gone` or `Flooded`."""
    try:
        data, ancillary, _, _ = channel.recvmsg(MAX_PACKET, 256)
    except ConnectionError:
        data, ancillary = b"", []
    pid, pidfd = _stamps(ancillary)
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


def _stamps(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """The kernel's pid and pidfd (-1: it made none); descriptors that a guest smuggled in are closed."""
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
                os.close(fd)
    return pid, pidfd


class Guest:
    """A guest process. One request at a time: take `lock` around `ask`."""

    __slots__ = ("alive", "channel", "dead_children", "fork_id", "inner_pid", "lock", "parent", "pid", "pidfd", "stale", "waiters")

    def __init__(self, channel: socket.socket, pid: int, pidfd: int, *, parent: "Guest | None" = None, fork_id: str = "") -> None:
        """`parent` forked it under the request `fork_id` and is the one to reap it."""
        self.channel = channel
        self.pid = pid
        self.pidfd = pidfd
        self.parent = parent
        self.fork_id = fork_id
        self.inner_pid = 0
        self.alive = True
        self.lock = asyncio.Lock()
        self.stale = 0
        self.waiters = 0
        self.dead_children: list[str] = []

    def send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one packet. Raises `Gone`, or `SandboxError` when the guest does not read."""
        if not self.alive:
            raise Gone
        data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        try:
            socket.send_fds(self.channel, [data], list(fds))
        except BlockingIOError:
            raise SandboxError(f"sandbox process {self.pid} does not read its requests") from None
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise SandboxError(f"a request of {len(data)} bytes is too large for the sandbox") from None
            raise Gone from None

    def receive(self, wanted: str) -> dict[str, Any] | None:
        """A waiting packet that answers `wanted`; None when there is none yet. Raises `Gone` or `Flooded`."""
        while True:
            try:
                data = _BUFFER[: self.channel.recv_into(_BUFFER)].tobytes()
            except BlockingIOError:
                return None
            except OSError:
                raise Gone from None
            if not data:
                raise Gone
            message = parse(data)
            if message.get("id") == wanted:
                return message
            self.stale += 1
            if self.stale > MAX_STALE:
                raise Flooded(f"more than {MAX_STALE} packets nobody asked for")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep the descriptors open while someone waits on them, dropped or not: their numbers must not be reused meanwhile."""
        self.waiters += 1
        try:
            yield
        finally:
            self.waiters -= 1
            self._close_when_idle()

    async def answer(self, wanted: str, timeout_s: float | None) -> dict[str, Any] | None:
        """Wait for the answer to `wanted`; None when the time is up. Raises `Gone` or `Flooded`.

        Death is read off the pidfd: a grandchild may hold the socket open for ever.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        while True:
            left = None if until is None else max(0.0, until - loop.time())
            if not self.alive:
                raise Gone
            with self.watched():
                fd = await first_ready((self.channel.fileno(), self.pidfd), left)
            if not self.alive:
                raise Gone
            message = self.receive(wanted)
            if message is not None:
                return message
            if fd == self.pidfd:
                raise Gone
            if fd is None:
                return None

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
        with self.watched():
            return await first_ready((self.pidfd,), timeout_s) is not None

    def drop(self) -> None:
        """Kill and let go; idempotent."""
        if not self.alive:
            return
        self.signal(signal.SIGKILL)
        self.alive = False
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if not self.alive and not self.waiters and self.pidfd >= 0:
            self.channel.close()
            os.close(self.pidfd)
            self.pidfd = -1

    def own_pid(self) -> int:
        """The pid inside the innermost namespace; 0 once the process is gone."""
        if not self.inner_pid and self.alive:
            with suppress(OSError), open(f"/proc/{self.pid}/status", encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.startswith("NSpid:"):
                        self.inner_pid = int(line.split()[-1])
        return self.inner_pid


@contextmanager
def handed_over(end: socket.socket) -> Iterator[int]:
    """The descriptor of a guest's end while it is being passed; closed here afterwards."""
    try:
        yield end.fileno()
    finally:
        end.close()
