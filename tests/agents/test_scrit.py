"""SCRIT: critiques beside a reference, and what leaves no trace of it."""

import pytest

from tirage.agents.equipment import Steering
from tirage.agents.kit import Kit
from tirage.agents.realcritic import CORRECTED, GIVEN
from tirage.agents.scrit import ANALYST, CRITIC, build, scrub
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.tree import ROOT
from tirage.models.base import Sampling
from tirage.testing.models import ScriptedModel

PROBLEM = Problem(prompt="What is 6 * 7?", answer="nonce-42")
GIVEN_SOLUTION = {PROBLEM.id: "Step 1: It is \\boxed{41}."}
REFERENCE = {PROBLEM.id: "nonce-reference: 6 * 7 = 42."}
SAID = "Step 1: 6 * 7 is 42. Step 1 is incorrect.\nConclusion: incorrect\n<correction>\nStep 1: \\boxed{42}\n</correction>"


async def perform(model, *, budget=None, **options):
    options = {"given": GIVEN_SOLUTION, "references": REFERENCE, **options}
    agent = build(Kit(model=model, sampling=Sampling(), steering=Steering(budget=budget or Budget())), **options)
    return await agent.solve(PROBLEM, seed=0)


def text(request) -> str:
    return bytes(token for token in request.ids if token < 256).decode()


async def test_the_critic_reads_the_reference_and_its_correction_is_a_node_of_its_own():
    model = ScriptedModel(tags={"analyst": ["Multiply carefully."], "critic": [SAID]})
    tree = await perform(model)
    model.assert_done()
    assert [node.move for node in tree.nodes[1:]] == [GIVEN, "analyst", "critic", CORRECTED]
    assert tree.trajectory(tree.chosen).response == "Step 1: \\boxed{42}"
    study, critique = map(text, model.requests)
    assert "nonce-reference" in study
    assert "\\boxed{41}" not in study
    assert all(part in critique for part in ("nonce-reference", "Multiply carefully.", "\\boxed{41}", "final answer in \\boxed{}"))
    assert "nonce-42" not in study + critique


async def test_without_a_reference_solution_the_answer_stands_in():
    model = ScriptedModel(tags={"analyst": ["Hm."], "critic": [SAID]})
    await perform(model, references={})
    assert all("The answer is \\boxed{nonce-42}." in text(request) for request in model.requests)


def test_roles_that_see_a_reference_say_so():
    assert ANALYST.sees_key
    assert CRITIC.sees_key


@pytest.mark.parametrize(("calls", "chosen"), [(0, 1), (1, 1), (2, 4)])
async def test_a_limit_leaves_what_there_is(calls, chosen):
    tree = await perform(ScriptedModel(tags={"analyst": ["Hm."], "critic": [SAID]}), budget=Budget(model_calls=calls))
    assert (tree.chosen, tree.ended) == (chosen, "" if calls == 2 else "budget: model_calls")
    assert tree.chosen != ROOT


async def test_a_problem_without_a_solution_is_a_mistake():
    with pytest.raises(ConfigError, match="no solution to criticise"):
        await perform(ScriptedModel(), given={})


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Step 1: According to the reference solution, 2 + 2 is 4.\nStep 1 is correct.", "Step 1: 2 + 2 is 4.\nStep 1 is correct."),
        ("As shown in the reference answer, it is 5.", "it is 5."),
        ("Unlike the official solution the student adds 1.5. Fine.", "the student adds 1.5. Fine."),
        ("It is 4.\nThe reference says 4.25. So 3 is wrong.", "It is 4.\nSo 3 is wrong."),
        ("Compared with the given model solution, this is longer.", "this is longer."),
        ("The answer key has 3. \\boxed{3}", "\\boxed{3}"),
        ("Nothing to hide: 3.5 is half of 7.\n\nRight?", "Nothing to hide: 3.5 is half of 7.\n\nRight?"),
    ],
)
def test_phrases_that_name_a_reference_are_cut(said, left):
    assert scrub(said) == left
    assert scrub(left) == left
