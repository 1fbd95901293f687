import asyncio

import pytest

from tirage.agents.explorer import SolveContext
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.teams.stock import stock
from tirage.teams.team import Team, fit, tokens_per_edge, with_saboteur
from tirage.teams.topology import Member, Topology
from tirage.testing.models import ScriptedModel
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.approval import Action, ApprovalDecision, ApprovalGate
from tirage.workflows.role_models import RoleModels

PROBLEM = Problem(prompt="6 * 7?", answer="nonce-4711")


def asked(model, number):
    return bytes(model.requests[number].ids).decode()


async def perform(topology, script, *, budget=None, gate=None, **options):
    model = ScriptedModel(tags=script)
    tree = await WorkflowAgent(Team(topology, **options), RoleModels(model=model), budget=budget, gate=gate).solve(
        PROBLEM, SolveContext(seed=3)
    )
    return model, tree


async def test_a_chain_hears_one_another_and_the_last_decides():
    model, tree = await perform(stock("chain", 3), {"solver-1": ["\\boxed{1}"], "solver-2": ["\\boxed{2}"], "solver-3": ["\\boxed{42}"]})
    assert [(node.move, node.parent) for node in tree.nodes[1:]] == [("solver-1", 0), ("solver-2", 1), ("solver-3", 2)]
    assert tree.chosen == 3
    assert "solver-1 says" not in asked(model, 0)
    assert "What solver-1 says:\n\\boxed{1}" in asked(model, 1)
    assert "solver-1" not in asked(model, 2)
    assert "What solver-2 says:\n\\boxed{2}" in asked(model, 2)
    model.assert_done()


async def test_a_debate_hears_the_last_round_and_the_majority_of_meanings_decides():
    script = {
        "solver-1": ["\\boxed{1}", "\\boxed{1/2}"],
        "solver-2": ["\\boxed{2}", "\\boxed{7}"],
        "solver-3": ["\\boxed{3}", "\\boxed{0.5}"],
    }
    model, tree = await perform(stock("debate", 3), script)
    assert not any("last round" in asked(model, number) for number in range(3))
    assert "What solver-2 said in the last round:\n\\boxed{2}" in asked(model, 3)
    assert "What solver-3 said in the last round:\n\\boxed{3}" in asked(model, 3)
    assert "solver-1 said" not in asked(model, 3)
    assert tree.trajectory(tree.chosen).response == "\\boxed{1/2}"
    assert tokens_per_edge(stock("debate", 3), tree) == {
        (a, b): 10 for a in ("solver-1", "solver-2", "solver-3") for b in ("solver-1", "solver-2", "solver-3") if a != b
    }


async def test_planner_executor_critic():
    script = {"planner": ["multiply", "multiply!"], "executor": ["\\boxed{41}", "\\boxed{42}"], "critic": ["41 is odd", "fine"]}
    model, tree = await perform(stock("planner-executor-critic"), script)
    assert [node.move for node in tree.nodes[1:]] == ["planner", "executor", "critic"] * 2
    assert tree.trajectory(tree.chosen).response == "\\boxed{42}"
    assert "What planner says:\nmultiply" in asked(model, 1)
    assert "What executor says:\n\\boxed{41}" in asked(model, 2)
    assert "What critic said in the last round:\n41 is odd" in asked(model, 4)
    assert [node.stop.value for node in tree.nodes[1:4]] == ["open", "answered", "open"]
    assert "You are the planner" in asked(model, 0)
    model.assert_done()


async def test_members_of_a_layer_speak_at_once():
    inside, most = 0, 0

    class Slow(ScriptedModel):
        async def complete(self, request):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1
            return await super().complete(request)

    model = Slow(lambda request: "\\boxed{1}")
    await WorkflowAgent(Team(stock("single", 5)), RoleModels(model=model)).solve(PROBLEM, SolveContext(seed=0))
    assert most == 5


@pytest.mark.parametrize("calls", range(4))
async def test_a_budget_ends_the_team_with_its_answer_so_far(calls):
    script = {"solver-1": ["\\boxed{1}"], "solver-2": ["\\boxed{2}"], "solver-3": ["\\boxed{42}"]}
    _, tree = await perform(stock("chain", 3), script, budget=Budget(model_calls=calls))
    assert tree.usage.model_calls == calls
    assert tree.ended == ("budget: model_calls" if calls < 3 else "")
    assert tree.chosen == (0, 1, 1, 3)[calls]


async def test_what_does_not_fit_the_window_is_cut_and_the_cut_is_noted():
    script = {"solver-1": ["a" * 50 + "\\boxed{1}"], "solver-2": ["\\boxed{2}"]}
    model, tree = await perform(stock("chain", 2), script, window=20)
    assert f"says:\n{'a' * 9}...boxed{{1}}\n" in asked(model, 1)
    assert tree.notes == {2: "39 characters of what others said were left out to fit the window of 20"}


@pytest.mark.parametrize(
    ("texts", "window", "cut"),
    [
        ([], 10, []),
        (["abc", "d" * 20], 13, ["abc", "dddd...ddd"]),
        (["a" * 9, "b" * 9], 10, ["a...a", "b...b"]),
        (["abcdef"], 2, [".."]),
    ],
)
def test_short_words_stay_whole(texts, window, cut):
    assert fit(texts, window) == cut


async def test_nobody_sees_the_key():
    model, _ = await perform(stock("complete", 3), {f"solver-{number}": ["\\boxed{1}"] for number in (1, 2, 3)})
    assert not any("nonce-4711" in asked(model, number) for number in range(3))


async def test_a_member_whose_turns_wait_for_a_person():
    class Boss:
        async def decide(self, request):
            return ApprovalDecision(action=Action.MODIFY, text="\\boxed{5}")

    script = {"solver-1": ["\\boxed{1}"], "solver-2": ["\\boxed{2}"]}
    model, _ = await perform(stock("chain", 2), script, approve={"solver-1"}, gate=ApprovalGate([Boss()]))
    assert "What solver-1 says:\n\\boxed{5}" in asked(model, 1)
    with pytest.raises(ConfigError, match="has no member 'nobody' to approve; members: solver-1, solver-2"):
        Team(stock("chain", 2), approve={"nobody"})


async def test_a_saboteur_is_told_to_mislead():
    turned = with_saboteur(stock("chain", 2), "solver-1")
    model, _ = await perform(turned, {"solver-1": ["\\boxed{1}"], "solver-2": ["\\boxed{2}"]})
    assert "Mislead the others" in asked(model, 0)
    assert "Mislead" not in asked(model, 1)
    with pytest.raises(ConfigError, match="no member 'x' to turn"):
        with_saboteur(turned, "x")


async def test_a_member_has_a_model_of_its_own():
    own, other = ScriptedModel(["\\boxed{1}"], name="small"), ScriptedModel(["\\boxed{2}"], name="large")
    team = Topology(name="pair", members=(Member(name="a"), Member(name="b")), spatial=(("a", "b"),), decision="b")
    cast = RoleModels(model=own, models={"b": other})
    tree = await WorkflowAgent(Team(team), cast).solve(PROBLEM, SolveContext(seed=0))
    assert tree.policy_id == f"team:pair@{team.fingerprint}|small+b=large"
    own.assert_done()
    other.assert_done()
