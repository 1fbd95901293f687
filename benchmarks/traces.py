"""Trace store: append, read, index, grep, and whether reading stays flat in memory.

    python benchmarks/traces.py [--rollouts 10000] [--json]

Appending is compared with what one would write without a store, on the same rollouts in the same run: standard
`dataclasses.asdict` to JSON lines, and one SQLite row and commit per rollout. Budget: 20,000 spans/s.
"""

import argparse
import json
import math
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tirage.core import Finish, Observation, Problem, Rollout, Source, Span, Step, StopReason, ToolCall, Tree, Usage, Verdict
from tirage.traces import TraceStore
from tirage.traces.index import Query, TraceIndex
from tirage.traces.wire import to_line

BUDGET = 20_000
STEPS = 3
_OURS, _PLAIN, _SQLITE = "append [spans/s]", "asdict + json lines [spans/s]", "sqlite row + commit [spans/s]"
SPANS = 1 + (STEPS - 1) * 4 + 1


def rollouts(count: int) -> Iterator[Rollout]:
    """Single chains of three steps as a small model writes them: 150 prompt tokens, 60 to 160 per turn with log-probabilities."""
    draw = random.Random(0)
    words = ["total", "sum", "so", "we", "compute", "value", "result", "print", "range", "first", "then", "answer"]
    for sample in range(count):
        problem = Problem(prompt=f"Problem {sample // 4}: " + " ".join(draw.choices(words, k=40)), answer=str(sample))
        tree = Tree(problem_id=problem.id, policy_id="bench", seed=sample, prompt=(_span(draw, words, Source.PROMPT, 150),))
        for place in range(STEPS):
            written = _span(draw, words, Source.POLICY, draw.randint(60, 160))
            usage = Usage(tokens_in=200, tokens_out=100, model_calls=1, tool_calls=1)
            if place == STEPS - 1:
                tree.add(place, Step(spans=(written,), finish=Finish.STOP, usage=usage), stop=StopReason.ANSWERED)
                break
            glue = Span(Source.SCAFFOLD, "```output\n", (7, 8, 9))
            shown = _span(draw, words, Source.TOOL, 20)
            call = ToolCall(name="python", arguments=json.dumps({"code": written.text}))
            seen = Observation(text=shown.text, duration_s=draw.random())
            tree.add(place, Step(spans=(written, glue, shown, glue), finish=Finish.CALL, calls=(call,), observations=(seen,), usage=usage))
        verdict = Verdict(correct=sample % 3 == 0, score=float(sample % 3 == 0), verifier="math/1", answer=str(sample))
        tree.chosen = STEPS
        yield Rollout(
            key=f"bench/{problem.id}/{sample}",
            stage="bench",
            problem=problem,
            sample=sample,
            tree=tree,
            verdicts={STEPS: verdict},
            model="bench@0",
            sampling={"temperature": 1.0},
        )


def _span(draw: random.Random, words: list[str], source: Source, tokens: int) -> Span:
    ids = tuple(draw.randrange(50_000) for _ in range(tokens))
    logprobs = tuple(math.log(draw.random() + 1e-9) for _ in ids) if source is Source.POLICY else None
    return Span(source, " ".join(draw.choices(words, k=tokens)), ids, logprobs)


def _seconds(work: Callable[[], Any]) -> float:
    """Processor seconds, so that what else runs on the machine does not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _wall(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _append(folder: Path, sample: list[Rollout], fsync: Any) -> None:
    with TraceStore(folder, fsync=fsync) as store:
        for rollout in sample:
            store.append(rollout)


def _append_plain(path: Path, sample: list[Rollout]) -> None:
    with path.open("a") as file:
        for rollout in sample:
            file.write(json.dumps(asdict(rollout)) + "\n")
            file.flush()


def _append_sqlite(path: Path, sample: list[Rollout]) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE rollouts (key TEXT PRIMARY KEY, body BLOB)")
    for rollout in sample:
        db.execute("INSERT INTO rollouts VALUES (?, ?)", (rollout.key, to_line(rollout)))
        db.commit()
    db.close()


def _peak_mib(folder: Path, count: int) -> float:
    """Peak resident memory of a process that reads the first `count` rollouts."""
    command = [sys.executable, __file__, "--probe", str(folder), "--rollouts", str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _probe(folder: Path, count: int) -> None:
    for _, _ in zip(range(count), TraceStore(folder).read(), strict=False):
        pass
    # Not getrusage: its peak includes what the parent held before exec.
    print(next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))


def measure(count: int, folder: Path) -> dict[str, float]:
    """All numbers, by name; rates per processor second except where waiting for the disk is the point."""
    out: dict[str, float] = {}
    part = list(rollouts(min(count, 1000)))
    spans = len(part) * SPANS
    out[_OURS] = spans / min(_seconds(lambda n=n: _append(folder / f"interval{n}", part, "interval")) for n in range(3))
    out[_PLAIN] = spans / _seconds(lambda: _append_plain(folder / "plain.jsonl", part))
    out[_SQLITE] = spans / _seconds(lambda: _append_sqlite(folder / "plain.sqlite", part))
    out["append, fsync each [spans/s, wall]"] = 100 * SPANS / _wall(lambda: _append(folder / "each", part[:100], "append"))
    run = folder / "run"
    with TraceStore(run, fsync="close") as store:
        for rollout in rollouts(count):
            store.append(rollout)
        out["bytes per rollout"] = store.path.stat().st_size / count
    store = TraceStore(run)
    out["keys of all [rollouts/s]"] = count / _seconds(store.keys)
    out["read [rollouts/s]"] = count / _seconds(lambda: sum(1 for _ in store.read()))
    with TraceIndex(store) as index:
        out["index rebuild [rollouts/s]"] = count / _seconds(index.catch_up)
        out["index bytes / trace bytes"] = (run / "index.sqlite").stat().st_size / store.path.stat().st_size
        out["query: wrong ones [ms]"] = 1000 * _seconds(lambda: index.rows(Query(correct=False), limit=100))
        out["grep, rare text [ms]"] = 1000 * _seconds(lambda: index.grep("Problem 123:"))
        out["catch up with nothing new [ms]"] = 1000 * _seconds(index.catch_up)
    out["peak memory, tenth of the rollouts [MiB]"] = _peak_mib(run, max(1, count // 10))
    out["peak memory, all rollouts [MiB]"] = _peak_mib(run, count)
    return out


def main() -> None:
    """Measure and print; exit 1 when the append budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--probe", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe is not None:
        _probe(options.probe, options.rollouts)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.rollouts, Path(folder))
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<44}{value:>14,.1f}")
        ours = found[_OURS]
        print(f"\nappend: {ours / found[_PLAIN]:.1f}x asdict + json lines, {ours / found[_SQLITE]:.1f}x sqlite row + commit")
        print(f"budget: {BUDGET:,} spans/s appended, found {ours:,.0f}")
    sys.exit(0 if found[_OURS] >= BUDGET else 1)


if __name__ == "__main__":
    main()
