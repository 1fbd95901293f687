"""How long a start takes: `import tirage`, `tirage --help`, `tirage solve` on nano, beside the help of two peers where they are installed.

Usage: `python benchmarks/startup.py`. Prints medians of 5 runs: wall seconds (of `tirage solve`: until the answer is printed) and the CPU
seconds of the process and its children. Wall time needs a quiet machine; CPU time says what a busy one would have taken, roughly.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
BUDGETS_S = {"python -c pass": None, "import tirage": 0.05, "tirage --help": 0.3, "tirage solve (nano)": 4.0}
"""What each may take; that of the import is on top of Python's own start."""
ANSWER = b"answer:"
"""How the line begins with which `tirage solve` has answered."""


def commands() -> dict[str, list[str]]:
    """What is timed, by name."""
    python = sys.executable
    found = {
        "python -c pass": [python, "-c", "pass"],
        "import tirage": [python, "-c", "import tirage"],
        "tirage --help": [python, "-m", "tirage", "--help"],
        "tirage solve (nano)": [python, "-m", "tirage", "solve", "What is 4839 * 2716?"],
    }
    for peer in ("inspect", "smolagent"):
        path = shutil.which(peer, path=str(Path(python).parent)) or shutil.which(peer)
        if path is not None:
            found[f"{peer} --help"] = [path, "--help"]
        else:
            print(f"{peer} is not installed here, so its help is not timed")
    return found


def one_run(command: list[str], folder: str) -> tuple[float, float]:
    """Wall seconds until the answer is printed, or the end where there is none, and CPU seconds. Raises CalledProcessError on a failure."""
    began, answered = time.perf_counter(), None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if answered is None and line.startswith(ANSWER):
                answered = time.perf_counter() - began
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return answered or time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def medians_s(command: list[str], folder: str) -> tuple[float, float]:
    """The medians of wall and CPU seconds of `RUNS` runs, after one that fills the caches."""
    taken = [one_run(command, folder) for _ in range(RUNS + 1)][1:]
    return statistics.median(wall for wall, _ in taken), statistics.median(cpu for _, cpu in taken)


def main() -> None:
    """Print a line per command."""
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs at the start")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: medians_s(command, folder) for name, command in commands().items()}
    own = found["python -c pass"][0]
    for name, (wall, cpu) in found.items():
        budget = BUDGETS_S.get(name)
        spent = wall - own if name == "import tirage" else wall
        verdict = "" if budget is None else f"   {spent:.2f} of {budget:g} s{'' if spent <= budget else ', MISSED'}"
        print(f"{name:22} {wall:6.2f} s   CPU {cpu:6.2f} s{verdict}")


if __name__ == "__main__":
    main()
