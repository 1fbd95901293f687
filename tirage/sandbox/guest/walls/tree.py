"""The minimal file tree of a box: system libraries and the interpreter read-only, one sized tmpfs to write in."""

import os
import socket
from collections.abc import Iterable, Mapping

from .. import kernel

SCRATCH = "/box"
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types", "/etc/alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")
OLD = "/.host"


def outermost(paths: Iterable[str]) -> list[str]:
    """Existing paths, real and as given, without those below another one."""
    kept: list[str] = []
    for path in sorted({form for item in paths for form in (os.path.abspath(item), os.path.realpath(item))}, key=len):
        if os.path.exists(path) and path != "/" and not any(path == top or path.startswith(top + "/") for top in kept):
            kept.append(path)
    return kept


def build(readable: Iterable[str], scratch_mb: int, uid: int) -> None:
    """Make the new tree the root of this mount namespace. The caller is pid 1 of a new pid namespace. Raises `OSError`.

    `uid` will own what is writable. /proc shows only the box's own processes.
    """
    sources = {path: os.path.realpath(path) for path in (*outermost([*SYSTEM, *readable]), *filter(os.path.exists, FILES))}
    base = next(path for path in ("/tmp", "/mnt", "/var", "/home") if os.path.isdir(path))
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", base, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=4m")
    os.chdir(base)
    os.mkdir("." + OLD)
    kernel.pivot_root(".", "." + OLD)
    os.chdir("/")
    _bind_all(sources)
    _make_etc(uid)
    _make_dev()
    _make_scratch(scratch_mb, uid, sources)
    os.mkdir("/proc")
    _mount_proc()
    kernel.unmount(OLD)
    os.rmdir(OLD)
    kernel.restrict_mount("/", recursive=False)
    socket.sethostname("sandbox")


def _bind_all(sources: Mapping[str, str]) -> None:
    for path, real in sources.items():
        if path not in FILES and os.path.islink(OLD + path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.lexists(path):
                os.symlink(os.readlink(OLD + path), path)
            continue
        _bind(real, path)
        kernel.restrict_mount(path, recursive=True)


def _bind(source: str, path: str) -> None:
    """`source` has its links resolved: after the pivot they would lead nowhere."""
    if os.path.isdir(OLD + source):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb"):
            pass
    kernel.mount(OLD + source, path, flags=kernel.MS_BIND | kernel.MS_REC)


def _make_etc(uid: int) -> None:
    os.makedirs("/etc", exist_ok=True)
    for name, text in (
        ("passwd", f"sandbox:x:{uid}:{uid}::{SCRATCH}:/bin/sh\n"),
        ("group", f"sandbox:x:{uid}:\n"),
        ("hosts", "127.0.0.1 localhost sandbox\n"),
    ):
        with open(f"/etc/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _make_dev() -> None:
    os.mkdir("/dev")
    for name in DEVICES:
        _bind(f"/dev/{name}", f"/dev/{name}")
    os.symlink("/proc/self/fd", "/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")


def _make_scratch(scratch_mb: int, uid: int, sources: Iterable[str]) -> None:
    """One tmpfs holds the branches, /tmp and /dev/shm, so one size bounds them all.

    Where an interpreter or its packages lie below /tmp (a clone in a temporary folder), /tmp stays as it is, read-only:
    a tmpfs over it would hide them.
    """
    os.mkdir(SCRATCH)
    kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode=700,size={scratch_mb}m,nr_inodes=65536")
    for name, target in (("tmp", "/tmp"), ("shm", "/dev/shm")):
        os.mkdir(f"{SCRATCH}/{name}", 0o700)
        if any(path.startswith(target + "/") for path in sources):
            continue
        os.makedirs(target, exist_ok=True)
        kernel.mount(f"{SCRATCH}/{name}", target, flags=kernel.MS_BIND)
    if uid != os.getuid():
        for path in (SCRATCH, f"{SCRATCH}/tmp", f"{SCRATCH}/shm"):
            os.chown(path, uid, uid)


def _mount_proc() -> None:
    """A /proc of this pid namespace; where the host masks its own, the kernel refuses a new one and there is none."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    for options in ("subset=pid", ""):
        try:
            kernel.mount("proc", "/proc", "proc", flags, options)
            return
        except OSError:
            continue
