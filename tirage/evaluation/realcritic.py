"""Figures of critiques by what became of the solutions (RealCritic, arXiv 2501.14492).

Which right ones stayed right, which wrong ones were corrected. Pure, over rollouts of `tirage.systems.realcritic`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tirage.core.rollout import Rollout
from tirage.core.tree import Tree
from tirage.evaluation.intervals import Interval, mean_interval, wilson
from tirage.evaluation.paired import difference_interval
from tirage.judging.candidate_pool import turn_end
from tirage.systems.realcritic import CORRECTED, GIVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Critiqued:
    """One solution and what became of it."""

    problem_id: str
    before: bool
    """Whether the original was right; the same for every turn."""
    after: tuple[bool, ...]
    """Whether the correction was, turn by turn. What cannot be graded is not right."""
    found: tuple[bool, ...]
    """Whether there was a correction."""


def read_critiqued(rollouts: Iterable[Rollout]) -> list[Critiqued]:
    """One record per rollout with at least one critique, those left out around which something broke."""
    records = []
    for rollout in rollouts:
        tree = rollout.tree
        original = next((node.index for node in tree.nodes if node.move in (GIVEN, "solver") and node.index in rollout.verdicts), None)
        critiques = [node.index for node in tree.nodes if node.move == "critic" and node.step is not None and node.step.opening is not None]
        corrections = [_correction(tree, turn_end(tree, node)) for node in critiques]
        if not corrections or any(node.error is not None for node in tree.nodes):
            continue
        records.append(
            Critiqued(
                problem_id=rollout.problem.id,
                before=_right(rollout, original),
                after=tuple(_right(rollout, node) for node in corrections),
                found=tuple(node is not None for node in corrections),
            )
        )
    return records


def _correction(tree: Tree, critique: int) -> int | None:
    return next((child for child in tree.children[critique] if tree.nodes[child].move == CORRECTED), None)


def _right(rollout: Rollout, node: int | None) -> bool:
    return node is not None and node in rollout.verdicts and rollout.verdicts[node].correct is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions:
    """What became of right (C) and wrong (I) originals after one turn."""

    kept: int
    """C -> C."""
    lost: int
    """C -> I."""
    fixed: int
    """I -> C."""
    left: int
    """I -> I."""
    no_correction: int
    """Of all, those without a correction; they count as wrong."""

    @property
    def total(self) -> int:
        """Solutions."""
        return self.kept + self.lost + self.fixed + self.left

    @property
    def kept_share(self) -> float | None:
        """C -> C of the right originals; None without any. C -> I is the rest."""
        return self.kept / (self.kept + self.lost) if self.kept + self.lost else None

    @property
    def fixed_share(self) -> float | None:
        """I -> C of the wrong originals; None without any. I -> I is the rest."""
        return self.fixed / (self.fixed + self.left) if self.fixed + self.left else None

    @property
    def accuracy(self) -> float | None:
        """Right after the turn, of all."""
        return (self.kept + self.fixed) / self.total if self.total else None

    @property
    def original(self) -> float | None:
        """Right before, of all."""
        return (self.kept + self.lost) / self.total if self.total else None


def transitions(records: Sequence[Critiqued], turn: int = -1) -> Transitions:
    """Counts after a turn, from 0; -1 is the last one. Records that have no such turn are left out."""
    pairs = [
        (record.before, record.after[turn], record.found[turn]) for record in records if -len(record.after) <= turn < len(record.after)
    ]
    return Transitions(
        kept=sum(before and after for before, after, _ in pairs),
        lost=sum(before and not after for before, after, _ in pairs),
        fixed=sum(after and not before for before, after, _ in pairs),
        left=sum(not before and not after for before, after, _ in pairs),
        no_correction=sum(not found for _, _, found in pairs),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CritiqueRow:
    """A line of the table: one mode, one turn."""

    mode: str
    turn: int
    """From 1; 0 for solving directly."""
    problems: int
    accuracy: float | None
    interval: Interval
    counts: Transitions | None
    """None for solving directly."""
    kept: Interval | None = None
    """Of `counts.kept_share`, like the next one 0 to 1 where there is nothing to count."""
    fixed: Interval | None = None
    improvement: float | None = None
    """Accuracy less that of the direct solutions of the same problems; less that of the originals where those are not known."""
    improvement_interval: Interval | None = None
    over: str = ""
    """What the improvement is over: direct or original."""


def direct_row(right: Mapping[str, bool]) -> CritiqueRow:
    """The line of the direct mode; `right` by problem id."""
    accuracy = sum(right.values()) / len(right) if right else None
    interval = mean_interval([[float(value)] for value in right.values()])
    return CritiqueRow(mode="direct", turn=0, problems=len(right), accuracy=accuracy, interval=interval, counts=None)


def critique_rows(mode: str, records: Sequence[Critiqued], direct: Mapping[str, bool] | None = None) -> list[CritiqueRow]:
    """One line per turn. `direct`: of each problem whether its direct solution was right."""
    rows = []
    for turn in range(max((len(record.after) for record in records), default=0)):
        counts = transitions(records, turn)
        reached = [record for record in records if turn < len(record.after)]
        known = bool(direct) and all(record.problem_id in (direct or {}) for record in reached)
        base = {record.problem_id: (direct or {})[record.problem_id] if known else record.before for record in reached}
        changes = [float(record.after[turn]) - float(base[record.problem_id]) for record in reached]
        rows.append(
            CritiqueRow(
                mode=mode,
                turn=turn + 1,
                problems=counts.total,
                accuracy=counts.accuracy,
                interval=mean_interval([[float(record.after[turn])] for record in reached]),
                counts=counts,
                kept=wilson(counts.kept, counts.kept + counts.lost),
                fixed=wilson(counts.fixed, counts.fixed + counts.left),
                improvement=sum(changes) / len(changes),
                improvement_interval=difference_interval(changes),
                over="direct" if known else "original",
            )
        )
    return rows
