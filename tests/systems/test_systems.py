"""Every published system: nothing in it can reach a reference answer, unless it declares that it sees one."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.systems.scripted_parts import prompt_of, scripted_parts
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core import Budget
from tirage.judging.critic import Critic
from tirage.judging.generative_reward import GenerativeReward
from tirage.judging.judges import Debiased, Shown
from tirage.judging.presentation import blind
from tirage.judging.valuers import Batched, Confidence, Signed, Stages
from tirage.models.base import Request
from tirage.runtime.config import SamplingConfig
from tirage.search.strategies import strategy
from tirage.systems import realcritic, scrit
from tirage.systems.debate import Debate
from tirage.systems.lats import Rating, Reflecting
from tirage.systems.registry import build, shipped
from tirage.testing.canary import Canary
from tirage.testing.scripted import ScriptedModel
from tirage.tools.retrieval import Collection, SearchTool
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels

SAID = "Step 1: 6 * 7 = 42. Step 1 is correct.\nConclusion: correct\nVerdict: correct\nScore: 7\nSo the answer is \\boxed{42}."
"""Something for every role."""


def says(request: Request) -> str:
    if "<|begin_of_query|>" in prompt_of(request) and "<|begin_of_documents|>" not in prompt_of(request):
        return "<|begin_of_query|>What is 6 * 7?<|end_of_query|>"
    return " correct" if request.tag == "reward" else SAID


@pytest.mark.parametrize("name", shipped())
async def test_the_reference_is_out_of_reach_of_every_system(name: str, tmp_path: Path) -> None:
    canary, model = Canary(), ScriptedModel(says)
    made_of = scripted_parts(model, search_options=SearchOptions(budget=Budget(model_calls=60)))
    with Collection(tmp_path / "facts.sqlite") as collection:
        list(collection.add([("product", "6 * 7 is 42.")]))
        if name == "ur2":
            made_of = replace(made_of, tools={"search": SearchTool(collection)})
        agent = build(name, made_of)
        canary.guard(agent)
        tree = await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert canary.handed > 1
    assert len(tree.nodes) > 1


def test_every_system_says_how_its_paper_samples() -> None:
    for told in (spec.sampling for spec in shipped().values()):
        SamplingConfig(**told)
    assert shipped()["rstar"].sampling == {"temperature": 0.8, "top_p": 0.95, "top_k": 40, "max_tokens": 1024}
    assert shipped()["start"].sampling["max_tokens"] == 32768


@pytest.mark.parametrize("mode", get_args(realcritic.CritiqueMode))
async def test_the_reference_is_out_of_reach_of_critics_in_every_mode(mode: str) -> None:
    canary, model = Canary(), ScriptedModel(says)
    agent = realcritic.build(scripted_parts(model), mode=mode, given={canary.problem.id: "It is \\boxed{41}."})
    canary.guard(agent)
    await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert canary.handed == 2


VALUERS: dict[str, Any] = {
    "rating": Rating,
    "reflections": lambda model: Reflecting(Signed(Rating(model)), model),
    "critic": lambda model: Critic(scripted_parts(model).checker()),
    "generative reward": GenerativeReward,
    "stages": lambda model: Stages(Confidence(), Rating(model)),
    "behind wrappers": lambda model: Debiased(Rating(model), lambda judge: Shown(judge, blind)),
    "in batches": lambda model: Batched(lambda pairs: [0.5 for problem, _ in pairs if problem.answer is None]),
}


@pytest.mark.parametrize("name", VALUERS)
async def test_the_reference_is_out_of_reach_of_every_valuer(name: str) -> None:
    canary, model = Canary(), ScriptedModel(says)
    agent = scripted_parts(model, search_options=SearchOptions(valuer=VALUERS[name](model))).explorer(
        search=strategy("best-of-n", {"n": 2, "vote": "value"})
    )
    canary.guard(agent)
    tree = await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert len(tree.values) == 2


@pytest.mark.parametrize("kind", [Debate, scrit.Scrit])
async def test_a_play_that_declares_to_see_the_reference_is_found(kind: type[Debate | scrit.Scrit]) -> None:
    canary, model = Canary(), ScriptedModel(says)
    agent = WorkflowAgent(kind() if kind is Debate else scrit.Scrit(given={canary.problem.id: "41"}), RoleModels(model=model))
    canary.guard(agent)
    await agent.solve(canary.problem, SolveContext(seed=0))
    with pytest.raises(AssertionError, match="can reach the reference"):
        canary.check(model)
