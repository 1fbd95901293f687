"""Compare two runs."""

from collections.abc import Collection, Sequence
from pathlib import Path

from tirage.core.errors import DataError
from tirage.evaluation.improvement import Context, build_improvement_report
from tirage.evaluation.outcomes import Outcome, read_outcomes
from tirage.evaluation.reports.report import Report
from tirage.evaluation.summary import Measuring
from tirage.traces.base import TRACES
from tirage.traces.jsonl import TraceStore


def read_stage(run: Path, stage: str | None = None) -> tuple[list[Outcome], str]:
    """Outcomes of one stage of a run folder, by problem and sample, and its name; a run with one stage need not name it.

    Raises:
        DataError: `run` is no run folder, or has no such stage, or several and none is named.
    """
    if not (run / TRACES).exists():
        raise DataError(f"{run} is not a run folder (no {TRACES})")
    outcomes = read_outcomes(TraceStore(run).read())
    stages = sorted({item.stage for item in outcomes})
    if stage is None and len(stages) == 1:
        stage = stages[0]
    if stage not in stages:
        raise DataError(f"{run}: {'name a stage' if stage is None else f'no stage {stage!r}'}; stages: {', '.join(stages)}")
    return sorted((item for item in outcomes if item.stage == stage), key=lambda item: (item.problem_id, item.sample)), stage


def compare_runs(
    first: Sequence[Outcome],
    second: Sequence[Outcome],
    *,
    names: tuple[str, str] = ("first", "second"),
    unseen: Collection[str] = (),
    context: Context | None = None,
    measuring: Measuring | None = None,
) -> Report:
    """Report on two runs with the paired test between them.

    Raises:
        DataError: When the runs have no problem in common (then nothing can be paired), or the names are equal.
    """
    if names[0] == names[1]:
        raise DataError(f"both runs are called {names[0]!r}; give them different names")
    common = {outcome.problem_id for outcome in first} & {outcome.problem_id for outcome in second}
    if not common:
        raise DataError(
            f"{names[0]} ({len(first)} outcomes) and {names[1]} ({len(second)} outcomes) share no problem; "
            "compare runs over one problem set"
        )
    about = context or Context(title=f"{names[0]} against {names[1]}")
    return build_improvement_report({names[0]: first, names[1]: second}, unseen=unseen, pairs=[names], context=about, measuring=measuring)
