"""Rows of critiques: what validates itself. That nothing of the reference is left is in `tests/systems/test_scrit.py`."""

from pathlib import Path
from typing import Any

import pytest

from tests.systems.scripted_scrit import said, traces
from tirage.core.errors import ConfigError, TrainingError
from tirage.core.rollout import Rollout
from tirage.judging.critique_text import Critique
from tirage.testing.models import ByteRenderer
from tirage.training.dataset import Dataset
from tirage.training.recipes import CritiqueConfig, CritiqueRecipe, make_recipe
from tirage.training.recipes.critique import fault


def rows_of(rollouts: list[Rollout], as_traces: Any, out: Path, **config: Any) -> tuple[Any, list[Any]]:
    recipe = CritiqueRecipe(CritiqueConfig(**config), ByteRenderer())
    manifest = recipe.build(as_traces(rollouts), out)
    assert Dataset(out).check() == []
    return manifest, list(Dataset(out).rows())


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


async def test_a_critique_that_scrubbing_would_change_is_dropped(tmp_path: Path, as_traces: Any) -> None:
    bad = said(1).replace("It is", "The reference answer is")
    manifest, _ = rows_of(await traces(bad, said(2)), as_traces, tmp_path / "rows")
    assert manifest.rows == 1
    assert {count.step: count.dropped for count in manifest.counts}["scrub"] == {"changed-by-scrubbing": 1}
    manifest, _ = rows_of(
        await traces(said(1, remark="As the reference solution says, one adds. "), said(999)), as_traces, tmp_path / "more"
    )
    counts = {count.step: count for count in manifest.counts}
    assert (counts["scrub"].noted, counts["validate"].dropped) == ({"scrubbed": 1}, {"wrong-correction": 1})
    assert counts["critiques"].dropped == {"original": 2}


async def test_a_conclusion_that_does_not_fit_is_dropped(tmp_path: Path, as_traces: Any) -> None:
    rollouts = await traces(said(1, "correct"), said(2))
    manifest, _ = rows_of(rollouts, as_traces, tmp_path / "rows")
    assert {count.step: count.dropped for count in manifest.counts}["validate"] == {"label-conflict": 1}
    right = await traces(said(1, "correct"), students=[1])
    assert rows_of(right, as_traces, tmp_path / "right")[0].rows == 1


async def test_ids_of_another_tokenizer_are_refused(tmp_path: Path, as_traces: Any) -> None:
    with pytest.raises(TrainingError, match="tokenizer"):
        make_recipe("critique").build(as_traces(await traces(said(1))), tmp_path / "rows")
    with pytest.raises(ConfigError, match=r"recipe critique: validation: .*; settings: .*template"):
        make_recipe("critique", {"validation": "none"})
