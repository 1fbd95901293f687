"""Build one box from the template: namespaces, tree, limits, layers; then be its zygote."""

import errno
import os
import socket
import sys
import traceback
from typing import Any, NoReturn

from . import gateway, kernel, passage, randomness, strays, wire, zygote
from .walls import confine, landlock, tree

NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS


def start(order: dict[str, Any], channel: socket.socket, others: list[socket.socket]) -> int:
    """Fork a box from the template, which stays as it is; returns the zygote's pid in the template's eyes, 0 on failure.

    Failures inside are reported on `channel`. `others` are the template's sockets, which the box must not hold.
    """
    go_read, go_write = os.pipe()
    pid_read, pid_write = os.pipe()
    first = os.fork()
    if not first:
        _guarded(_first, order, channel, others, (go_read, go_write, pid_read, pid_write))
    os.close(go_read)
    os.close(pid_write)
    word = b""
    try:
        word = os.read(pid_read, 16)
        if order["rung"] == 1:
            os.waitpid(first, 0)
        os.write(go_write, b"g")
    except OSError:
        pass
    finally:
        os.close(pid_read)
        os.close(go_write)
    if order["rung"] != 1:
        return first
    # The kernel's list names the orphan that came to us; the box's own word for its pid is from inside its namespace.
    return int(word) if word else 0


def _guarded(action: Any, order: dict[str, Any], channel: socket.socket, *rest: Any) -> NoReturn:
    """Run one stage of the build; whatever goes wrong is told to the host and ends the process."""
    layers = confine.Layers(tolerant=order["rung"] == 4)
    try:
        action(order, layers, channel, *rest)
    except BaseException as error:  # the process ends here, and the host must learn why
        text = str(error) if isinstance(error, OSError) else traceback.format_exc()
        number = error.errno if isinstance(error, OSError) else None
        try:
            wire.send(channel, {"failed": layers.step, "text": text, "errno": number})
        except OSError:
            pass
    os._exit(1)


def _first(
    order: dict[str, Any], layers: confine.Layers, channel: socket.socket, others: list[socket.socket], pipes: tuple[int, ...]
) -> None:
    """In rung 1 an intermediary: a new pid namespace holds only processes forked after it was made."""
    for other in others:
        other.close()
    go_read, go_write, pid_read, pid_write = pipes
    os.close(go_write)
    os.close(pid_read)
    base = confine.vital_signs()
    if order["rung"] != 1:
        os.close(pid_write)
        _zygote(order, layers, channel, go_read, base)
    uid, gid = os.getuid(), os.getgid()
    layers.step = "namespaces"
    if uid == 0:
        kernel.unshare(NAMESPACES)
    else:
        kernel.unshare(NAMESPACES | kernel.CLONE_NEWUSER)
        confine.write_maps(uid, gid)
    pid = os.fork()
    if pid:
        os.write(pid_write, str(pid).encode())
        os._exit(0)
    os.close(pid_write)
    _guarded(_zygote, order, channel, go_read, base)


def _zygote(order: dict[str, Any], layers: confine.Layers, channel: socket.socket, go_read: int, base: tuple[int, int]) -> None:
    rung, uid = order["rung"], order["uid"]
    readable = order["readable"]
    root = order["root"]
    others = 0
    listener: socket.socket | None = None
    children = _open_children(rung)
    if rung == 1:
        layers.put("namespaces", tree.build, readable, order["scratch_mb"], uid)
        listener = layers.put("gateway", gateway.listen) if order["gateway"] else None
        root = tree.SCRATCH
        children = _open_children(rung)
    else:
        others = confine.processes_of(uid)
    if os.getuid() == 0:
        doors = passage.open_all([*readable, *sys.path]) if rung != 1 else {}
        layers.put("user", confine.become, uid)
        ways = passage.keep_needed(doors)
        passage.redirect(ways)
        readable = [ways.get(path, path) for path in readable]
        if rung == 1:
            layers.step = "user namespace"
            try:
                confine.enter_user_namespace(uid, uid)
            except OSError as error:
                layers.notes.append(f"no user namespace inside the box: {error}")
    layers.put("rlimits", confine.limit, order["memory_mb"], order["scratch_mb"], base, others)
    layers.put("privileges", confine.privileges)
    version = layers.put("landlock", confine.confine_files, rung, readable, root, gateway.PORT if listener else None) or 0
    layers.put("seccomp", confine.confine_calls, rung, tcp=listener is not None)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    os.read(go_read, 1)
    os.close(go_read)
    # Set last: a change of user clears it. In rung 1 the kernel then ends the whole box, elsewhere SIGTERM starts the sweep.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9 if rung == 1 else 15)
    os.chdir(root)
    os.environ["TMPDIR"] = "/tmp" if rung == 1 and os.access("/tmp", os.W_OK) else f"{root}/tmp"
    strays.reap()
    randomness.fix()
    scoped = version >= landlock.SCOPE_ABI
    ready = {"ready": True, "layers": layers.names, "notes": layers.notes, "landlock": version, "others": others, "root": root}
    wire.send(channel, ready, [] if listener is None else [listener.fileno()])
    if listener is not None:
        listener.close()
        os.environ.update(gateway.ENVIRONMENT)
    zygote.Zygote(channel, root, children, signals=rung == 1 or scoped or rung == 4, contained=rung == 1).live()


def _open_children(rung: int) -> int:
    """This process's list of children, opened while /proc is still in reach."""
    pid = os.getpid()
    try:
        return os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EACCES, errno.EPERM):
            raise
        return -1
