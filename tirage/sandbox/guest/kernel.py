"""Linux system calls that the standard library of Python 3.11 does not offer, by ctypes."""

import ctypes
import errno
import os
import platform

CLONE_THREAD = 0x00010000
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_NEWCGROUP = 0x02000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_RECURSIVE = 0x8000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
NUMBERS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "seccomp": 317, "mount_setattr": 442},
    "aarch64": {"pivot_root": 41, "capset": 91, "seccomp": 277, "mount_setattr": 442},
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def number(name: str) -> int:
    """The system call number on this machine. Raises `OSError` (ENOSYS) on an architecture without a table."""
    try:
        return NUMBERS[MACHINE][name]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no system call table for {MACHINE}") from None


def checked(result: int, what: str) -> int:
    """Turn the C convention (-1 and errno) into `OSError` naming the call."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(nr: int, *arguments: object, what: str) -> int:
    """Call the kernel by number; integers are passed as longs."""
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return checked(_libc.syscall(ctypes.c_long(nr), *words), what)


def prctl(option: int, *arguments: int) -> int:
    """One prctl; missing arguments are zero."""
    words = [ctypes.c_ulong(item) for item in (*arguments, 0, 0, 0, 0)[:4]]
    return checked(_libc.prctl(ctypes.c_int(option), *words), f"prctl({option})")


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags`."""
    checked(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def has_threads() -> bool:
    """True when this process has more than one thread, seen by the kernel: C threads count too.

    unshare(CLONE_THREAD) does nothing in a process of one thread and is refused in any other; it needs no /proc. Only where
    `threads_need_proc` does the answer come from there.
    """
    if not _libc.unshare(ctypes.c_int(CLONE_THREAD)):
        return False
    return ctypes.get_errno() != errno.EPERM or len(os.listdir("/proc/self/task")) > 1


def threads_need_proc() -> bool:
    """True where unshare is refused to everybody, as container engines do."""
    return bool(_libc.unshare(ctypes.c_int(CLONE_THREAD))) and ctypes.get_errno() == errno.EPERM


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount; empty strings are passed as NULL."""
    words = [text.encode() if text else None for text in (source, target, kind)]
    checked(
        _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), data.encode() if data else None),
        f"mount {kind or source} on {target}",
    )


def unmount(target: str) -> None:
    """Detach a mount and everything below it."""
    checked(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the old root at `old`, which lies below `new`."""
    syscall(number("pivot_root"), new.encode(), old.encode(), what="pivot_root")


class _MountAttr(ctypes.Structure):
    _fields_ = (("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("userns", ctypes.c_uint64))


def restrict_mount(target: str, *, recursive: bool) -> None:
    """Make a mount read-only, without set-uid programs and devices; keeps what the kernel has locked."""
    bits = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
    attributes = _MountAttr(bits, 0, 0, 0)
    syscall(
        number("mount_setattr"),
        -100,
        target.encode(),
        AT_RECURSIVE if recursive else 0,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
        what=f"mount_setattr {target}",
    )


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def drop_capabilities() -> None:
    """Give up every capability, for this process and all it may become."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            # EINVAL: past the last capability. EPERM: an ordinary user, who has none to drop.
            if error.errno in (errno.EINVAL, errno.EPERM):
                break
            raise
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CapHeader(0x20080522, 0)
    data = (_CapData * 2)()
    syscall(number("capset"), ctypes.byref(header), ctypes.byref(data), what="capset")


def flush_c_streams() -> None:
    """Write out what C code left in stdio buffers."""
    _libc.fflush(None)


def end_domain() -> None:
    """SIGKILL to everything this process may signal, itself excepted; sound only under a Landlock signal scope of its own."""
    _libc.kill(ctypes.c_int(-1), ctypes.c_int(9))
