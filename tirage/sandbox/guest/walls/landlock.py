"""Landlock: a file allow-list, no TCP but to the gateway, and signals that stay inside the branch. https://docs.kernel.org/userspace-api/landlock.html."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable

from .. import kernel

CREATE, ADD_RULE, RESTRICT = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
BIND_TCP, CONNECT_TCP = 1, 2
ALL_TCP = BIND_TCP | CONNECT_TCP
NET_ABI = 4
SCOPE_ABI = 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _PortRule(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """The kernel's Landlock version; 0 when it has none or has it switched off."""
    try:
        return kernel.syscall(CREATE, None, 0, 1, what="landlock")
    except OSError:
        return 0


def _ruleset(version: int, fs: int, net: int, scoped: int) -> int:
    attributes = _Ruleset(fs, net if version >= NET_ABI else 0, scoped if version >= SCOPE_ABI else 0)
    size = 24 if version >= SCOPE_ABI else 16 if version >= NET_ABI else 8
    return kernel.syscall(CREATE, ctypes.byref(attributes), size, 0, what="landlock_create_ruleset")


def _file_rights(version: int) -> int:
    last = 16 if version >= 5 else 15 if version >= 3 else 14 if version >= 2 else 13
    return (1 << last) - 1


def confine(readable: Iterable[str], writable: Iterable[str], port: int | None = None) -> int:
    """Allow reading and running below `readable`, everything but devices below `writable`, nothing else; returns the ABI.

    `port` is the one that TCP may connect to. Paths that do not exist are skipped. The caller has set no_new_privs. Raises `OSError`.
    """
    version = abi()
    if not version:
        raise OSError(errno.ENOSYS, "the kernel has no Landlock, or it is switched off")
    rights = _file_rights(version)
    ruleset = _ruleset(version, rights, ALL_TCP, 3)
    try:
        for path in readable:
            _allow(ruleset, path, READ & rights)
        for path in writable:
            _allow(ruleset, path, rights & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV))
        if port is not None and version >= NET_ABI:
            rule = _PortRule(CONNECT_TCP, port)
            kernel.syscall(ADD_RULE, ruleset, 2, ctypes.byref(rule), 0, what="landlock_add_rule port")
        kernel.syscall(RESTRICT, ruleset, 0, what="landlock_restrict_self")
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        anchor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(anchor).st_mode):
            rights &= FILE_RIGHTS
        rule = _PathRule(rights, anchor)
        kernel.syscall(ADD_RULE, ruleset, 1, ctypes.byref(rule), 0, what=f"landlock_add_rule {path}")
    finally:
        os.close(anchor)


def own_scope() -> bool:
    """Start a domain that can signal and trace only this process and what it will fork; False when no layer is left."""
    version = abi()
    if version < SCOPE_ABI:
        return False
    try:
        ruleset = _ruleset(version, 0, 0, 3)
    except OSError:
        return False
    try:
        kernel.syscall(RESTRICT, ruleset, 0, what="landlock_restrict_self")
    except OSError:
        return False
    finally:
        os.close(ruleset)
    return True
