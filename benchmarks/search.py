"""Bookkeeping of tree search: ask and tell on a world that answers at once, beside peers, in one run.

    python benchmarks/search.py [--sizes 100,1000,5000,50000] [--repeats 5] [--peer-limit-s 60] [--json]

Iterations per CPU second, cumulative from an empty tree to the given size, medians of the repeats; one trial is asked, answered with a
random score and told. Below it the marginal cost at 10,000 nodes against that at 100. Peers run in an environment of their own:

    python -m venv .venv-bench && .venv-bench/bin/pip install treequest

treequest's StandardMCTS once in place and once as its documentation calls it (every step copies the tree); llm-reasoners where it can be
imported. A peer that has not reached a size within the limit is reported by how far it came.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tirage.core import Finish, Source, Span, Step, Tree
from tirage.search.base import Search, SearchMaker
from tirage.search.strategies import strategy

HERE = Path(__file__).parent
PEERS_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
FLOOR = 50_000
"""Iterations per CPU second at 5,000 nodes."""
SPREAD = 2.0
"""Fastest against slowest size."""
STEP = Step(spans=(Span(Source.POLICY, "x"),), finish=Finish.CALL)
OURS = {
    "MCTS, UCT": ("mcts", {}),
    "MCTS, PUCT": ("puct", {}),
    "AB-MCTS": ("ab-mcts", {"width": 4}),
    "best-first": ("best-first", {}),
    "beam": ("beam", {"width": 64, "branch": 4}),
    "LATS": ("lats", {"iterations": 10**9, "depth": 10**6, "ahead": 1}),
}
PEER = """
import random, sys, time
kind, size, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
rng = random.Random(0)
if kind.startswith("treequest"):
    import treequest
    search = treequest.StandardMCTS(samples_per_action=1)
    state = search.init_tree()
    act = {"a": lambda parent: ("x", rng.random())}
    extra = {"inplace": True} if kind == "treequest in place" else {}
    began, done, wall = time.process_time(), 0, time.monotonic()
    while done < size and time.monotonic() - wall < limit:
        state = search.step(state, act, **extra)
        done += 1
    print(done, time.process_time() - began)
else:
    from reasoners import SearchConfig, WorldModel
    from reasoners.algorithm import MCTS
    class World(WorldModel):
        def init_state(self): return 0
        def step(self, state, action): return state + 1, {}
        def is_terminal(self, state): return False
    class Config(SearchConfig):
        def get_actions(self, state): return [0, 1, 2, 3]
        def fast_reward(self, state, action): return rng.random(), {}
        def reward(self, state, action, **_): return rng.random(), {}
    search = MCTS(n_iters=size, depth_limit=10, disable_tqdm=True)
    began = time.process_time()
    search(World(), Config())
    print(size, time.process_time() - began)
"""
PEERS = ("treequest in place", "treequest, default", "llm-reasoners")


def drive(search: Search, size: int, seed: int) -> float:
    """CPU seconds of `size` iterations."""
    rng = random.Random(seed)
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=())
    began = time.process_time()
    for _ in range(size):
        (trial,) = search.ask(tree, 1)
        node = tree.add(trial.parent, STEP, sample=trial.sample, move=trial.move)
        tree.values[node.index] = rng.random()
        search.tell(tree, trial, node)
    return time.process_time() - began


def rates(make: SearchMaker, sizes: list[int], repeats: int) -> dict[int, float]:
    """Iterations per CPU second, the medians; the sizes take turns, for processors change their speed."""
    found: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repeats):
        for size in sizes:
            # Small sizes are run often enough to be measured.
            times = max(1, 5_000 // size)
            found[size].append(size * times / sum(drive(make(seed=0), size, seed) for seed in range(times)))
    return {size: statistics.median(runs) for size, runs in found.items()}


def marginal(make: SearchMaker) -> float:
    """Cost of an iteration at 10,000 nodes against that at 100."""

    def between(low: int, high: int, times: int) -> float:
        spent = [(drive(make(seed=0), high, seed) - drive(make(seed=0), low, seed)) / (high - low) for seed in range(times)]
        return statistics.median(spent)

    return between(9_000, 11_000, 9) / between(50, 150, 400)


def peer(kind: str, size: int, limit_s: float) -> tuple[int, float] | str:
    """Iterations done and CPU seconds, or why there are none."""
    if not PEERS_PYTHON.exists():
        return "no .venv-bench"
    done = subprocess.run(
        [str(PEERS_PYTHON), "-c", PEER, kind, str(size), str(limit_s)],
        capture_output=True,
        text=True,
        timeout=10 * limit_s + 60,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return next((line for line in reversed(lines) if "Error" in line), "failed")[:80]
    count, seconds = done.stdout.split()
    return int(count), float(seconds)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,1000,5000,50000")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-limit-s", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sizes = [int(word) for word in arguments.sizes.split(",")]
    table: dict[str, dict[int, float | str]] = {}
    for label, (name, options) in OURS.items():
        make = strategy(name, options)
        table[label] = {**rates(make, sizes, arguments.repeats)}
    for kind in PEERS:
        table[kind] = {}
        for size in [size for size in sizes if size <= 5_000]:
            found = peer(kind, size, arguments.peer_limit_s)
            if isinstance(found, str):
                table[kind][size] = found
                break
            count, seconds = found
            table[kind][size] = count / seconds if count == size else f"{count / seconds:,.0f} (stopped at {count:,})"
            if count < size:
                break
    growth = marginal(strategy("mcts"))
    uct = [value for value in table["MCTS, UCT"].values() if isinstance(value, float)]
    at = table["MCTS, UCT"].get(5_000)
    wrong = []
    if isinstance(at, float) and at < FLOOR:
        wrong.append(f"{at:,.0f} iterations/s at 5,000 nodes, below {FLOOR:,}")
    if max(uct) / min(uct) > SPREAD:
        wrong.append(f"sizes differ by {max(uct) / min(uct):.2f}x, above {SPREAD}x")
    if arguments.json:
        print(json.dumps({"iterations_per_cpu_s": table, "marginal_10000_to_100": growth, "wrong": wrong}))
    else:
        print("iterations per CPU second".ljust(26) + "".join(f"{size:>16,}" for size in sizes))
        for label, row in table.items():
            print(label.ljust(26) + "".join(f"{value:>16,.0f}" if isinstance(value, float) else f"  {value}" for value in row.values()))
        print(f"\nUCT: fastest size {max(uct) / min(uct):.2f}x the slowest; at 10,000 nodes one costs {growth:.2f}x one at 100")
        print("budgets kept" if not wrong else "MISSED: " + "; ".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
