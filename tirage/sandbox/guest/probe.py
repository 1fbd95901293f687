"""Try each isolation layer in a process of its own and see whether it holds; for `tirage doctor`."""

import json
import os
import resource
import socket
from collections.abc import Callable
from typing import Any

from . import kernel
from .walls import confine, landlock, seccomp, tree

SPARE_UID = 65_500


def _namespaces() -> str:
    if os.getuid() == 0:
        kernel.unshare(_flags())
    else:
        uid, gid = os.getuid(), os.getgid()
        kernel.unshare(_flags() | kernel.CLONE_NEWUSER)
        confine.write_maps(uid, gid)
    return _in_child(_tree)


def _flags() -> int:
    return kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS


def _tree() -> str:
    tree.build([os.path.dirname(os.__file__)], 1, os.getuid())
    if os.path.exists("/home") or os.getpid() != 1:
        raise OSError("the new root still shows the host")
    return "left all namespaces, changed the root, saw nothing of the host" + ("" if os.path.isdir("/proc/1") else "; without /proc")


def _landlock() -> str:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    version = landlock.confine(tree.SYSTEM, [])
    try:
        os.listdir("/")
    except PermissionError:
        return f"ABI {version}; a directory off the list was refused"
    raise OSError("a directory off the list could still be read")


def _scope() -> str:
    if landlock.abi() < landlock.SCOPE_ABI:
        raise OSError(f"the kernel has Landlock ABI {landlock.abi()}; signals are scoped from {landlock.SCOPE_ABI}")
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if not landlock.own_scope():
        raise OSError("the scope layer was refused")
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:
        return "a signal to the parent was refused"
    raise OSError("the parent could still be signalled")


def _seccomp() -> str:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(unix_sockets=True)
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except PermissionError:
        return "an internet socket was refused"
    raise OSError("an internet socket could still be made")


def _limits() -> str:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    try:
        bytearray(2 << 30)
    except MemoryError:
        return "2 GB under a 1 GB limit were refused"
    raise OSError("2 GB were given under a 1 GB limit")


def _user() -> str:
    if os.getuid() != 0:
        return "not root, nothing to give up"
    confine.become(SPARE_UID)
    if os.getuid() != SPARE_UID:
        raise OSError("the user did not change")
    return f"from root to user {SPARE_UID}"


PROBES: dict[str, Callable[[], str]] = {
    "namespaces": _namespaces,
    "landlock": _landlock,
    "landlock-scope": _scope,
    "seccomp": _seccomp,
    "rlimits": _limits,
    "user": _user,
}


def _in_child(probe: Callable[[], str]) -> str:
    """Run a probe in a fork; its text, or its `OSError`."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer: dict[str, Any] = {"tried": probe()}
        except BaseException as error:
            answer = {"failed": f"{error}" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    answer = json.loads(text) if text else {"failed": "the probe's process died"}
    if "failed" in answer:
        raise OSError(answer["failed"])
    return str(answer["tried"])


def main() -> None:
    """Print one JSON object: layer to [available, what was seen]."""
    report = {}
    for name, probe in PROBES.items():
        try:
            report[name] = [True, _in_child(probe)]
        except OSError as error:
            report[name] = [False, str(error)]
    print(json.dumps(report))
