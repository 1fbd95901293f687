"""The sandbox's benchmarks run and tell what they measured; their figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the forking box needs Linux")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=250, check=False, cwd=ROOT)


@pytest.mark.slow
def test_a_short_soak_leaks_nothing() -> None:
    done = run("benchmarks/sandbox_soak.py", "--cells", "120", "--sessions", "12", "--hostile", "0.1", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["wrong"]) == (0, [])
    assert told["cells"]["hostile"] > 0
    assert told["after"] == told["before"]


@pytest.mark.slow
def test_figures_are_written_with_the_budgets(tmp_path: Path) -> None:
    done = run("benchmarks/sandbox.py", "--quick", "--rounds", "4", "--peers-python", "/nowhere", "--json", str(tmp_path / "figures.json"))
    assert done.returncode in (0, 1), done.stderr[-2000:]
    told = json.loads((tmp_path / "figures.json").read_text())
    assert {"box", "session", "warm 1+1", "branch, 100 MB"} <= told["ours"]["rows"].keys()
    assert told["ours"]["numbers"]["live branches in 4 GB"] > 0
    assert "skipped" in told["peers"]["peers"]
    assert set(told["missed"]) <= {*told["ours"]["rows"], *told["ours"]["numbers"]}
