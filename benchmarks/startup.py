"""How long a start takes: `import tirage`, `tirage --help`, `tirage solve` on nano, beside the help of two peers where they are installed.

python benchmarks/startup.py        # medians of 5 runs in seconds; on a quiet machine
"""

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


def commands() -> dict[str, list[str]]:
    """What is timed, by name."""
    python = sys.executable
    found = {
        "python -c pass": [python, "-c", "pass"],
        "import tirage": [python, "-c", "import tirage"],
        "tirage --help": [python, "-m", "tirage", "--help"],
        "tirage solve (nano)": [python, "-m", "tirage", "solve", "What is 12 + 30?"],
    }
    for peer in ("inspect", "smolagent"):
        path = shutil.which(peer, path=str(Path(python).parent)) or shutil.which(peer)
        if path is not None:
            found[f"{peer} --help"] = [path, "--help"]
        else:
            print(f"{peer} is not installed here, so its help is not timed")
    return found


def median_s(command: list[str], folder: str) -> float:
    """The median wall time of `RUNS` runs, after one that fills the caches. Raises CalledProcessError when a run fails."""
    taken = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def main() -> None:
    """Print a line per command."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: median_s(command, folder) for name, command in commands().items()}
    own = found["python -c pass"]
    for name, seconds in found.items():
        budget = BUDGETS_S.get(name)
        spent = seconds - own if name == "import tirage" else seconds
        verdict = "" if budget is None else f"   {spent:.2f} of {budget:g} s{'' if spent <= budget else ', MISSED'}"
        print(f"{name:22} {seconds:6.2f} s{verdict}")


if __name__ == "__main__":
    main()
