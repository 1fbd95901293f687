"""kill -9: a whole improvement round, killed at random moments and run again, ends as if nothing had happened.

    python benchmarks/kill_nine.py [--kills 10] [--seed 0] [--folder FOLDER] [--set KEY=VALUE ...] [--json]

A small round on the embedded model runs once undisturbed. The same round in another folder is killed (SIGKILL to `tirage
improve`; every second time its trainer too) and started again, until it has been killed `kills` times; then it may finish. Each
kill comes a random time after the round began to move on, drawn so that the kills spread over the whole round. Checked at the end:

- the deterministic part of report.json and the rows of both datasets are equal byte for byte;
- by the call log (begun.jsonl), no rollout that was stored when a kill came was begun again after it;
- no key is stored twice, every JSON file parses, and no scratch file is left.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "nano.yaml"
SMALL = ("problems.train.count=66", "problems.heldout.count=33", "problems.unseen.count=4", "training.epochs=1")
STARTUP_S = 4.0
"""About what a start takes before it moves on; longer makes the kills come a little earlier in the round."""


@dataclass(slots=True)
class Found:
    """What the kills did."""

    kills: list[str] = field(default_factory=list)
    """Where the round stood at each kill."""
    whole_s: float = 0.0
    """The undisturbed round."""
    begun: int = 0
    """Rollouts begun, in all starts together."""
    stored: int = 0
    redone: list[str] = field(default_factory=list)
    """Keys that were begun although they had been stored: must be empty."""
    faults: list[str] = field(default_factory=list)
    """Everything else that must not be, a sentence each."""


def command(folder: Path, settings: list[str]) -> list[str]:
    """The command line of the round."""
    overrides = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return [sys.executable, "-m", "tirage.cli.main", "improve", str(EXAMPLE), "--run", str(folder), *overrides]


def finish(folder: Path, settings: list[str]) -> float:
    """Let the round end; returns the seconds it took. Raises RuntimeError when it fails."""
    started = time.monotonic()
    done = subprocess.run(command(folder, settings), capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"the round in {folder} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return time.monotonic() - started


def keys(path: Path) -> list[str]:
    """The keys of the whole lines of a JSON lines file."""
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line)["key"] for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def moved(folder: Path) -> int:
    """Grows whenever the round does something."""
    return sum(path.stat().st_size for path in (folder / "begun.jsonl", *folder.glob("jobs/*/metrics.jsonl")) if path.exists())


def kill_after(folder: Path, settings: list[str], seconds: float, *, trainer: bool) -> bool:
    """Start the round and kill it `seconds` after it moved on; False when it ended before.

    `trainer`: kill a running training process as well.
    """
    before = moved(folder)
    with subprocess.Popen(command(folder, settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        while process.poll() is None and moved(folder) == before:
            time.sleep(0.05)
        try:
            process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    for record in folder.glob("jobs/*/job.json") if trainer else ():
        job = json.loads(record.read_text())
        if job["state"] in ("starting", "running") and job["pid"] is not None:
            with suppress(ProcessLookupError):
                os.kill(job["pid"], signal.SIGKILL)
    return True


def standing(folder: Path) -> str:
    """Where a killed round stands, for people."""
    stored = keys(folder / "traces.jsonl")
    jobs = [f"{record.parent.name} {json.loads(record.read_text())['state']}" for record in sorted(folder.glob("jobs/*/job.json"))]
    last = stored[-1].partition("/")[0] if stored else "nothing"
    return f"{len(stored)} rollouts stored, last of {last}" + "".join(f"; {job}" for job in jobs)


def torture(folder: Path, settings: list[str], *, kills: int, mean_s: float, seed: int) -> Found:
    """Kill the round in `folder` `kills` times, then let it finish."""
    found, draw = Found(), random.Random(seed)
    log, store = folder / "begun.jsonl", folder / "traces.jsonl"
    stood: list[tuple[int, set[str]]] = []
    for number in range(kills):
        if not kill_after(folder, settings, draw.uniform(0, 2 * mean_s), trainer=number % 2 == 1):
            found.kills.append("it had ended already")
            continue
        found.kills.append(standing(folder))
        stood.append((len(keys(log)), set(keys(store))))
        print(f"  kill {number + 1}: {found.kills[-1]}", file=sys.stderr, flush=True)
    finish(folder, settings)
    begun, stored = keys(log), keys(store)
    found.begun, found.stored = len(begun), len(stored)
    found.redone = sorted({key for place, finished in stood for key in begun[place:] if key in finished})
    if len(set(stored)) != len(stored):
        found.faults.append(f"{len(stored) - len(set(stored))} rollouts are stored twice")
    return found


def compare(whole: Path, killed: Path) -> list[str]:
    """What differs between an undisturbed round and a killed one, and what a kill left behind."""
    faults = []
    reports = [json.dumps(json.loads((folder / "report.json").read_bytes())["deterministic"]) for folder in (whole, killed)]
    if reports[0] != reports[1]:
        faults.append("the deterministic part of report.json differs")
    for name in ("hint-rft", "control"):
        rows = [(folder / "datasets" / name / "rows.jsonl").read_bytes() for folder in (whole, killed)]
        if rows[0] != rows[1]:
            faults.append(f"the rows of {name} differ")
    for path in sorted(killed.rglob("*.json*")):
        lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text(encoding="utf-8")]
        for number, line in enumerate(lines, 1):
            try:
                json.loads(line)
            except ValueError:
                faults.append(f"{path.relative_to(killed)}:{number} is not JSON")
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (whole, killed)]
    extra = sorted(name for name in names[1] - names[0] if name != "traces.torn")
    return faults + [f"{name} was left behind" for name in extra] + [f"{name} is missing" for name in sorted(names[0] - names[1])]


def main() -> None:
    """Run, check, print; exit 1 when something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="where both rounds are kept; a temporary folder by default")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="as of `tirage improve`")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        whole_s = finish(folder / "whole", options.settings)
        mean_s = max(0.5, (whole_s - STARTUP_S) / (options.kills + 1))
        found = torture(folder / "killed", options.settings, kills=options.kills, mean_s=mean_s, seed=options.seed)
        found.whole_s = whole_s
        found.faults += compare(folder / "whole", folder / "killed")
    sound = not found.redone and not found.faults
    if options.json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{len(found.kills)} kills in a round of {found.whole_s:.0f} s: {found.stored} rollouts stored, {found.begun} begun")
        print(f"stored ones begun again: {len(found.redone)}", *found.redone[:5])
        print("report and rows equal byte for byte, no torn file" if not found.faults else "\n".join(found.faults))
        print("kept" if sound else "MISSED")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
