"""Compare two runs."""

from collections.abc import Collection, Sequence

from tirage.core.errors import DataError
from tirage.evaluation.improvement import Context, build_improvement_report
from tirage.evaluation.outcomes import Outcome
from tirage.evaluation.reports.report import Report
from tirage.evaluation.summary import Measuring


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
