"""Prefix-cache hits of a tree search on a real vLLM server, against what could have been hit.

    python benchmarks/prefix_cache.py [--problems 8] [--nodes 64] [--concurrency 8] [--block 32] [--strategy mcts] [--json]

The embedded model behind a vLLM server that tirage starts; one tree per problem, one after the other. The bound counts, for each call in
the order of sending, the tokens at the head of its prompt that stood so in an earlier call or its answer, in whole blocks. Hits are the
server's own counters (`vllm:prefix_cache_hits_total` of /metrics). Exit 1 below 90 % of the bound.
"""

import argparse
import asyncio
import json
import re
import sys
import urllib.request
from collections.abc import Sequence

from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.hints import HintPlan, load_library
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.core import Budget, HintPosition
from tirage.evaluation.prefixes import shared_prefixes
from tirage.judging.valuers import Execution
from tirage.models.base import Capabilities, Completion, Renderer, Request, Sampling
from tirage.models.embedded import nano_path
from tirage.models.vllm import open_vllm
from tirage.models.vllm.model import VLLMModel
from tirage.problems import GymSource, load_problems
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.search.strategies import strategy
from tirage.tools.python import PythonTool

GOAL = 0.9


class Noted:
    """A model that notes its calls in the order of sending."""

    def __init__(self, inner: VLLMModel) -> None:
        self.inner = inner
        self.calls: list[list[tuple[int, ...]]] = []

    @property
    def name(self) -> str:
        """The inner model's."""
        return self.inner.name

    @property
    def capabilities(self) -> Capabilities:
        """The inner model's."""
        return self.inner.capabilities

    @property
    def renderer(self) -> Renderer | None:
        """The inner model's."""
        return self.inner.renderer

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Note, pass on, note."""
        call = [request.ids or (), ()]
        self.calls.append(call)
        found = await self.inner.complete(request)
        call[1] = found[0].ids or ()
        return found

    async def close(self) -> None:
        """Stop the server."""
        await self.inner.close()


def counters(model: VLLMModel) -> dict[str, float]:
    """The server's prefix-cache counters, in tokens."""
    request = urllib.request.Request(model.process.base_url.removesuffix("/v1") + "/metrics")
    request.add_header("Authorization", f"Bearer {model.process.api_key}")
    with urllib.request.urlopen(request, timeout=30) as reply:
        text = reply.read().decode()
    return {
        name: sum(
            float(value) for value in re.findall(rf"^vllm:prefix_cache_{name}_total(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
        )
        for name in ("queries", "hits")
    }


async def serve_and_measure(arguments: argparse.Namespace) -> dict[str, float]:
    """The figures of a server that serves nothing else."""
    model = await open_vllm(nano_path(), name="nano", args=("--block-size", str(arguments.block), "--enable-prefix-caching"))
    try:
        return await measure(model, arguments)
    finally:
        await model.close()


async def measure(served: VLLMModel, arguments: argparse.Namespace) -> dict[str, float]:
    """Grow the trees; the figures. `served` caches prefixes in blocks of `arguments.block` tokens."""
    problems = load_problems(GymSource(families="nano", split="heldout", count=arguments.problems))
    tool = PythonTool()
    model = Noted(served)
    before = counters(served)
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        agent = Explorer(
            ModelPolicy(
                model,
                FencedPython(),
                sampling=Sampling(temperature=0.8, max_tokens=256),
                tools=(tool.spec,),
                hints=HintPlan(library=load_library(), positions=(HintPosition.START,)),
            ),
            tools={"python": tool},
            sandbox=sandbox,
            search=strategy(arguments.strategy),
            limits=PathLimits(concurrency=arguments.concurrency),
            search_options=SearchOptions(valuer=Execution(), budget=Budget(nodes=arguments.nodes)),
        )
        nodes = 0
        for number, problem in enumerate(problems):
            nodes += len((await agent.solve(problem, SolveContext(seed=number))).nodes) - 1
    after = counters(served)
    shared = shared_prefixes([(call[0], call[1]) for call in model.calls], block=arguments.block)
    hits = after["hits"] - before["hits"]
    return {
        "trees": len(problems),
        "nodes": nodes,
        "calls": len(model.calls),
        "prompt_tokens": shared.sent,
        "server_saw": after["queries"] - before["queries"],
        "bound": shared.bound,
        "hits": hits,
        "of_bound": hits / shared.bound if shared.bound else 0.0,
        "of_sent": hits / shared.sent if shared.sent else 0.0,
    }


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--block", type=int, default=32, help="the CPU back end wants multiples of 32")
    parser.add_argument("--strategy", default="mcts")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def main() -> int:
    """Measure, print, judge."""
    arguments = options()
    found = asyncio.run(serve_and_measure(arguments))
    if arguments.json:
        print(json.dumps(found))
    else:
        trees = f"{found['trees']} trees, {found['nodes']} nodes"
        print(f"{arguments.strategy}, {trees}, {arguments.concurrency} at once, blocks of {arguments.block} tokens")
        print(
            f"prompt tokens sent {found['prompt_tokens']:,} (the server saw {found['server_saw']:,.0f}), could be shared {found['bound']:,}"
        )
        print(f"were hit {found['hits']:,.0f}: {found['of_bound']:.1%} of the bound, {found['of_sent']:.1%} of all")
    return 0 if found["of_bound"] >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
