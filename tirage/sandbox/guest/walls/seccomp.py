"""A seccomp deny-list, assembled as a classic BPF program. https://docs.kernel.org/userspace-api/seccomp_filter.html."""

import ctypes
import errno
import struct

from .. import kernel
from . import syscalls

LOAD, AND, JUMP, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_SET, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NR, ARCH, ARGUMENTS = 0, 4, 16
X32_BIT = 0x40000000
NEW_NAMESPACES = 0x7E020080
AF_UNIX, AF_INET = 1, 2
SOCK_STREAM, SOCK_TYPE_MASK = 1, 0xF
IPPROTO_TCP = 6
TIOCSTI, TIOCLINUX = 0x5412, 0x541C


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _step(code: int, yes: int, no: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _refuse(code: int = errno.EPERM) -> bytes:
    return _step(RETURN, 0, 0, REFUSE | code)


def _load(offset: int) -> bytes:
    return _step(LOAD, 0, 0, offset)


def _argument(index: int) -> bytes:
    """Load the low half of an argument; all that is compared here is an int."""
    return _load(ARGUMENTS + 8 * index)


_PASS = _step(RETURN, 0, 0, ALLOW)


def _unless(test: int, value: int, code: int = errno.EPERM) -> bytes:
    """Allow when the loaded value passes `test`, refuse otherwise."""
    return _step(test, 0, 1, value) + _PASS + _refuse(code)


def _when(test: int, value: int) -> bytes:
    """Refuse when the loaded value passes `test`, allow otherwise."""
    return _step(test, 0, 1, value) + _refuse() + _PASS


def _tcp_or_unix() -> bytes:
    """Allow named unix sockets and TCP over IPv4."""
    return (
        _argument(0)
        + (_step(JUMP_EQUAL, 0, 1, AF_UNIX) + _PASS)
        + (_step(JUMP_EQUAL, 1, 0, AF_INET) + _refuse())
        + (_argument(1) + _step(AND, 0, 0, SOCK_TYPE_MASK) + _step(JUMP_EQUAL, 1, 0, SOCK_STREAM) + _refuse())
        + (_argument(2) + _step(JUMP_EQUAL, 0, 1, 0) + _PASS + _unless(JUMP_EQUAL, IPPROTO_TCP))
    )


def _sockets(*, unix_sockets: bool, tcp: bool, for_zmq: bool) -> bytes:
    if tcp:
        return _tcp_or_unix()
    if not unix_sockets:
        return _refuse()
    return _argument(0) + _unless(JUMP_EQUAL, AF_UNIX, errno.EOPNOTSUPP if for_zmq else errno.EPERM)


def _guards(table: dict[str, int], *, unix_sockets: bool, tcp: bool, for_zmq: bool) -> dict[int, bytes]:
    """What to run for a call whose arguments decide."""
    own_process = _argument(0) + _unless(JUMP_EQUAL, 0)
    guards = {
        # CLONE_THREAD alone changes nothing; it is how the guest asks the kernel whether threads are left.
        "unshare": _argument(0) + _unless(JUMP_EQUAL, kernel.CLONE_THREAD),
        "clone": _argument(0) + _when(JUMP_SET, NEW_NAMESPACES & ~0x80),
        # Its flags lie behind a pointer; ENOSYS makes the C library use clone.
        "clone3": _refuse(errno.ENOSYS),
        "socket": _sockets(unix_sockets=unix_sockets, tcp=tcp, for_zmq=for_zmq),
        "prctl": _argument(0) + _when(JUMP_EQUAL, kernel.PR_SET_DUMPABLE),
        "setpriority": _argument(0) + _step(JUMP_EQUAL, 1, 0, 0) + _refuse() + _argument(1) + _unless(JUMP_EQUAL, 0),
        "ioctl": _argument(1) + _step(JUMP_EQUAL, 1, 0, TIOCSTI) + _when(JUMP_EQUAL, TIOCLINUX),
    }
    for name in ("prlimit64", *(() if for_zmq else ("sched_setaffinity", "sched_setattr", "sched_setscheduler", "sched_setparam"))):
        guards[name] = own_process
    return {table[name]: body for name, body in guards.items()}


def assemble(machine: str, *, unix_sockets: bool, tcp: bool = False, signals: bool = True, for_zmq: bool = False) -> bytes:
    """The filter for `machine`. Foreign architectures and x32 kill the process.

    `unix_sockets` allows named unix sockets (socketpair always works), `tcp` these and TCP; `signals` False refuses every call that
    signals; `for_zmq` lets threads be scheduled, and refuses sockets in a way that libzmq survives.
    """
    table = syscalls.filtered(machine)
    refused = sorted(set(syscalls.denied(machine).values()) | (set() if signals else set(syscalls.signalling(machine).values())))
    program = _load(ARCH) + _step(JUMP_EQUAL, 1, 0, syscalls.AUDIT_ARCH[machine]) + _step(RETURN, 0, 0, KILL) + _load(NR)
    if machine == "x86_64":
        program += _step(JUMP_AT_LEAST, 0, 1, X32_BIT) + _step(RETURN, 0, 0, KILL)
    for nr, body in _guards(table, unix_sockets=unix_sockets, tcp=tcp, for_zmq=for_zmq).items():
        program += _step(JUMP_EQUAL, 0, len(body) // 8, nr) + body
    for nr in refused:
        program += _step(JUMP_EQUAL, 0, 1, nr) + _refuse()
    return program + _PASS


def install(*, unix_sockets: bool, tcp: bool = False, signals: bool = True, for_zmq: bool = False) -> None:
    """Put the filter on this process for good; no_new_privs is set. Raises `OSError`."""
    if kernel.MACHINE not in syscalls.AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no seccomp table for {kernel.MACHINE}")
    code = assemble(kernel.MACHINE, unix_sockets=unix_sockets, tcp=tcp, signals=signals, for_zmq=for_zmq)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    # Flag 4 (SPEC_ALLOW): without it old kernels switch on slow speculation guards for every filtered process.
    kernel.syscall(kernel.number("seccomp"), 1, 4, ctypes.byref(program), what="seccomp")
