"""What a box gives up before it may run anything: user, privileges, files, system calls, resources."""

import os
import resource
from typing import Any

from .. import kernel
from . import landlock, seccomp, tree

HARD_PROCESSES = 4096
STACK_MB = 64
OPEN_FILES = 512


def vital_signs() -> tuple[int, int]:
    """Address space and data of this process in bytes; cells get their memory on top."""
    with open("/proc/self/statm", encoding="ascii") as file:
        fields = file.read().split()
    page = resource.getpagesize()
    return int(fields[0]) * page, int(fields[5]) * page


def processes_of(uid: int) -> int:
    """How many processes and threads the user runs now: the limit counts these too where the box has no user namespace."""
    total = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == uid:
                    total += len(os.listdir(f"/proc/{entry}/task"))
            except OSError:
                continue
    return total


def limit(memory_mb: int, scratch_mb: int, base: tuple[int, int], others: int, processes: int = HARD_PROCESSES) -> None:
    """Resource limits, hard ones: children cannot raise them. `others` are processes of the same user that count too."""
    extra = memory_mb << 20
    for kind, value in (
        (resource.RLIMIT_AS, base[0] + extra),
        (resource.RLIMIT_DATA, base[1] + extra),
        (resource.RLIMIT_FSIZE, scratch_mb << 20),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, STACK_MB << 20),
        (resource.RLIMIT_NPROC, processes + others),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        ceiling = resource.getrlimit(kind)[1]
        value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(kind, (value, value))


def become(uid: int) -> None:
    """From root to an ordinary user without groups."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def enter_user_namespace(uid: int, gid: int) -> None:
    """A user namespace that knows one user: processes are counted in it, and its capabilities reach nothing outside."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    kernel.unshare(kernel.CLONE_NEWUSER)
    write_maps(uid, gid)


def write_maps(uid: int, gid: int) -> None:
    """Map the one user onto itself."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


class Layers:
    """Puts layers on one after the other and keeps the record of what is in force."""

    def __init__(self, *, tolerant: bool) -> None:
        """`tolerant` notes a layer that cannot be had instead of failing; only for the unsafe rung."""
        self.tolerant = tolerant
        self.names: list[str] = []
        self.notes: list[str] = []
        self.step = ""

    def put(self, name: str, action: Any, *arguments: Any, **options: Any) -> Any:
        """Apply one layer; `OSError` of the layer propagates unless tolerant, with `step` telling where."""
        self.step = name
        try:
            result = action(*arguments, **options)
        except OSError as error:
            if not self.tolerant:
                raise
            self.notes.append(f"{name}: {error}")
            return None
        self.names.append(name)
        return result


def privileges() -> None:
    """No new privileges, no capabilities, not traceable by others of the same user."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def confine_files(rung: int, readable: list[str], root: str, port: int | None) -> int:
    """The Landlock allow-list of this rung, with the gateway's port if there is one; returns the ABI."""
    devices = [f"/dev/{name}" for name in tree.DEVICES]
    if rung == 1:
        return landlock.confine(["/"], [root, "/tmp", "/dev/shm", *devices], port)
    return landlock.confine([*tree.SYSTEM, *tree.FILES, *readable], [root, *devices])


def confine_calls(rung: int, *, tcp: bool) -> None:
    """The seccomp filter of this rung: named unix sockets only where the file tree is the box's own, TCP only with a gateway."""
    seccomp.install(unix_sockets=rung == 1, tcp=tcp)
