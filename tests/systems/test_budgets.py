"""No strategy and no system overruns its budget: every model call is cut to what is left, critics and choosers too."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.systems.scripted_parts import prompt_of, scripted_parts
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.agents.valuation import Estimate, Valuer
from tirage.core import Budget, Meter, Problem, Trajectory, Usage
from tirage.judging.critic import Critic
from tirage.models.allowance import allowed, complete, spending
from tirage.models.base import Completion, Request, Sampling
from tirage.runtime.opening.agents import SYSTEM_OF
from tirage.search.strategies import STRATEGIES, strategy
from tirage.systems.registry import build, shipped
from tirage.testing.scripted import ScriptedModel
from tirage.tools.retrieval import Collection, SearchTool

STEP = 64
"""Tokens of a step at most."""
PROBLEM = Problem(prompt="What is 6 * 7?", answer="42")


class Endless(ScriptedModel):
    """Writes to its limit, whatever it is asked, and takes its time: earlier requests are answered later."""

    def __init__(self, mode: Any = "ids") -> None:
        super().__init__(self._say, mode=mode)
        self.sampled = 0

    def _say(self, request: Request) -> str:
        number = len(self.requests)
        if "<query>" in prompt_of(request) and "<document>" not in prompt_of(request) and number % 2:
            return "<query>What is 6 * 7?</query>"
        return f"I think about {number} and {number % 3}. Score: 7. " * 400

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        found = await super().complete(request)
        self.sampled += sum(completion.usage.tokens_out for completion in found)
        await asyncio.sleep(0.001 * (7 - len(self.requests) % 7))
        return found


def short(model: ScriptedModel, budget: int | None, **parts: Any) -> Any:
    """Parts whose steps are short and many at once."""
    search_options = SearchOptions() if budget is None else SearchOptions(budget=Budget(tokens_out=budget))
    made = scripted_parts(
        model, sampling=Sampling(temperature=1.0, max_tokens=STEP), limits=PathLimits(concurrency=16), search_options=search_options
    )
    return replace(made, **parts)


@pytest.mark.parametrize("budget", [100, 1000])
@pytest.mark.parametrize("above", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("name", shipped())
async def test_no_system_overruns_its_budget(name: str, above: bool, budget: int, tmp_path: Path) -> None:
    model = Endless()
    made_of = short(model, None if above else budget)
    meter = Meter(Budget(tokens_out=budget)) if above else None
    with Collection(tmp_path / "facts.sqlite") as collection:
        list(collection.add([("product", "6 * 7 is 42.")]))
        if name == "ur2":
            made_of = replace(made_of, tools={"search": SearchTool(collection)})
        tree = await build(name, made_of).solve(PROBLEM, SolveContext(seed=0, meter=meter))
    assert model.sampled > 0
    assert model.sampled <= budget + STEP, "the overrun is at most one step"
    assert tree.usage.tokens_out == model.sampled, "everything is metered"
    if meter is not None:
        assert (meter.spent.tokens_out, meter.reserved.tokens_out) == (model.sampled, 0)


def searching(name: str, model: ScriptedModel, budget: int, *, critic: bool) -> Explorer:
    made_of = short(model, budget)
    valuer = Critic(short(model, None).checker()) if critic else None
    return made_of.explorer(search=strategy(name), search_options=replace(made_of.search_options, valuer=valuer))


@pytest.mark.parametrize("critic", [False, True], ids=["free", "critic"])
@pytest.mark.parametrize("name", STRATEGIES)
async def test_no_strategy_overruns_its_budget(name: str, critic: bool) -> None:
    model, budget = Endless(), 600
    agent = build(SYSTEM_OF[name], short(model, budget, search=strategy(name))) if name in SYSTEM_OF else None
    tree = await (agent or searching(name, model, budget, critic=critic)).solve(PROBLEM, SolveContext(seed=0))
    assert 0 < model.sampled <= budget + STEP
    assert tree.usage.tokens_out == model.sampled
    if tree.ended:
        assert tree.ended == "budget: tokens_out"
        assert model.sampled > budget - STEP, "what was set aside and not used is given back"


@pytest.mark.parametrize("name", ["best-of-n", "mcts", "ab-mcts", "beam"])
@pytest.mark.parametrize("shared", [False, True])
async def test_a_tree_that_meets_its_budget_does_not_depend_on_how_fast_the_answers_come(name: str, shared: bool) -> None:
    class Hasty(Endless):
        def __init__(self, pace: int) -> None:
            super().__init__()
            self._pace = pace

        def _say(self, request: Request) -> str:
            seed = request.sampling.seed or 0
            return f"So it is \\boxed{{{seed % 4}}}." + "." * (seed % 90)

        async def complete(self, request: Request) -> tuple[Completion, ...]:
            await asyncio.sleep(0.002 * (len(self.requests) * self._pace % 5))
            return await ScriptedModel.complete(self, request)

    trees = []
    for pace in (1, 2, 3):
        agent = searching(name, Hasty(pace), 10_000 if shared else 700, critic=False)
        trees.append(await agent.solve(PROBLEM, SolveContext(seed=3, meter=Meter(Budget(tokens_out=700)) if shared else None)))
    shapes = [[(node.parent, node.sample, node.stop, node.step and node.step.text) for node in tree.nodes] for tree in trees]
    assert shapes[0] == shapes[1] == shapes[2]
    assert len({tree.ended for tree in trees}) == 1


class Talkative(Valuer):
    """A valuer that asks a model and does not say how much it samples."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model = model

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        request = Request(text="Good?", sampling=Sampling(max_tokens=5000, n=3))
        said = await complete(self._model, request)
        return Estimate(value=0.5, usage=sum((completion.usage for completion in said), Usage()))


async def test_a_valuer_that_does_not_say_how_much_it_samples_is_cut_to_what_is_left() -> None:
    model = Endless()
    made_of = short(model, 500)
    agent = made_of.explorer(search=strategy("mcts"), search_options=replace(made_of.search_options, valuer=Talkative(model)))
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert tree.usage.tokens_out == model.sampled <= 500


async def test_an_allowance_cuts_tokens_then_completions_and_is_no_larger_than_the_one_around_it() -> None:
    model = Endless()
    request = Request(text="x", sampling=Sampling(max_tokens=50, n=4))

    async def drawn() -> list[int]:
        return [completion.usage.tokens_out for completion in await complete(model, request)]

    assert (allowed(), await drawn()) == (None, [50] * 4)
    with spending(130):
        assert await drawn() == [32] * 4
        assert allowed() == 2
        with spending(1000):
            assert allowed() == 2
            assert await drawn() == [1, 1]
        assert allowed() == 0
        assert await drawn() == [1], "one token at least"
    assert allowed() is None
