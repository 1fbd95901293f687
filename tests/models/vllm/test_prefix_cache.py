"""A tree search on a real vLLM server hits its prefix cache nearly wherever it can."""

import pytest

from benchmarks.prefix_cache import GOAL, measure, options
from tirage.models.vllm import VLLMModel

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("vllm"),
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_mcts_with_eight_expansions_at_once_reaches_nine_tenths_of_the_bound(served: VLLMModel) -> None:
    found = await measure(served, options(["--problems", "3", "--nodes", "40", "--concurrency", "8"]))
    assert found["server_saw"] == found["prompt_tokens"]
    assert found["bound"] > 0.5 * found["prompt_tokens"]
    assert found["of_bound"] >= GOAL == 0.9
