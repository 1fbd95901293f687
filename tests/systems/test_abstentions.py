"""A critic, judge or verifier whose reply the limit cut, or that cannot be read, has accepted nothing."""

import pytest

from tests.systems.scripted_critic import STEPS, perform
from tests.systems.scripted_debate import hold
from tirage.agents.explorer import SolveContext
from tirage.core.problem import Problem
from tirage.core.tree import ROOT
from tirage.judging.critique_text import Critique, corrected
from tirage.systems.critic_cot import NEVER_ACCEPTED, CriticFilter, CriticRefinement
from tirage.systems.debate import CUT, Debate, read_ending
from tirage.systems.halo.roles import JUDGE, SCORER
from tirage.systems.octotools import VERIFIER
from tirage.testing.models import Reply, ScriptedModel
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.role_judges import ModelPairJudge, ModelScoreJudge
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role
from tirage.workflows.turns import Turn, WorkflowRun

HALF = Reply(text="Step 1: 3 * 4 is 12. Step 1 is correct.\nStep 2: 2 + 12 is", cut=True)


@pytest.mark.parametrize(
    "critique", [HALF, Reply(text="Let us see: the", cut=True), "I cannot say.", "<correction>\\boxed{15}</correction>"]
)
async def test_a_critique_that_comes_to_nothing_accepts_no_solution(critique):
    model = ScriptedModel(tags={"solver": [STEPS, STEPS], "critic": [critique, critique]})
    tree = await perform(model, CriticRefinement, restarts=2)
    assert NEVER_ACCEPTED in tree.notes[tree.chosen]
    noted = [tree.notes.get(node.index, "") for node in tree.nodes if node.move == "critic"]
    assert all("default taken" in note or "abstained" in note for note in noted)
    model.assert_done()


async def test_a_critique_cut_behind_its_rejection_still_rejects():
    cut = Reply(text="Step 1: no, 3 * 4 is 13. Step 1 is incorrect.\nSo the", cut=True)
    model = ScriptedModel(tags={"solver": [STEPS] * 2, "critic": [cut]})
    tree = await perform(model, CriticFilter, n=1)
    assert [value for value in tree.values.values()] == [0.0]


async def test_a_cut_critique_gives_the_filter_no_vote():
    model = ScriptedModel(tags={"solver": [STEPS], "critic": [HALF]})
    tree = await perform(model, CriticFilter, n=1, rule="best")
    assert list(tree.values.values()) == [0.0]


def test_the_answer_that_a_cut_critique_quotes_is_no_correction():
    assert corrected("The solution gives \\boxed{15}, but", Critique(), cut=True) is None
    assert corrected("It is \\boxed{14}.", Critique()) == "\\boxed{14}"


@pytest.mark.parametrize("text", ["Verdict: A would be wrong, as", "Verdict: A"])
async def test_a_pair_judge_that_was_cut_prefers_nobody(text):
    model = ScriptedModel(tags={"judge": [Reply(text=text, cut=True)]})
    assert await ModelPairJudge(RoleModels(model=model)).prefer("How many?", "5", "6", 3) == "tie"


async def test_a_scorer_that_was_cut_gives_no_score():
    model = ScriptedModel(tags={"scorer": [Reply(text="Score: 1", cut=True), "Fine.\nScore: 10"]})
    judge = ModelScoreJudge(RoleModels(model=model))
    assert await judge.score("How many?", "5", 3) is None
    assert await judge.score("How many?", "5", 3) == 1.0


async def test_a_last_ruling_that_was_cut_decides_no_debate():
    tree, judge, _ = await hold([Reply(text="Verdict: A? Well", cut=True)], workflow=Debate(least=1, most=1))
    judge.assert_done()
    assert (tree.ended, tree.chosen, read_ending(tree).winner) == (CUT, ROOT, None)


class _Ask(Workflow):
    id = "ask"

    def __init__(self, role: Role) -> None:
        self.role = role
        self.turn: Turn | None = None

    async def run(self, flow: WorkflowRun) -> None:
        names = ("analysis", "tools", "memory", "query", "subtask", "answer", "status")
        self.turn = await flow.ask(self.role, **dict.fromkeys(names, "x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "text"),
    [
        (VERIFIER, "The steps are not enough to stop"),
        (VERIFIER, '{"analysis": "x", "stop_signal": true'),
        (JUDGE, '{"status": "success"} would be too early, since'),
        (SCORER, '{"score": 1} or less, for'),
    ],
)
async def test_verdicts_of_systems_that_were_cut_are_their_abstention(role, text):
    workflow = _Ask(role)
    await WorkflowAgent(workflow, RoleModels(model=ScriptedModel([Reply(text=text, cut=True)]))).solve(
        Problem(prompt="?"), SolveContext(seed=0)
    )
    assert workflow.turn is not None
    assert (workflow.turn.readable, workflow.turn.value) == (False, role.default)


async def test_what_was_thought_before_a_reply_is_no_part_of_it():
    workflow = _Ask(JUDGE)
    model = ScriptedModel(['<think>It could be {"status": "success"}.</think>\n{"status": "fail"}'])
    await WorkflowAgent(workflow, RoleModels(model=model)).solve(Problem(prompt="?"), SolveContext(seed=0))
    assert workflow.turn is not None
    assert workflow.turn.value.status == "fail"
