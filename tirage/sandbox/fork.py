"""The forking sandbox: one preloaded template, boxes forked from it, sessions forked from each box's zygote."""

import asyncio
import json
import os
import resource
import secrets
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from tirage.core.errors import SandboxError
from tirage.sandbox import allowlist, totals
from tirage.sandbox.base import SandboxCapabilities
from tirage.sandbox.box import Box, Denied, Fork, FrozenState
from tirage.sandbox.config import SandboxConfig
from tirage.sandbox.frames import Flooded
from tirage.sandbox.gateway import Gateway
from tirage.sandbox.guests import Gone, Guest, handed_over, identify, readable, socket_pair
from tirage.sandbox.layers import REMEDIES, SANDBOX_UIDS
from tirage.sandbox.session import ForkSession
from tirage.sandbox.shelf import Shelf, half_of_memory_mb

START_S = 120.0
DESCRIPTORS = 65_536
BUILD_S = 30.0
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from guest import template; sys.path.pop(0); template.main(int(sys.argv[2]), sys.argv[3])"
)


class ForkSandbox:
    """Sessions in boxes of this host. Use as an async context manager, or `close` it."""

    def __init__(self, config: SandboxConfig) -> None:
        """Nothing is started yet."""
        self._config = config
        self._capabilities = SandboxCapabilities(backend="fork", rung=config.first_rung, can_branch=True, exact=True)
        self._template: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self.boxes: list[Box] = []
        self._shelf: Shelf[FrozenState] = Shelf(config.live_mb or half_of_memory_mb(), lambda state: state.box.evict(state))
        self._rung = config.first_rung
        self._fallbacks: list[str] = []
        self._lock = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def capabilities(self) -> SandboxCapabilities:
        """What this host gives; final after the first `open`."""
        return self._capabilities

    async def __aenter__(self) -> Self:
        """Start the template and the first box."""
        try:
            async with self._lock:
                await self._box_with_room()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        await self.close()

    async def open(self) -> ForkSession:
        """A fresh session. Raises `SandboxError` when the isolation demanded cannot be had."""
        for _ in range(3):
            async with self._lock:
                box = await self._box_with_room()
                box.opened += 1
                box.opening += 1
            home = box.new_name()
            try:
                guest, layers = await box.fork(box.origin, Fork(home=home, fill="", branch=True))
                return ForkSession(box, home, box.origin, guest, layers)
            except (Denied, Gone, Flooded) as error:
                # A box whose process table a cell has filled, or whose zygote is gone, gets no new sessions.
                box.retired = True
                reason = str(error) or "its zygote is gone"
                continue
            finally:
                box.opening -= 1
                self._used_up(box)
        raise SandboxError(f"no session could be opened: {reason}; see `tirage doctor`")

    async def close(self) -> None:
        """End everything, all sessions included; idempotent."""
        self._closed = True
        await asyncio.gather(*(box.close() for box in self.boxes), *self._ending)
        self.boxes.clear()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        template, self._template = self._template, None
        if template is not None:
            await _ended(template)

    def _used_up(self, box: Box) -> None:
        """End a box that has no session and will get none."""
        full = box.retired or box.opened >= self._config.sessions_per_box
        if full and not box.sessions and not box.opening and box in self.boxes and not self._closed:
            self.boxes.remove(box)
            task = asyncio.ensure_future(box.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _box_with_room(self) -> Box:
        if self._closed:
            raise SandboxError("the sandbox is closed; open a new one")
        for box in self.boxes:
            if not box.retired and box.opened < self._config.sessions_per_box:
                return box
        if self._channel is None:
            await self._start_template()
        box = await self._new_box()
        self.boxes.append(box)
        return box

    async def _start_template(self) -> None:
        _raise_descriptor_limit()
        host, guest = socket_pair()
        order = json.dumps({"path": import_path(), "preload": self._config.preload})
        with handed_over(guest) as fd:
            self._template = spawn_template(fd, order)
        try:
            message = await _first_message(host, START_S)
        except Gone:
            host.close()
            raise SandboxError(f"the sandbox template ended at once; try: {sys.executable} -S -c 'import ctypes'") from None
        if "failed" in message:
            host.close()
            raise _refusal(message)
        self._channel = host

    async def _new_box(self) -> Box:
        """A box on the strongest rung that the host gives and the configuration accepts."""
        last = 1 if self._config.network else 4 if self._config.unsafe else self._config.min_rung
        while True:
            try:
                box = await self._build(self._rung)
            except SandboxError as error:
                if self._rung >= last:
                    raise
                self._fallbacks.append(f"rung {self._rung} not available: {error}")
                self._rung = 2 if self._rung == 1 else 4
                continue
            self._capabilities = SandboxCapabilities(
                backend="fork", rung=self._rung, can_branch=True, exact=True, layers=box.layers, notes=(*self._fallbacks, *box.notes)
            )
            return box

    async def _build(self, rung: int) -> Box:
        assert self._channel is not None
        host, guest = socket_pair()
        uid = os.getuid() or secrets.choice(SANDBOX_UIDS)
        order = {
            "op": "box",
            "rung": rung,
            "uid": uid,
            "root": "" if rung == 1 else new_scratch(uid),
            "readable": [*readable_paths(), *self._config.readable, *(certificates() if self._config.network else ())],
            "gateway": bool(self._config.network),
            "memory_mb": self._config.memory_mb,
            "scratch_mb": self._config.scratch_mb,
        }
        handed: list[int] = []
        try:
            with handed_over(guest) as fd:
                socket.send_fds(self._channel, [json.dumps(order).encode()], [fd])
            if not await readable(host.fileno(), BUILD_S):
                raise SandboxError(f"the sandbox box was not built within {BUILD_S:g} s")
            message, pid, pidfd = identify(host, handed)
        except Gone:
            host.close()
            raise SandboxError("the sandbox box ended while it was built; see `tirage doctor`") from None
        except BaseException:
            host.close()
            raise
        if "failed" in message:
            host.close()
            os.close(pidfd)
            raise _refusal(message)
        allowed = tuple(map(allowlist.parse, self._config.network))
        gateways = [await Gateway.open(socket.socket(fileno=fd), allowed) for fd in handed]
        group = totals.make(pid, totals.new_name(secrets.token_hex(4)), memory_mb=self._config.most_mb, processes=totals.PROCESSES)
        return Box(
            zygote=Guest(host, pid, pidfd),
            config=self._config,
            rung=rung,
            group=group,
            gateway=gateways[0] if gateways else None,
            layers=(*message["layers"], "watch" if group is None else "cgroup"),
            notes=tuple(message["notes"]),
            others=int(message["others"]),
            root=message["root"],
            ask_template=self._tell_template,
            shelf=self._shelf,
            on_idle=self._used_up,
        )

    def _tell_template(self, message: Mapping[str, Any]) -> None:
        if self._channel is not None:
            with suppress(OSError):
                self._channel.send(json.dumps(message).encode())


def spawn_template(fd: int, order: str) -> subprocess.Popen[bytes]:
    """Start the template on its end of the control socket. It is a child of the calling thread and ends with it."""
    return subprocess.Popen(
        [sys.executable, "-S", "-s", "-P", "-c", BOOT, os.path.dirname(__file__), str(fd), order],
        pass_fds=(fd,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
        cwd="/",
    )


def _raise_descriptor_limit() -> None:
    """Each frozen process costs the host two descriptors; the usual soft limit of 1,024 is reached by a few hundred."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _first_message(channel: socket.socket, timeout_s: float) -> dict[str, Any]:
    if not await readable(channel.fileno(), timeout_s):
        raise SandboxError(f"the sandbox template did not start within {timeout_s:g} s")
    message, _, pidfd = identify(channel)
    os.close(pidfd)
    return message


async def _ended(process: subprocess.Popen[bytes]) -> None:
    pidfd = os.pidfd_open(process.pid)
    try:
        if not await readable(pidfd, 5.0):
            process.kill()
            await readable(pidfd, 5.0)
    finally:
        os.close(pidfd)
    process.wait()


def _refusal(message: dict[str, Any]) -> SandboxError:
    layer = str(message["failed"])
    remedy = REMEDIES.get(layer, "see `tirage doctor`")
    return SandboxError(f"sandbox layer {layer!r} failed: {message.get('text')}; remedy: {remedy}", boundary="sandbox")


def import_path() -> list[str]:
    """The directories from which sessions import: the interpreter's own and its site-packages, nothing of the project's."""
    tops = [os.path.realpath(path) for path in readable_paths()]
    return [path for path in sys.path if path and any(os.path.realpath(path).startswith(top + os.sep) for top in tops)]


def readable_paths() -> list[str]:
    """The interpreter and its packages."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, *(sysconfig.get_path(name) for name in names)})


def certificates() -> list[str]:
    """Where this interpreter looks for the certificates of authorities."""
    paths = ssl.get_default_verify_paths()
    return [path for path in {paths.cafile, paths.capath, paths.openssl_cafile, paths.openssl_capath} if path and os.path.exists(path)]


def clean_environment() -> dict[str, str]:
    """All that a session sees of the environment."""
    single = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        **dict.fromkeys(single, "1"),
    }


def new_scratch(uid: int) -> str:
    """A directory of the sandbox user below the host's temporary one, for the rungs without a mount namespace."""
    root = tempfile.mkdtemp(prefix=f"tirage-{os.getpid()}-")
    os.mkdir(f"{root}/tmp", 0o700)
    for path in (root, f"{root}/tmp"):
        os.chown(path, uid, uid)
    return root
