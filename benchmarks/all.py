"""Run every benchmark of this folder in turn, each with its own default arguments, and sum up.

    python benchmarks/all.py [NAME ...]

A benchmark exits with 0 when its budgets are kept, 1 when one is missed or it broke, 2 when it cannot run as called (an
argument or a package is missing) and 3 when its data is not there; the last two are skipped with the reason it gave.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SKIPPED = {2, 3}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one benchmark ended."""

    name: str
    code: int
    """Exit code; negative for a signal."""
    seconds: float
    said: str
    """Last line it wrote to standard error; empty when there was none."""

    @property
    def verdict(self) -> str:
        """One phrase for the summary."""
        if self.code in SKIPPED:
            return f"skipped: {self.said or 'it gave no reason'}"
        if self.code == 0:
            return "ok"
        # A script ends with 1 on purpose or by an exception, whose name then begins the last line.
        return f"failed: {self.said}" if "Error" in self.said or self.code != 1 else "a budget was MISSED"


def run(script: Path) -> Outcome:
    """Run `script`; what it prints goes through as it comes."""
    started, said = time.monotonic(), ""
    with subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            said = line.strip() or said
    return Outcome(name=script.stem, code=process.returncode, seconds=time.monotonic() - started, said=said)


def scripts(folder: Path, names: list[str]) -> list[Path]:
    """The benchmarks of `folder` in alphabetical order, all or the named ones. Raises ValueError for an unknown name."""
    found = {path.stem: path for path in sorted(folder.glob("*.py")) if path.name != Path(__file__).name}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ValueError(f"no benchmark {', '.join(unknown)}; there are: {', '.join(found)}")
    return [path for name, path in found.items() if not names or name in names]


def main() -> int:
    """Run and sum up; 1 when something failed or missed a budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="run only these")
    try:
        chosen = scripts(HERE, parser.parse_args().names)
    except ValueError as error:
        parser.error(str(error))
    outcomes = []
    for script in chosen:
        print(f"\n== {script.stem} ==", flush=True)
        outcomes.append(run(script))
    print("\n== summary ==")
    for outcome in outcomes:
        print(f"{outcome.name:<24}{outcome.seconds:>8.1f} s  {outcome.verdict}")
    return 1 if any(outcome.code not in {0, *SKIPPED} for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
