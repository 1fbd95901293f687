"""A tree search on a real vLLM server hits its prefix cache nearly wherever it can."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.vllm.test_model import PYTHON

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(PYTHON is None, reason="no vLLM environment; build it with: scripts/vllm_env.sh"),
]


def test_mcts_with_eight_expansions_at_once_reaches_nine_tenths_of_the_bound() -> None:
    command = [sys.executable, "benchmarks/prefix_cache.py", "--problems", "3", "--nodes", "40", "--concurrency", "8", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    found = json.loads(done.stdout)
    assert found["server_saw"] == found["prompt_tokens"]
    assert found["bound"] > 0.5 * found["prompt_tokens"]
    assert found["of_bound"] >= 0.9
    assert done.returncode == 0
