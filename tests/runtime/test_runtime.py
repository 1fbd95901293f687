"""Configuration in, open parts out: what is opened is closed, whatever happens, and what was open before stays open."""

import asyncio
from pathlib import Path
from typing import Any, Self

import pytest

from tests.cli.command_line import script
from tirage.agents.explorer import SolveContext
from tirage.core import Problem
from tirage.core.errors import ConfigError, SandboxError
from tirage.runtime.config import AgentConfig, BudgetConfig, RunConfig, SandboxOptions, SearchConfig
from tirage.runtime.runtime import Runtime
from tirage.testing.models import ScriptedModel
from tirage.tools.function import tool
from tirage.tools.toolset import toolset

PROBLEM = Problem(prompt="What is 6 * 7?", answer="42")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The scripted models that were closed."""
    found: list[Any] = []

    async def close(self: ScriptedModel) -> None:
        found.append(self)

    monkeypatch.setattr(ScriptedModel, "close", close)
    return found


async def test_parts_are_open_inside_the_block_only(tmp_path: Path, closed: list[Any]) -> None:
    runtime = Runtime(RunConfig(model=script(tmp_path, "\\boxed{42}")))
    with pytest.raises(RuntimeError, match="inside `async with"):
        runtime.agent()
    async with runtime:
        tree = await runtime.agent().solve(PROBLEM, SolveContext(seed=0))
        assert tree.trajectory(tree.chosen).response == "\\boxed{42}"
        model = runtime.model
        assert closed == []
    assert closed == [model]
    with pytest.raises(RuntimeError, match="inside `async with"):
        runtime.model  # noqa: B018


async def test_another_model_string_takes_the_place_of_the_configured_one(tmp_path: Path) -> None:
    async with Runtime(RunConfig(model="nano"), model=script(tmp_path, "\\boxed{1}")) as runtime:
        assert isinstance(runtime.model, ScriptedModel)


async def test_an_open_model_stays_open_and_its_companions_do_not(tmp_path: Path, closed: list[Any]) -> None:
    other = script(tmp_path, *["\\boxed{2}"] * 40)
    search = SearchConfig(strategy="ab-mcts", models=(other,), valuer="confidence", budget=BudgetConfig(nodes=20), concurrency=1)
    mine = ScriptedModel(["\\boxed{1}"] * 40)
    async with Runtime(RunConfig(agent=AgentConfig(search=search)), model=mine) as runtime:
        tree = await runtime.agent().solve(PROBLEM, SolveContext(seed=0))
        assert {node.move for node in tree.nodes[1:]} >= {"", other}
    assert len(closed) == 1
    assert closed[0] is not mine


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"sandbox": {"backend": "docker"}}, "needs an image"),
        ({"agent": {"tools_from": ["absent"]}}, "there is no folder absent"),
        ({"agent": {"name": "rstar", "models": ["nanoo"]}}, "did you mean 'nano'"),
    ],
)
async def test_what_was_opened_before_a_failure_is_closed(tmp_path: Path, closed: list[Any], config: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        async with Runtime(RunConfig.model_validate({"model": script(tmp_path, "x"), **config})):
            raise AssertionError("nothing can be asked")
    assert len(closed) == 1


class SlowParts:
    """Stands for a model and a sandbox that open; notes what happens to them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refuses: bool = False) -> None:
        self.told: list[str] = []
        self.model_begun, self.sandbox_begun, self.go = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.refuses = refuses
        monkeypatch.setattr("tirage.runtime.runtime.open_models", self.open_models)
        monkeypatch.setattr("tirage.runtime.runtime.open_interpreter", lambda _: self)

    async def open_models(self, *_: object) -> ScriptedModel:
        self.model_begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.told.append("model cancelled")
            raise
        self.told.append("model open")
        return ScriptedModel(["\\boxed{42}"])

    async def __aenter__(self) -> Self:
        self.sandbox_begun.set()
        if self.refuses:
            raise SandboxError("no isolation here")
        self.told.append("sandbox open")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.told.append("sandbox closed")


