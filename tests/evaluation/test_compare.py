"""Outcomes of a run's stage, by name where there are several."""

from dataclasses import replace
from pathlib import Path

import pytest

import tirage
from tirage.core.errors import DataError
from tirage.evaluation import compare_runs, read_stage
from tirage.testing.models import ScriptedModel
from tirage.traces.jsonl import TraceStore


def test_a_stage_is_read_from_a_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(DataError, match="is not a run folder"):
        read_stage(run)
    for question in ("1 + 1?", "2 + 2?"):
        tirage.solve(question, model=ScriptedModel(["\\boxed{2}"]), answer="2", run=run)
    outcomes, name = read_stage(run)
    assert (name, [item.correct for item in outcomes]) == ("solve", [True, True])
    assert [item.problem_id for item in outcomes] == sorted(item.problem_id for item in outcomes)
    with pytest.raises(DataError, match="no stage 'before'; stages: solve"):
        read_stage(run, "before")
    with TraceStore(run) as store:
        first = next(iter(store.read()))
        store.append(replace(first, key=first.key.replace("solve", "again"), stage="again"))
    with pytest.raises(DataError, match="name a stage; stages: again, solve"):
        read_stage(run)
    assert len(read_stage(run, "again")[0]) == 1
    report = compare_runs(outcomes, read_stage(run, "again")[0], names=("solve", "again"))
    assert report.parts[0].comparisons[0].pairs == 1
