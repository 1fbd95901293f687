"""Every published system and every strategy on a real model that babbles: it ends within its budget, runs what it wrote, and says why.

Set TIRAGE_SMOLLM2 to the folder of SmolLM2-135M-Instruct (scripts/smollm2.sh makes one).
"""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tirage.agents.explorer import SolveContext
from tirage.core import Problem, StopReason, Tree
from tirage.core.step import Finish
from tirage.core.tree import ROOT
from tirage.models.base import Model
from tirage.runtime.config import AgentConfig, BudgetConfig, ModelConfig, SamplingConfig, SandboxOptions, SearchConfig
from tirage.runtime.opening.agents import OpenParts, make_agent
from tirage.runtime.opening.models import open_model
from tirage.runtime.opening.sandboxes import open_interpreter
from tirage.runtime.opening.toolbox import open_tools
from tirage.sandbox.base import Sandbox
from tirage.search.strategies import STRATEGIES
from tirage.systems.registry import shipped

FOLDER = os.environ.get("TIRAGE_SMOLLM2", "")
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="set TIRAGE_SMOLLM2 to the folder that scripts/smollm2.sh makes"),
    pytest.mark.timeout(600),
]
PROBLEM = Problem(prompt="What is 17 * 23 - 4?", answer="387")
TURN = 48
"""Tokens per turn: enough for a short block of code, few enough for a slow machine."""
BUDGET = int(os.environ.get("TIRAGE_REAL_TOKENS", "96"))
"""Sampled tokens of one tree."""
RUNS_CODE = ("start", "tir", "dfsdt", "lats")
"""Systems whose policy has the interpreter."""
CLOSED = re.compile(r"^```python\n.*?^```\s*$", re.MULTILINE | re.DOTALL)


class Bench:
    """A model and a sandbox, open for the whole module, on an event loop of their own."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.model: Model = self.runner.run(open_model(f"hf/{FOLDER}", ModelConfig(threads=1)))
        self.sandbox: Sandbox = open_interpreter(SandboxOptions())
        self.runner.run(self.sandbox.__aenter__())

    def solve(self, config: AgentConfig, problem: Problem = PROBLEM) -> Tree:
        """The tree of one problem."""

        async def solved() -> Tree:
            async with open_tools(config, self.model) as tools:
                sampling = SamplingConfig(temperature=0.7, max_tokens=TURN)
                agent = make_agent(OpenParts(model=self.model, sandbox=self.sandbox, tools=tools), config, sampling)
                return await agent.solve(problem, SolveContext(seed=1))

        return self.runner.run(solved())

    def close(self) -> None:
        """End both."""
        self.runner.run(self.sandbox.__aexit__(None, None, None))
        self.runner.run(self.model.close())
        self.runner.close()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    opened = Bench()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tirage.tools.retrieval import Collection

    path = tmp_path_factory.mktemp("facts") / "facts.sqlite"
    with Collection(path) as made:
        list(made.add([("product", "17 * 23 is 391."), ("rock", "Basalt is a dark rock.")]))
    return path


SMALL: dict[str, dict[str, Any]] = {
    "tir": {"n": 2},
    "lats": {"n": 2, "iterations": 3},
    "rstar": {"samples": 2, "last": 2, "rollouts": 3},
    "cpl": {"n": 2, "root": 2, "iterations": 4},
    "t1": {"n": 2},
    "critic-filter": {"n": 2},
    "art": {"select": "arithmetic", "tasks": 1},
    "halo": {"roles": 1, "subtasks": 1, "iterations": 1},
}


def check(tree: Tree, most: int, step: int) -> None:
    """What has to hold of a tree, whatever the model wrote; `step`: the tokens that one step may sample."""
    assert len(tree.nodes) > 1
    assert tree.usage.tokens_out <= most + step
    for node in tree.nodes[1:]:
        assert node.error is None, f"{node.move}: {node.error}"
        assert node.step is not None
    if tree.chosen == ROOT:
        assert tree.ended, "a tree without an answer says why it ended"
    else:
        path = tree.trajectory(tree.chosen)
        assert path.response.strip() or path.stop in (StopReason.MALFORMED, StopReason.LENGTH) or tree.notes


def unrun(tree: Tree) -> list[str]:
    """Turns that came to their end with a Python block written and closed, and nothing run."""
    found = []
    for node in tree.nodes[1:]:
        step = node.step
        if step is not None and CLOSED.search(step.policy_text) and step.finish in (Finish.STOP, Finish.CALL) and not step.observations:
            found.append(step.policy_text)
    return found


@pytest.mark.parametrize("name", shipped())
def test_every_system_ends_within_its_budget(bench: Bench, collection: Path, name: str) -> None:
    config = AgentConfig(name=name, options=SMALL.get(name, {}), budget=BudgetConfig(tokens=BUDGET))
    if name == "ur2":
        config = AgentConfig(name=name, budget=BudgetConfig(tokens=BUDGET), tools=({"index": collection},))
    tree = bench.solve(config)
    check(tree, BUDGET, step=TURN * 4)
    if name in RUNS_CODE:
        assert not unrun(tree)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("rstar", "plans")])
def test_every_strategy_ends_within_its_budget(bench: Bench, name: str) -> None:
    search = SearchConfig(strategy=name, valuer="confidence", budget=BudgetConfig(tokens=BUDGET), max_steps=4, concurrency=4)
    check(bench.solve(AgentConfig(search=search)), BUDGET, step=TURN * 4)
