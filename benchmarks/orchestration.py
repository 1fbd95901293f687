"""Orchestration: what a model call costs the client, and whether 500 rollouts in flight keep a server busy; beside peers.

    python benchmarks/orchestration.py [--calls 12000] [--slots 500] [--latency-ms 200] [--repeats 3] [--json]

A stub server in a process and on a core of its own answers every call after the same time. Each client is a process of its own,
kept off that core, with `slots` rollouts in flight. CPU is the client's user and system time per model call, all threads, without
the warm-up. Busy is the mean number of requests in flight at the stub over `slots`, from the moment every slot has asked three
times (at first all ask in the same instant) until so few calls are left that fewer than `slots` rollouts may be unfinished: ramp-up
and drain do not count. A slot is empty from an answer until its next request, so 95 % at 200 ms leaves 10.5 ms per turn, and 500
slots can turn in 210 ms only if a call costs less than 0.42 ms of one core: far below the CPU budget.

Medians of the repeats. The peers live in an environment of their own, as openai-agents and litellm need different majors of
`openai`:

    python -m venv .venv-bench && .venv-bench/bin/pip install openai-agents 'openai[aiohttp]' smolagents
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "load"))

from task import CALLS_EACH, Load, Spent, chat_script, control

HERE = Path(__file__).parent
PEERS_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
REMEDY = "python -m venv .venv-bench && .venv-bench/bin/pip install openai-agents 'openai[aiohttp]' smolagents"
CPU_MS, BUSY = 1.5, 0.95
"""The budget of DESIGN.md."""


@dataclass(frozen=True, slots=True)
class Client:
    """One way of doing a task."""

    name: str
    task: str
    program: str
    variant: str = ""
    needs: str = ""
    """Module that a peer needs; empty for tirage."""


CLIENTS = (
    Client("tirage", "answer", "ours.py", "memory"),
    Client("openai-agents", "answer", "peer_openai_agents.py", "httpx", "agents"),
    Client("openai-agents, aiohttp", "answer", "peer_openai_agents.py", "aiohttp", "agents"),
    Client("smolagents", "answer", "peer_smolagents.py", "", "smolagents"),
    Client("tirage", "tool", "ours.py", "memory"),
    Client("tirage, traces on disk", "tool", "ours.py", "disk"),
    Client("tirage, token ids, traces on disk", "tool", "ours.py", "ids"),
    Client("(HTTP layer of tirage alone)", "tool", "ours.py", "http"),
    Client("openai-agents", "tool", "peer_openai_agents.py", "httpx", "agents"),
    Client("openai-agents, aiohttp", "tool", "peer_openai_agents.py", "aiohttp", "agents"),
    Client("smolagents", "tool", "peer_smolagents.py", "", "smolagents"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What one run of a client gave, or the medians of several."""

    calls: float
    wall_s: float
    cpu_ms: float
    """Per model call."""
    busy: float
    """In [0, 1]."""
    stub_cpu_ms: float
    """Of the server, per model call."""


def measure(client: Client, python: Path, *, calls: int, slots: int, latency_ms: float) -> Row:
    """Run `client` once against a fresh stub. Raises RuntimeError when it fails, answers wrongly or makes other calls."""
    rollouts = calls // CALLS_EACH[client.task]
    with _stub(_script(client), latency_ms) as url:
        load = Load(url=url, task=client.task, rollouts=rollouts, slots=slots, variant=client.variant, cores=_cores()[1])
        spent = Spent(**json.loads(_output([str(python), str(HERE / "load" / client.program), json.dumps(asdict(load))])))
        stub = control(url, "stats")
    calls = rollouts * CALLS_EACH[client.task]
    if stub["calls"] != calls or spent.correct != rollouts:
        raise RuntimeError(f"{client.name}: {stub['calls']} calls and {spent.correct} right answers, expected {calls} and {rollouts}")
    if stub["busy"] is None:
        raise RuntimeError(f"{calls} calls are too few to see {slots} slots in steady state; make at least {6 * slots}")
    return Row(
        calls=calls,
        wall_s=spent.wall_s,
        cpu_ms=1000 * spent.cpu_s / calls,
        busy=stub["busy"],
        stub_cpu_ms=1000 * stub["cpu_s"] / calls,
    )


