"""The grading worker: a supervisor that has imported the graders, and a forked child that answers requests.

One JSON request per line on stdin, one JSON reply per line on stdout. Before each request the child arms a kernel timer whose
signal it does not handle, so that even a hang inside C code ends on time, whether or not anybody is still watching. The timer
counts CPU time: a busy machine changes no verdict. The supervisor then reports the failure and forks the next child, which takes
milliseconds because nothing is imported again.
Started by `workers.py` only: `python -m tirage.verification.grading.grader math|gym PARENT_PID`.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from tirage.verification.grading.guard import guard_gym, guard_sympy, refuse_side_effects

MEMORY_BYTES = 4 << 30
"""Address space of a child."""
_PR_SET_PDEATHSIG = 1
_RESTARTS_WITHOUT_WORK = 3
Grade = Callable[[dict[str, Any]], Any]


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; exit at once if that has happened already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def load(kind: str) -> Grade:
    """Import what grades `kind` and put it under guard. Imports come first because the guard stays for good."""
    guard_sympy()
    if kind == "math":
        from tirage.verification.grading.grade_math import grade_math

        return grade_math
    from tirage.verification.grading.grade_gym import grade_gym

    guard_gym()
    return grade_gym


def read_line(fd: int) -> bytes:
    """One line without its end; empty at end of input. Requests never overlap, so nothing is read beyond the line."""
    chunks: list[bytes] = []
    while chunk := os.read(fd, 1 << 16):
        chunks.append(chunk)
        if chunk.endswith(b"\n"):
            return b"".join(chunks)[:-1]
    return b""


def write_line(fd: int, reply: dict[str, Any]) -> None:
    """Write one reply completely."""
    data = json.dumps(reply).encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


def serve(grade: Grade, out: int, busy: mmap.mmap) -> None:
    """Answer requests until stdin ends. `busy[0]` is 1 while one is in the works."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    refuse_side_effects()
    while line := read_line(0):
        busy[0] = 1
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, request["timeout_s"])
        try:
            reply = {"value": grade(request)}
        except BaseException as error:  # a third-party grader may raise anything, SystemExit included; the host records it
            reply = {"failure": f"{type(error).__name__}: {str(error)[:300]}"}
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        busy[0] = 0
        write_line(out, reply)


def main(kind: str, parent: int) -> None:
    """Supervise children until one ends because stdin did."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setrecursionlimit(2000)
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    grade = load(kind)
    busy = mmap.mmap(-1, 1)
    write_line(out, {"value": "ready"})
    idle_deaths = 0
    while idle_deaths < _RESTARTS_WITHOUT_WORK:
        supervisor = os.getpid()
        child = os.fork()
        if child == 0:
            die_with(supervisor)
            serve(grade, out, busy)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and not busy[0]:
            return
        idle_deaths = 0 if busy[0] else idle_deaths + 1
        if busy[0]:
            busy[0] = 0
            write_line(out, {"failure": describe(status)})


def describe(status: int) -> str:
    """Say why a child ended."""
    if not os.WIFSIGNALED(status):
        return f"the grader exited with code {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    return "timeout" if number == signal.SIGPROF else f"the grader was ended by {signal.Signals(number).name}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