async def test_model_and_sandbox_open_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = SlowParts(monkeypatch)

    async def both_have_begun() -> None:
        await asyncio.gather(parts.model_begun.wait(), parts.sandbox_begun.wait())
        parts.go.set()

    watching = asyncio.create_task(both_have_begun())
    async with asyncio.timeout(20), Runtime(RunConfig()):
        assert sorted(parts.told) == ["model open", "sandbox open"]
    await watching


async def test_a_sandbox_that_refuses_closes_the_model_that_opens_meanwhile(monkeypatch: pytest.MonkeyPatch, closed: list[Any]) -> None:
    parts = SlowParts(monkeypatch, refuses=True)
    asyncio.get_running_loop().call_later(0.05, parts.go.set)
    with pytest.raises(SandboxError, match="no isolation here"):
        await Runtime(RunConfig()).__aenter__()
    assert parts.told == ["model open"]
    assert len(closed) == 1


async def test_an_interruption_while_opening_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = SlowParts(monkeypatch)
    entering = asyncio.create_task(Runtime(RunConfig()).__aenter__())
    await asyncio.gather(parts.model_begun.wait(), parts.sandbox_begun.wait())
    await asyncio.sleep(0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert parts.told == ["sandbox open", "model cancelled", "sandbox closed"]


async def test_further_tools_are_joined_with_those_of_the_configuration(tmp_path: Path) -> None:
    @tool
    def double(n: int) -> int:
        """Twice a number."""
        return 2 * n

    model = ScriptedModel(["```python\nprint(tools.double(n=21))\n```\n", "\\boxed{42}"])
    async with Runtime(RunConfig(sandbox=SandboxOptions(timeout_s=20)), model=model, tools=toolset(double)) as runtime:
        tree = await runtime.agent().solve(PROBLEM, SolveContext(seed=0))
    step = tree.nodes[1].step
    assert step is not None
    assert [item.text.strip() for item in step.observations] == ["42"]


async def test_an_oracle_is_for_those_who_ask_for_it() -> None:
    search = SearchConfig(strategy="weighted-n", options={"n": 2}, valuer="oracle", concurrency=1)
    config = RunConfig(agent=AgentConfig(search=search))
    async with Runtime(config, model=ScriptedModel(["\\boxed{41}", "\\boxed{42}"])) as runtime:
        with pytest.raises(ConfigError, match="valuer 'oracle' needs the verifiers of a run"):
            runtime.agent()
        tree = await runtime.agent(oracle=True).solve(PROBLEM, SolveContext(seed=0))
    assert [tree.values[node.index] for node in tree.nodes[1:]] == [0.0, 1.0]


@pytest.mark.parametrize("limits", [{"nodes": 2}, {"calls": 2}])
async def test_independent_chains_keep_to_the_budget_of_their_agent(limits: dict[str, int]) -> None:
    config = RunConfig(agent=AgentConfig(best_of=5, budget=BudgetConfig.model_validate(limits)))
    async with Runtime(config, model=ScriptedModel(["\\boxed{42}"] * 5)) as runtime:
        tree = await runtime.agent().solve(PROBLEM, SolveContext(seed=0))
    assert len(tree.nodes) == 3
    assert tree.ended.startswith("budget: ")


@pytest.mark.parametrize(("own", "given", "nodes"), [(None, 2, 2), (1, 2, 1), (3, None, 3)])
async def test_limits_of_each_problem_hold_for_a_search_too(tmp_path: Path, own: int | None, given: int | None, nodes: int) -> None:
    search = SearchConfig(strategy="mcts", valuer="none", concurrency=1, budget=BudgetConfig(nodes=own))
    agent = AgentConfig(search=search, budget=BudgetConfig(nodes=given))
    async with Runtime(RunConfig(model=script(tmp_path, *["\\boxed{1}"] * 9), agent=agent)) as runtime:
        tree = await runtime.agent().solve(PROBLEM, SolveContext(seed=0))
    assert (len(tree.nodes) - 1, tree.ended) == (nodes, "budget: nodes")
