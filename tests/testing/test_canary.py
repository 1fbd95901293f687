"""The canary: leaks of every kind are found, and clean agents pass."""

from collections.abc import Callable
from typing import Any

import pytest

from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.replies import whole
from tirage.agents.search_options import SearchOptions
from tirage.agents.valuation import Estimate, Valuer
from tirage.core import Problem, Trajectory, Verdict
from tirage.judging.valuers import Oracle
from tirage.models.base import Sampling
from tirage.search.best_of_n import BestOfN
from tirage.testing.canary import Canary, reachable
from tirage.testing.scripted import Script, ScriptedModel
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role
from tirage.workflows.turns import WorkflowRun


class Half(Valuer):
    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        return Estimate(value=0.5)


class Told(Valuer):
    """Was given the problem when it was made."""

    def __init__(self, problem: Problem) -> None:
        self.problems: dict[str, Callable[[], Any]] = {"x": lambda: problem}

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        return Estimate(value=0.5)


def agent(flow: Script, valuer: Any) -> tuple[Explorer, ScriptedModel]:
    model = ScriptedModel(flow)
    policy = ModelPolicy(model, FencedPython(), sampling=Sampling())
    return Explorer(
        policy, tools={}, sandbox=None, search=lambda seed: BestOfN(2, vote="value"), search_options=SearchOptions(valuer=valuer)
    ), model


async def test_a_clean_agent_passes_and_was_watched_everywhere() -> None:
    canary = Canary()
    clean, model = agent(["\\boxed{1}", "\\boxed{2}"], Half())
    canary.guard(clean)
    tree = await clean.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert tree.problem_id == canary.problem.id
    assert canary.handed >= 10


async def test_a_judge_that_was_told_before_is_found() -> None:
    canary = Canary()
    leaky, model = agent(["\\boxed{1}", "\\boxed{2}"], Told(canary.problem))
    canary.guard(leaky)
    await leaky.solve(canary.problem, SolveContext(seed=0))
    with pytest.raises(AssertionError, match=r"Told\.value can reach the reference"):
        canary.check(model)


async def test_an_oracle_is_handed_the_reference_and_so_is_found() -> None:
    class Judge:
        async def verify(self, problem: Problem, response: str) -> Verdict:
            return Verdict(correct=problem.answer is not None, verifier="test")

    canary = Canary()
    oracle, model = agent(["\\boxed{1}"] * 4, Oracle(lambda problem: Judge()))
    tree = await oracle.solve(canary.problem, SolveContext(seed=0))
    assert tree.values == {1: 1.0, 2: 1.0}, "an oracle declares that it sees the answer"
    canary.guard(oracle)
    await oracle.solve(canary.problem, SolveContext(seed=0))
    with pytest.raises(AssertionError, match=r"Oracle\.value can reach the reference"):
        canary.check(model)


@pytest.mark.parametrize("declared", [False, True])
async def test_a_workflow_is_watched_and_handed_the_reference_only_where_it_says_so(declared: bool) -> None:
    class Nosy(Workflow):
        id = "nosy"
        sees_key = declared

        async def run(self, flow: WorkflowRun) -> None:
            await flow.ask(Role(name="any", template="{problem}", read=whole, default=""))

    canary, model = Canary(), ScriptedModel(["x"])
    workflow = WorkflowAgent(Nosy(), RoleModels(model=model))
    canary.guard(workflow)
    await workflow.solve(canary.problem, SolveContext(seed=0))
    assert canary.handed == 2
    if not declared:
        canary.check(model)
        return
    with pytest.raises(AssertionError, match=r"_Watched.before can reach the reference"):
        canary.check(model)


async def test_a_request_with_the_reference_is_found_as_ids_text_and_messages() -> None:
    for mode in ("ids", "text", "chat"):
        canary = Canary()
        model = ScriptedModel(["\\boxed{1}"], mode=mode)
        problem = Problem(prompt=f"Is it {canary.nonce}?")
        await Explorer(ModelPolicy(model, FencedPython(), sampling=Sampling()), tools={}, sandbox=None).solve(problem, SolveContext(seed=0))
        with pytest.raises(AssertionError, match="was shown the reference"):
            canary.check(model)


def test_a_model_that_was_not_asked_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="never asked"):
        Canary().check(ScriptedModel([]))


def test_what_is_reachable_goes_through_slots_closures_and_containers() -> None:
    needle = object()

    class Slotted:
        __slots__ = ("held",)

    slotted = Slotted()
    slotted.held = {"a": [(lambda: needle,)]}  # type: ignore[attr-defined]
    assert any(item is needle for item in reachable(slotted))
    assert not any(item is needle for item in reachable(Slotted))
