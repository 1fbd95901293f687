"""SCRIT: critiques beside a reference, what validates itself, and what leaves no trace of the reference in the rows of the recipe."""

from pathlib import Path
from typing import Any

import pytest

from tests.systems.scripted_scrit import said, text, traces
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.tree import ROOT
from tirage.models.base import Sampling
from tirage.systems.parts import AgentParts
from tirage.systems.realcritic import CORRECTED, GIVEN
from tirage.systems.scrit import ANALYST, CRITIC, build, scrub
from tirage.testing.models import ByteRenderer, ScriptedModel
from tirage.traces.jsonl import TraceStore
from tirage.training.dataset import Dataset
from tirage.training.recipes import CritiqueConfig, CritiqueRecipe
from tirage.training.rows import decode_trainable

PROBLEM = Problem(prompt="What is 6 * 7?", answer="nonce-42")
GIVEN_SOLUTION = {PROBLEM.id: "Step 1: It is \\boxed{41}."}
REFERENCE = {PROBLEM.id: "nonce-reference: 6 * 7 = 42."}
SAID = "Step 1: 6 * 7 is 42. Step 1 is incorrect.\nConclusion: incorrect\n<correction>\nStep 1: \\boxed{42}\n</correction>"


async def perform(model, *, budget=None, **options):
    options = {"given": GIVEN_SOLUTION, "references": REFERENCE, **options}
    agent = build(AgentParts(model=model, sampling=Sampling(), search_options=SearchOptions(budget=budget or Budget())), **options)
    return await agent.solve(PROBLEM, SolveContext(seed=0))


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


def rows_of(rollouts: list[Rollout], folder: Path, validation: Any) -> list[Any]:
    """The rows that the recipe makes of stored rollouts."""
    folder.mkdir()
    with TraceStore(folder) as store:
        for rollout in rollouts:
            store.append(rollout)
    CritiqueRecipe(CritiqueConfig(validation=validation), ByteRenderer()).build(TraceStore(folder), folder / "rows")
    return list(Dataset(folder / "rows").rows())


async def test_the_validator_keeps_exactly_the_right_corrections_of_the_truth_table(tmp_path: Path) -> None:
    """Cases 0 to 7: bit 2, the student is right; bit 1, the conclusion fits that; bit 0, the correction is right."""
    students = [n + 1 if n & 4 else -1 for n in range(8)]
    told = [said(n + 1 if n & 1 else 999, "correct" if bool(n & 4) is bool(n & 2) else "incorrect") for n in range(8)]
    rollouts = await traces(*told, students=students)
    cases = {rollout.problem.id: number for number, rollout in enumerate(rollouts)}
    kept = {
        validation: sorted(cases[row.meta["problem"]] for row in rows_of(rollouts, tmp_path / validation, validation))
        for validation in ("correction", "labels", "off")
    }
    assert kept == {"correction": [1, 3, 5, 7], "labels": [3, 7], "off": list(range(8))}


async def test_validation_takes_the_share_of_right_corrections_from_the_critics_to_one(tmp_path: Path) -> None:
    rollouts = await traces(*(said(number + 1 if number < 6 else 999) for number in range(10)))
    truth = {rollout.problem.id: rollout.correct for rollout in rollouts}
    for validation, count, precision in (("off", 10, 0.6), ("correction", 6, 1.0), ("labels", 6, 1.0)):
        rows = rows_of(rollouts, tmp_path / validation, validation)
        assert (len(rows), sum(truth[row.meta["problem"]] is True for row in rows) / len(rows)) == (count, precision)


async def test_the_reference_is_in_no_row_and_no_phrase_names_it(tmp_path: Path) -> None:
    rollouts = await traces(said(1, remark="As the reference solution says, one adds. "), said(2))
    rows, renderer = rows_of(rollouts, tmp_path / "run", "labels"), ByteRenderer()
    assert len(rows) == 2
    for row, number in zip(sorted(rows, key=lambda row: renderer.decode(row.input_ids)), (0, 1), strict=True):
        whole, trained = renderer.decode(row.input_ids), decode_trainable(row, renderer.decode)
        assert "reference" not in whole
        assert f"What is {number} + 1?" in whole
        assert "Step 1: \\boxed{-1}" in whole
        assert trained == said(number + 1, remark="" if number else "one adds. ")
        assert row.labels[-1] == 256, "the end of the turn is trained"
