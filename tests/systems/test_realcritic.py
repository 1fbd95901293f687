"""RealCritic: the four modes as workflows, and the figures by what became of the solutions."""

import pytest

from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.tree import ROOT
from tirage.evaluation.realcritic import Critiqued, critique_rows, direct_row, read_critiqued, transitions
from tirage.models.base import Sampling
from tirage.rollouts.runner import judge
from tirage.systems.parts import AgentParts
from tirage.systems.realcritic import CORRECTED, GIVEN, NANO_CRITIC, RealCritic, build
from tirage.testing.models import ScriptedModel
from tirage.verification.factory import open_verifier

PROBLEMS = [Problem(prompt=f"What is {n} + 1?", answer=f"{n + 1}", metadata={"key": f"nonce-{n}"}) for n in range(4)]
RIGHT = {problem.id: f"I add: \\boxed{{{n + 1}}}" for n, problem in enumerate(PROBLEMS)}
WRONG = {problem.id: f"I guess: \\boxed{{{n + 100}}}" for n, problem in enumerate(PROBLEMS)}


def said(answer: object, conclusion: str = "incorrect") -> str:
    return f"Step 1: Hm. Step 1 is {conclusion}.\nConclusion: {conclusion}\n<correction>\nSo \\boxed{{{answer}}}.\n</correction>"


async def perform(model, problem=PROBLEMS[0], *, budget=None, **options):
    agent = build(AgentParts(model=model, sampling=Sampling(), search_options=SearchOptions(budget=budget or Budget())), **options)
    return await agent.solve(problem, SolveContext(seed=0))


async def roll(model, mode="cross", problems=PROBLEMS, **options) -> list[Rollout]:
    verifier, rollouts = open_verifier("math"), []
    for problem in problems:
        tree = await perform(model, problem, mode=mode, **options)
        verdicts = await judge(tree, problem, verifier)
        rollouts.append(Rollout(key=problem.id, stage=mode, problem=problem, sample=0, tree=tree, verdicts=verdicts, model=model.name))
    await verifier.close()
    return rollouts


GIVEN_MIX = {problem.id: (RIGHT if n % 2 == 0 else WRONG)[problem.id] for n, problem in enumerate(PROBLEMS)}


async def test_each_transition_once():
    # Right and kept, wrong and fixed, right and lost, wrong and left.
    model = ScriptedModel(tags={"critic": [said(1, "correct"), said(2), said(77), said(78)]})
    rollouts = await roll(model, given=GIVEN_MIX)
    counts = transitions(read_critiqued(rollouts))
    assert (counts.kept, counts.lost, counts.fixed, counts.left) == (1, 1, 1, 1)
    assert (counts.kept_share, counts.fixed_share, counts.accuracy, counts.original) == (0.5, 0.5, 0.5, 0.5)
    assert [rollout.correct for rollout in rollouts] == [True, True, False, False]
    (row,) = critique_rows("cross", read_critiqued(rollouts))
    assert (row.problems, row.improvement, row.over) == (4, 0.0, "original")
    assert row.interval.low < 0.5 < row.interval.high


def oracle(request):
    return said(int(text(request).split("What is ")[1].split(" +")[0]) + 1)


def sycophant(request):
    return said(text(request).split("boxed{")[1].split("}")[0], "correct")


def contrarian(request):
    given = int(text(request).split("boxed{")[1].split("}")[0])
    return said(given + 1000)


def text(request) -> str:
    return bytes(token for token in request.ids if token < 256).decode()


@pytest.mark.parametrize(("critic", "kept", "fixed"), [(oracle, 1.0, 1.0), (sycophant, 1.0, 0.0), (contrarian, 0.0, 0.0)])
async def test_critics_of_known_character(critic, kept, fixed):
    records = read_critiqued(await roll(ScriptedModel(critic), given=GIVEN_MIX))
    counts = transitions(records)
    (row,) = critique_rows("cross", records)
    assert row.improvement == {oracle: 0.5, sycophant: 0.0, contrarian: -0.5}[critic]
    assert (counts.kept_share, counts.fixed_share) == (kept, fixed)
    assert counts.lost == (2 if critic is contrarian else 0)