def missing(client: Client, python: Path) -> str | None:
    """Why `client` cannot run, with the remedy; None when it can."""
    if not client.needs:
        return None
    if not python.exists():
        return f"no {python}; {REMEDY}"
    check = f"import {client.needs}, openai" + ("; from aiohttp import ClientSession" if client.variant == "aiohttp" else "")
    done = subprocess.run([str(python), "-c", check], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"{done.stderr.strip().splitlines()[-1]}; {REMEDY}"


def _script(client: Client) -> list[dict[str, Any]]:
    if client.variant == "ids":
        script: list[dict[str, Any]] = json.loads(_output([sys.executable, str(HERE / "load" / client.program), "ids-script"]))
        return script
    return chat_script(final_tool="final_answer" if client.needs == "smolagents" else None)


def _cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cores of the stub and of the client: one for the stub where there are two, since on one core each would interrupt the other."""
    cores = sorted(os.sched_getaffinity(0))
    return (tuple(cores[-1:]), tuple(cores[:-1] or cores))


@contextmanager
def _stub(script: list[dict[str, Any]], latency_ms: float) -> Iterator[str]:
    """A running stub's base URL."""
    command = [sys.executable, str(HERE / "load" / "stub.py"), str(latency_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            json.dump(script, process.stdin)
            process.stdin.close()
            os.sched_setaffinity(process.pid, _cores()[0])
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def _output(command: list[str]) -> str:
    """What a program printed last. Raises RuntimeError with the end of what it complained about."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"NO_PROXY": "127.0.0.1"})
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[1]).name} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def compare(options: argparse.Namespace) -> dict[tuple[str, str], Row | str]:
    """The median row of every client, or why it did not run. Clients take turns, so that all meet the same machine."""
    rows: dict[tuple[str, str], list[Row]] = {}
    found: dict[tuple[str, str], Row | str] = {}
    chosen = [client for client in CLIENTS if options.only in client.name]
    for client in chosen:
        reason = missing(client, options.peers_python)
        if reason is not None:
            found[client.task, client.name] = reason
    for _ in range(options.repeats):
        for client in chosen:
            if (client.task, client.name) in found:
                continue
            python = options.peers_python if client.needs else Path(sys.executable)
            calls = options.peer_calls if client.needs else options.calls
            try:
                row = measure(client, python, calls=calls, slots=options.slots, latency_ms=options.latency_ms)
            except RuntimeError as error:
                found[client.task, client.name] = str(error)
            else:
                rows.setdefault((client.task, client.name), []).append(row)
                print(f"  {client.task:<7}{client.name:<36}{row.cpu_ms:8.3f} ms/call{row.busy:8.1%} busy", file=sys.stderr)
    for key, several in rows.items():
        found.setdefault(key, Row(*(statistics.median(values) for values in zip(*(asdict(row).values() for row in several), strict=True))))
    return found


def show(found: dict[tuple[str, str], Row | str]) -> None:
    """Print the table."""
    print(f"\n{'task':<7}{'client':<36}{'calls':>7}{'wall s':>9}{'CPU ms/call':>13}{'x ours':>8}{'busy':>8}{'stub CPU ms':>13}")
    for client in CLIENTS:
        row, ours = found.get((client.task, client.name)), found.get((client.task, "tirage"))
        if isinstance(row, str):
            print(f"{client.task:<7}{client.name:<36}skipped: {row}")
        elif row is not None:
            ratio = f"{row.cpu_ms / ours.cpu_ms:.1f}" if isinstance(ours, Row) else "-"
            numbers = f"{row.calls:>7.0f}{row.wall_s:>9.2f}{row.cpu_ms:>13.3f}{ratio:>8}{row.busy:>8.1%}{row.stub_cpu_ms:>13.3f}"
            print(f"{client.task:<7}{client.name:<36}{numbers}")


def main() -> None:
    """Measure and print; exit 1 when the budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=12_000, help="of tirage")
    parser.add_argument("--peer-calls", type=int, default=3000, help="of the peers, which are slower")
    parser.add_argument("--slots", type=int, default=500, help="rollouts in flight")
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON, help="interpreter that has the peers installed")
    parser.add_argument("--only", default="", help="run only the clients with this in their name")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = compare(options)
    if options.json:
        plain = [
            {"task": task, "client": name, **(asdict(row) if isinstance(row, Row) else {"skipped": row})}
            for (task, name), row in found.items()
        ]
        print(json.dumps(plain))
    else:
        show(found)
    ours = [row for (_, name), row in found.items() if name.startswith("tirage")]
    kept = all(isinstance(row, Row) and row.cpu_ms <= CPU_MS and row.busy >= BUSY for row in ours)
    if ours and not options.json:
        print(
            f"\nbudget: at most {CPU_MS} ms of CPU per call and {BUSY:.0%} busy, for every line of tirage: {'kept' if kept else 'MISSED'}"
        )
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
