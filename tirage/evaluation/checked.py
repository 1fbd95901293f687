"""Figures of candidates that were checked before one was chosen (T1, arXiv 2504.04718), over stored rollouts. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from tirage.core.rollout import Rollout
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict
from tirage.evaluation.figures import percent
from tirage.judging.candidate_pool import Rule, check_figures, read_pool, selection_curve


def checked_rows(rollouts: Iterable[Rollout], *, rule: Rule = "weighted") -> dict[str, str]:
    """A table of the filter and of the choice by `rule`; empty where nothing was checked.

    The choice among N of a problem's candidates is that of `selection_curve`, the mean over problems, for every N that all of them have.
    """
    curves: list[dict[int, float]] = []

    def pools() -> Iterator[tuple[Tree, Mapping[int, Verdict]]]:
        for rollout in rollouts:
            pool = read_pool(rollout.tree, rollout.problem)
            if any(item.checks for item in pool):
                right = {item.node: item.node in rollout.verdicts and rollout.verdicts[item.node].correct is True for item in pool}
                curves.append(selection_curve(pool, right, rule=rule))
                yield rollout.tree, rollout.verdicts

    figures = check_figures(pools())
    if not figures.candidates:
        return {}
    sizes = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {
        "candidates": str(figures.candidates),
        "precision of the check": percent(figures.precision),
        "recall": percent(figures.recall),
        "F1": percent(figures.f1),
        "abstained": percent(figures.abstained),
        "choice is right": percent(figures.selection),
        "some candidate is right": percent(figures.oracle),
        "choice among N is right": "; ".join(f"{size}: {percent(sum(curve[size] for curve in curves) / len(curves))}" for size in sizes),
    }