async def test_iterative_turns_are_counted_from_the_original():
    model = ScriptedModel(tags={"critic": [said(9), said(1), said(8), said(2), said(2), said(3)]})
    rollouts = await roll(model, "iterative", PROBLEMS[:2], given=GIVEN_MIX, turns=3)
    model.assert_done()
    records = read_critiqued(rollouts)
    assert [record.before for record in records] == [True, False]
    assert [record.after for record in records] == [(False, True, False), (True, True, False)]
    rows = critique_rows("iterative", records)
    assert [row.accuracy for row in rows] == [0.5, 1.0, 0.0]
    # Ratios and improvements compare with the original, not with the correction of the turn before, which was right twice.
    assert [(row.counts.kept, row.counts.lost, row.counts.fixed, row.counts.left) for row in rows] == [
        (0, 1, 1, 0),
        (1, 0, 1, 0),
        (0, 1, 0, 1),
    ]
    assert [row.improvement for row in rows] == [0.0, 0.5, -0.5]
    second, third = text(model.requests[1]), text(model.requests[2])
    assert "Doubt it" in second
    assert "boxed{9}" in second
    assert "boxed{9}" in third
    assert "boxed{1}.\n</correction>" in third
    assert all("I add: \\boxed{1}" in text(request) for request in model.requests[:3])


async def test_without_delimiters_the_last_box_counts_and_without_that_nothing():
    replies = ["Not that, but \\boxed{7}, no, \\boxed{1}", "Conclusion: incorrect. It is 2.", "Well done!", said(4)]
    rollouts = await roll(ScriptedModel(tags={"critic": replies}), given=RIGHT)
    records = read_critiqued(rollouts)
    assert [record.after[0] for record in records] == [True, False, False, True]
    assert [record.found[0] for record in records] == [True, False, False, True]
    assert transitions(records).no_correction == 2
    assert [rollout.correct for rollout in rollouts] == [True, False, False, True]


async def test_self_criticises_its_own_solution_and_direct_none():
    model = ScriptedModel(tags={"solver": ["\\boxed{5}"], "critic": [said(1)]})
    (rollout,) = await roll(model, "self", PROBLEMS[:1])
    assert [node.move for node in rollout.tree.nodes[1:]] == ["solver", "critic", CORRECTED]
    assert "\\boxed{5}" in text(model.requests[1])
    (record,) = read_critiqued([rollout])
    assert (record.before, record.after) == (False, (True,))
    (direct,) = await roll(ScriptedModel(["\\boxed{1}"]), "direct", PROBLEMS[:1])
    assert (direct.correct, len(direct.tree.nodes), read_critiqued([direct])) == (True, 2, [])
    (row,) = critique_rows("self", [record], {PROBLEMS[0].id: True})
    assert (row.improvement, row.over) == (0.0, "direct")


def test_the_direct_row_and_a_problem_that_is_not_in_it():
    row = direct_row({"a": True, "b": False})
    assert (row.accuracy, row.problems, row.counts) == (0.5, 2, None)
    records = [Critiqued(problem_id="c", before=False, after=(True,), found=(True,))]
    assert critique_rows("self", records, {"a": True})[0].over == "original"
    assert critique_rows("self", [], {"a": True}) == []
    empty = transitions([])
    assert (empty.accuracy, empty.kept_share, empty.fixed_share, empty.original) == (None, None, None, None)


async def test_a_cross_critique_needs_a_solution():
    with pytest.raises(ConfigError, match="no solution to criticise"):
        await perform(ScriptedModel(), mode="cross")
    with pytest.raises(ConfigError, match="'mode' cannot be 'both'"):
        build(AgentParts(model=ScriptedModel(), sampling=Sampling()), mode="both")
    assert RealCritic(mode="iterative").id == "realcritic-iterative-3"


@pytest.mark.parametrize(("calls", "moves"), [(0, []), (1, ["solver"]), (2, ["solver", "critic", CORRECTED])])
async def test_a_limit_leaves_what_there_is(calls, moves):
    model = ScriptedModel(tags={"solver": ["\\boxed{5}"], "critic": [said(1), said(1), said(1)]})
    tree = await perform(model, mode="iterative", budget=Budget(model_calls=calls))
    assert [node.move for node in tree.nodes[1:]] == moves
    assert (tree.ended, tree.chosen) == ("budget: model_calls", len(moves) or ROOT)


async def test_nobody_sees_the_key():
    secret = Problem(prompt="What is 0 + 1?", answer="nonce-31", metadata={"key": "nonce-31"})
    model = ScriptedModel(tags={"critic": [said(1)] * 3})
    tree = await perform(model, secret, mode="iterative", given={secret.id: "It is \\boxed{3}"})
    assert tree.nodes[1].move == GIVEN
    assert len(model.requests) == 3
    assert not any("nonce-31" in text(request) for request in model.requests)


def test_nano_corrects_by_what_its_program_found():
    found = NANO_CRITIC.read("The result is 42. The test says that the proposed answer is not right.\n</think>\nVerdict: wrong")
    assert (found.verdict, found.correction) == (False, "\\boxed{42}")
    assert NANO_CRITIC.read("The result is 42. The test says that the proposed answer is right.\nVerdict: correct").correction is None
