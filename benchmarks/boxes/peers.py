"""What others need for the same cells: one JSON object of milliseconds by peer and row. Runs in an interpreter that has the peers.

python benchmarks/boxes/peers.py ROUNDS IMAGE
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

CELLS = {
    "warm 1+1": "1+1",
    "print 10 kB": "print('x' * 10_000)",
    "1e6 additions": "t = 0\nfor k in range(10**6): t = t + k\nt",
}


def ms(action: Callable[[], object]) -> float:
    """Milliseconds of one action."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def jupyter(rounds: int) -> dict[str, list[float]]:
    """A kernel by jupyter_client's blocking helper."""
    from jupyter_client.manager import KernelManager

    rows: dict[str, list[float]] = {"cold start to first result": []}
    manager, client = None, None

    def start() -> None:
        nonlocal manager, client
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        client.execute_interactive("1+1", output_hook=lambda _: None)

    for number in range(3):
        rows["cold start to first result"].append(ms(start))
        if number < 2:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    for name, code in CELLS.items():
        run = lambda code=code: client.execute_interactive(code, output_hook=lambda _: None)  # noqa: E731
        rows[name] = [ms(run) for _ in range(rounds if name != "1e6 additions" else 5)]
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return rows


def smolagents(rounds: int) -> dict[str, list[float]]:
    """The interpreter that walks the syntax tree in the caller's own process: no isolation."""
    from smolagents.local_python_executor import LocalPythonExecutor

    def fresh() -> LocalPythonExecutor:
        executor = LocalPythonExecutor(additional_authorized_imports=[])
        executor.send_tools({})
        executor("1+1")
        return executor

    rows = {"cold start to first result": [ms(fresh) for _ in range(5)]}
    executor = fresh()
    for name, code in CELLS.items():
        rows[name] = [ms(lambda code=code: executor(code)) for _ in range(rounds if name != "1e6 additions" else 2)]
    return rows


def process(rounds: int) -> dict[str, list[float]]:
    """A fresh interpreter per cell: no state, no isolation."""

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    rows = {"cold start to first result": [ms(lambda: run("1+1")) for _ in range(10)]}
    for name, code in CELLS.items():
        rows[name] = [ms(lambda code=code: run(code)) for _ in range(min(rounds, 10))]
    return rows


def docker(rounds: int, image: str) -> dict[str, dict[str, list[float]]]:
    """An exec per cell in a running container, and a container per cell."""
    base = ["docker", "run", "--rm", "--network", "none"]
    held = subprocess.run([*base, "-d", image, "sleep", "600"], capture_output=True, text=True, check=True).stdout.strip()

    def run(command: list[str]) -> None:
        subprocess.run(command, capture_output=True, check=True)

    few = min(rounds, 8)
    try:
        execs = {
            name: [ms(lambda code=code: run(["docker", "exec", held, "python3", "-c", code])) for _ in range(few)]
            for name, code in CELLS.items()
        }
        runs = {"cold start to first result": [ms(lambda: run([*base, image, "python3", "-c", "1+1"])) for _ in range(few)]}
    finally:
        run(["docker", "rm", "-f", held])
    return {"docker exec": execs, "docker run": runs}


def main() -> None:
    """Measure all that is here; the others give the reason."""
    rounds, image = int(sys.argv[1]), sys.argv[2]
    found: dict[str, object] = {}
    for name, measure in (("jupyter kernel", jupyter), ("smolagents local", smolagents), ("subprocess", process)):
        try:
            found[name] = measure(rounds)
        except ImportError as error:
            found[name] = f"skipped: {error}"
    try:
        if shutil.which("docker") is None:
            raise OSError("no docker command")
        found |= docker(rounds, image)
    except (OSError, subprocess.CalledProcessError) as error:
        found["docker exec"] = found["docker run"] = f"skipped: {getattr(error, 'stderr', None) or error}"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
