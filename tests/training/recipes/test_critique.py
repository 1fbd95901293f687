"""Rows of critiques: what validates itself, and nothing of the reference."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tirage.agents.critique import Critique
from tirage.agents.kit import Kit
from tirage.agents.scrit import build
from tirage.core.errors import ConfigError, TrainingError
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.models.base import Sampling
from tirage.rollouts.runner import judge
from tirage.testing.models import ByteRenderer, ScriptedModel
from tirage.training.dataset import Dataset
from tirage.training.recipes import CritiqueConfig, CritiqueRecipe, make_recipe
from tirage.training.recipes.critique import fault
from tirage.training.rows import decode_trainable
from tirage.verification.factory import open_verifier

REFERENCE = "nonce-reference: count carefully."


def said(answer: int, conclusion: str = "incorrect", remark: str = "") -> str:
    return f"Step 1: Hm. {remark}Step 1 is {conclusion}.\nConclusion: {conclusion}\n<correction>\nIt is \\boxed{{{answer}}}.\n</correction>"


async def traces(*critiques: str, student: int | None = None) -> list[Rollout]:
    """One rollout per critique; problem n has the answer n + 1, and its student is wrong unless told."""
    verifier, rollouts = open_verifier("math"), []
    for number, critique in enumerate(critiques):
        problem = Problem(prompt=f"What is {number} + 1?", answer=str(number + 1))
        given = {problem.id: f"Step 1: \\boxed{{{-1 if student is None else student}}}"}
        model = ScriptedModel(tags={"analyst": ["Add."], "critic": [critique]})
        kit = Kit(model=model, sampling=Sampling(max_tokens=2048))
        agent = build(kit, given=given, references={problem.id: REFERENCE})
        tree = await agent.solve(problem, seed=number)
        assert REFERENCE in bytes(model.requests[1].ids or ()).decode()
        rollouts.append(
            Rollout(
                key=f"scrit/{problem.id}/0",
                stage="scrit",
                problem=problem,
                sample=0,
                tree=tree,
                verdicts=await judge(tree, problem, verifier),
                model="scripted",
                tokenizer_hash=ByteRenderer.hash,
            )
        )
    await verifier.close()
    return rollouts


def rows_of(rollouts: list[Rollout], as_traces: Any, out: Path, **config: Any) -> tuple[Any, list[Any]]:
    recipe = CritiqueRecipe(CritiqueConfig(**config), ByteRenderer())
    manifest = recipe.build(as_traces(rollouts), out)
    assert Dataset(out).check() == []
    return manifest, list(Dataset(out).rows())


@pytest.mark.parametrize(("student", "conclusion", "correction"), itertools.product([True, False], repeat=3))
def test_the_truth_table(student: bool, conclusion: bool, correction: bool) -> None:
    """`conclusion`: whether it fits the student's solution."""
    critique = Critique(verdict=student is conclusion)

    def kept(validation: Any) -> bool:
        return fault(critique, steps=1, student_right=student, correction_right=correction, validation=validation) is None

    assert kept("correction") is correction
    assert kept("labels") is (correction and conclusion)
    assert kept("off")


@pytest.mark.parametrize(
    ("marks", "student", "correction", "reason"),
    [
        ({1: 1, 2: 1}, True, False, None),
        ({1: 1}, True, True, "right-solution-not-accepted"),
        ({1: 1, 2: -1}, True, True, "right-solution-not-accepted"),
        ({1: 1, 2: -1}, False, True, None),
        ({1: 1, 2: -1}, False, False, "wrong-correction"),
        ({1: 1, 2: 1}, False, True, "wrong-solution-not-rejected"),
        ({1: 1}, False, True, "wrong-solution-not-rejected"),
    ],
)
def test_labels_of_all_steps_as_critic_cot_wants_them(marks: Any, student: bool, correction: bool, reason: str | None) -> None:
    critique = Critique(marks=marks)
    assert fault(critique, steps=2, student_right=student, correction_right=correction, validation="steps") == reason


async def test_validation_makes_every_correction_right(tmp_path: Path, as_traces: Any) -> None:
    rollouts = await traces(*(said(number + 1 if number < 6 else 999) for number in range(10)))
    truth = {rollout.problem.id: rollout.correct for rollout in rollouts}
    free, rows = rows_of(rollouts, as_traces, tmp_path / "free", validation="off")
    assert sum(bool(truth[row.meta["problem"]]) for row in rows) / free.rows == 0.6
    checked, rows = rows_of(rollouts, as_traces, tmp_path / "checked")
    assert (checked.rows, all(truth[row.meta["problem"]] for row in rows)) == (6, True)
    dropped = {count.step: count.dropped for count in checked.counts}
    assert dropped["validate"] == {"wrong-correction": 4}
    assert dropped["critiques"] == {"original": 10}


async def test_the_reference_is_in_no_row_and_no_phrase_names_it(tmp_path: Path, as_traces: Any) -> None:
    remark = "As the reference solution says, one adds. "
    rollouts = await traces(said(1, remark=remark), said(2))
    manifest, rows = rows_of(rollouts, as_traces, tmp_path / "rows")
    assert manifest.rows == 2
    renderer = ByteRenderer()
    for row, number in zip(sorted(rows, key=lambda row: renderer.decode(row.input_ids)), (0, 1), strict=True):
        whole, trained = renderer.decode(row.input_ids), decode_trainable(row, renderer.decode)
        assert "reference" not in whole
        assert f"What is {number} + 1?" in whole
        assert "Step 1: \\boxed{-1}" in whole
        assert trained == said(number + 1, remark="" if number else "one adds. ")
        assert row.labels[-1] == 256, "the end of the turn is trained"
    assert {count.step: count.noted for count in manifest.counts}["scrub"] == {"scrubbed": 1}


async def test_a_critique_that_scrubbing_would_change_is_dropped(tmp_path: Path, as_traces: Any) -> None:
    bad = said(1).replace("It is", "The reference answer is")
    manifest, _ = rows_of(await traces(bad, said(2)), as_traces, tmp_path / "rows")
    assert manifest.rows == 1
    assert {count.step: count.dropped for count in manifest.counts}["scrub"] == {"changed-by-scrubbing": 1}


async def test_a_conclusion_that_does_not_fit_is_dropped(tmp_path: Path, as_traces: Any) -> None:
    rollouts = await traces(said(1, "correct"), said(2))
    manifest, _ = rows_of(rollouts, as_traces, tmp_path / "rows")
    assert {count.step: count.dropped for count in manifest.counts}["validate"] == {"label-conflict": 1}
    right = await traces(said(1, "correct"), student=1)
    assert rows_of(right, as_traces, tmp_path / "right")[0].rows == 1


async def test_ids_of_another_tokenizer_are_refused(tmp_path: Path, as_traces: Any) -> None:
    with pytest.raises(TrainingError, match="tokenizer"):
        make_recipe("critique").build(as_traces(await traces(said(1))), tmp_path / "rows")
    with pytest.raises(ConfigError, match=r"recipe critique: validation: .*; settings: .*template"):
        make_recipe("critique", {"validation": "none"})
