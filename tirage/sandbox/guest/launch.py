"""Confine this process, then become a program: for interpreters that are not forked from a template, Jupyter's kernels."""

import json
import os
import runpy
import sys
from typing import Any, NoReturn

from . import kernel, passage
from .walls import confine, landlock, seccomp, tree


def main(order: str, command: list[str]) -> NoReturn:
    """Put on the layers that need no namespace and go on as `command`; what is in force is written to the file `report`.

    A Python module of this interpreter (`-m NAME`) is run in place, because an ordinary user may not be able to reach root's
    interpreter by its path; anything else is executed.
    """
    settings: dict[str, Any] = json.loads(order)
    sys.path[:] = settings["path"]
    layers = confine.Layers(tolerant=settings["unsafe"])
    base = confine.vital_signs()
    others = confine.processes_of(settings["uid"])
    readable: list[str] = settings["readable"]
    try:
        if os.getuid() == 0:
            doors = passage.open_all([*readable, *sys.path])
            layers.put("user", confine.become, settings["uid"])
            ways = passage.keep_needed(doors)
            passage.redirect(ways)
            readable = [ways.get(path, path) for path in readable]
        layers.put("rlimits", confine.limit, settings["memory_mb"], settings["scratch_mb"], base, others, settings["processes"])
        layers.put("privileges", confine.privileges)
        devices = [f"/dev/{name}" for name in tree.DEVICES]
        layers.put("landlock", landlock.confine, [*tree.SYSTEM, *tree.FILES, *readable], [*settings["writable"], *devices])
        if landlock.own_scope():
            layers.names.append("landlock-scope")
        # Kernels speak over named unix sockets; Landlock keeps those of others out of reach only by their directories' modes.
        layers.put("seccomp", seccomp.install, unix_sockets=True, for_zmq=True)
    except OSError as error:
        _report(settings["report"], {"failed": layers.step, "text": str(error)})
        os._exit(1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    _report(settings["report"], {"layers": layers.names, "notes": layers.notes})
    if command[:1] == [sys.executable] and command[1:2] == ["-m"]:
        sys.argv = command[2:]
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        sys.exit(0)
    os.execvp(command[0], command)


def _report(path: str, message: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(message, file)
