"""Every system and every strategy on a model that says nothing sensible: it ends, within its budget, and keeps what happened."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.systems.scripted_parts import PROBLEM, scripted_parts
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.core import Budget, Tree
from tirage.core.tree import ROOT
from tirage.judging.valuers import Confidence
from tirage.models.base import Request, Sampling
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.search.strategies import STRATEGIES, strategy
from tirage.systems.registry import build, shipped
from tirage.testing.scripted import Reply, ScriptedModel
from tirage.tools.retrieval import Collection, SearchTool

PIECES = (
    *("", " ", "\n", "The", " answer", " is", " 17", "{", "}", '"', "```", "```python\n", "print(1)\n", "```output", "\n\n", "Step 1:"),
    *("Q1: [", "]", "#1:", "[EOQ]", "Ans:", "<step>", "</step>", "<answer>", "</answer>", "<|begin_of_query|>", "<|end_of_query|>"),
    *("\\boxed{", "Score: ", "Verdict: ", "correct", "stop", "give_up_and_restart", "<think>", "</think>", "é", "1", "?", "[1, 2]", "null"),
)
TOKENS, TURN = 1500, 120


def babble(seed: int, *, length: int) -> Callable[[Request], Reply]:
    """Pieces of everything at random: empty replies, cut ones, broken forms of all kinds."""
    draw = random.Random(seed)

    def say(request: Request) -> Reply:
        text = "".join(draw.choice(PIECES) for _ in range(draw.randrange(length)))
        return Reply(text=text, cut=draw.random() < 0.2)

    return say


def check(tree: Tree, most: int, step: int) -> None:
    assert len(tree.nodes) > 1
    assert tree.usage.tokens_out <= most + step
    assert all(node.error is None for node in tree.nodes), [node.error for node in tree.nodes if node.error]
    if tree.chosen == ROOT:
        assert tree.ended or all(node.step is not None for node in tree.nodes[1:])


@pytest.mark.parametrize("mode", ["ids", "chat"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", shipped())
async def test_a_system_ends_on_babble(name: str, seed: int, mode: Any, tmp_path: Path) -> None:
    model = ScriptedModel(babble(seed, length=14), mode=mode)
    parts: dict[str, Any] = {
        "sampling": Sampling(temperature=1.0, max_tokens=TURN),
        "search_options": SearchOptions(budget=Budget(tokens_out=TOKENS, model_calls=80)),
        "limits": PathLimits(concurrency=2),
    }
    options: dict[str, Any] = {"select": "arithmetic"} if name == "art" else {}
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        with Collection(tmp_path / "facts.sqlite") as collection:
            list(collection.add([("product", "6 * 7 is 42.")]))
            if name == "ur2":
                parts["tools"] = {"search": SearchTool(collection, mode="keywords")}
            agent = build(name, scripted_parts(model, sandbox=sandbox, **parts), options)
            tree = await asyncio.wait_for(agent.solve(PROBLEM, SolveContext(seed=seed)), 60)
    # A step may draw several answers (rStar), or be taken side by side with others.
    check(tree, TOKENS, step=TURN * 40)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("rstar", "plans")])
async def test_a_strategy_ends_on_babble(name: str) -> None:
    model = ScriptedModel(babble(7, length=14))
    made_of = scripted_parts(
        model,
        tools={},
        sampling=Sampling(temperature=1.0, max_tokens=TURN),
        search_options=SearchOptions(budget=Budget(tokens_out=TOKENS, nodes=60), valuer=Confidence()),
    )
    tree = await asyncio.wait_for(made_of.explorer(search=strategy(name)).solve(PROBLEM, SolveContext(seed=0)), 60)
    check(tree, TOKENS, step=TURN)
