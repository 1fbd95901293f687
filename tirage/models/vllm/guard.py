"""Runs a command as this process's only child, and ends its whole process group when the one who asked for it is gone.

Started as a script: `python guard.py COMMAND...`, in a session of its own, with the read end of a pipe as standard
input. Three things end the group: the command's exit, SIGTERM, and the death of the starter, which is seen twice, as
the end of the pipe and as the kernel's parent-death signal (a forked relative of the starter can hold the pipe open).
Needs nothing but the standard library, so that any interpreter can run it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

GRACE_S = 8.0
"""Seconds between asking the group to end and killing it."""
_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    """Run `command`; return its exit code, or 143 when it was ended on purpose."""
    ending = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return 143
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch_pipe, args=(ending,), daemon=True).start()
    threading.Thread(target=_watch_child, args=(child, ending), daemon=True).start()
    ending.wait()
    code = child.poll()
    if code is None:
        # The group includes this process, which has a handler of its own and goes on.
        os.killpg(0, signal.SIGTERM)
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            pass
        code = 143
    sys.stdout.flush()
    # Workers that outlived their parent are still in the group; this process goes with them.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _others():
        os.killpg(0, signal.SIGKILL)
    return code


def _watch_pipe(ending: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    ending.set()


def _watch_child(child: "subprocess.Popen[bytes]", ending: threading.Event) -> None:
    child.wait()
    ending.set()


def _others() -> bool:
    """True when the process group has a living member besides this process."""
    group = os.getpgrp()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                state, _, pgrp = stat.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
