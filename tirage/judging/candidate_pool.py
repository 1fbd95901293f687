"""Candidates of one problem, with what checks and a reward model said of each; the choice among them; and figures about it. Pure.

T1, tool-integrated self-verification (Kang et al. 2025, arXiv 2504.04718): a check by tool filters (g), a reward ranks (r), s = g * r.
"""

import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from tirage.core.message import ObservationStatus
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish
from tirage.core.trajectory import StopReason
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict
from tirage.verification.ballot import classes, plurality
from tirage.verification.extract import final_match
from tirage.verification.reading import answer_of

Rule = Literal["majority", "best", "weighted"]
MATHEMATICAL = Problem(prompt="?")
SIZES = (1, 2, 4, 8, 16, 32, 64)
RM_ONLY = "fallback=rm_only"
_SAID = re.compile(r"\b(True|False)\W*\Z")
_VERDICT = re.compile(r"Verdict:\W*(correct|right|wrong|incorrect)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCandidate:
    """One answer."""

    node: int
    """Where it ends in the tree."""
    answer: str | None
    checks: tuple[bool | None, ...] = ()
    """What each check found; None: it abstained."""
    reward: float | None = None
    """r, >= 0; None where nobody was asked or could say."""

    @property
    def passes(self) -> bool | None:
        """The majority of the checks; None, an abstention, without one."""
        balance = sum(0 if check is None else 1 if check else -1 for check in self.checks)
        return None if balance == 0 else balance > 0

    @property
    def survives(self) -> bool:
        """Whether g = 1: an abstention passes."""
        return self.passes is not False


def select(pool: Sequence[CheckedCandidate], *, rule: Rule = "weighted", filtered: bool = True) -> tuple[CheckedCandidate | None, str]:
    """The chosen candidate, and `RM_ONLY` where the filter left none and was put aside; None for a pool without answers.

    majority: the largest class of answers. best: argmax_i s_i. weighted: argmax_a of the sum of s_i over ans_i = a, and of that class the
    candidate with the highest s_i. Ties go to the first. Where no candidate has a reward, all have the same.
    """
    able = [item for item in pool if item.answer is not None]
    left = [item for item in able if item.survives] if filtered else able
    fallback = RM_ONLY if able and not left else ""
    left = left or able
    if not left:
        return None, ""
    worth = [max(0.0, item.reward or 0.0) for item in left]
    if rule == "best":
        return left[worth.index(max(worth))], fallback
    answers = [item.answer for item in left]
    first = plurality(answers, worth if rule == "weighted" else None)
    assert first is not None
    numbers = classes(answers)
    return left[max((place for place, number in enumerate(numbers) if number == numbers[first]), key=worth.__getitem__)], fallback


def read_pool(
    tree: Tree,
    problem: Problem = MATHEMATICAL,
    *,
    solver: str = "solver",
    verifier: str = "verifier",
    find: Callable[[Tree, int], bool | None] | None = None,
) -> list[CheckedCandidate]:
    """The candidates of a tree with their checks and rewards, in order; those that were checked, where any was.

    `problem` says how answers are read; as those of mathematics by default. `find` reads a check at its last node; `finding` by default.
    """
    find = find or finding
    ends = [node.index for node in tree.nodes[1:] if node.move == solver and node.stop not in (StopReason.OPEN, StopReason.ERROR)]
    pool = [
        CheckedCandidate(
            node=end,
            answer=answer_of(tree.trajectory(end), problem),
            checks=tuple(find(tree, turn_end(tree, child)) for child in tree.children[end] if tree.nodes[child].move == verifier),
            reward=tree.values.get(end),
        )
        for end in ends
    ]
    return [item for item in pool if item.checks] or pool


def turn_end(tree: Tree, node: int) -> int:
    """The last node of the turn that begins at `node`."""
    while True:
        more = [child for child in tree.children[node] if _goes_on(tree, child)]
        if not more:
            return node
        node = more[0]


def _goes_on(tree: Tree, node: int) -> bool:
    step = tree.nodes[node].step
    return step is not None and step.opening is None


def finding(tree: Tree, check: int) -> bool | None:
    """What a check found: the True or False that its last call, of `python`, ended on, else its verdict in words.

    None, an abstention, where something broke, nothing was run, the last run failed, or the limit cut what would have been the verdict.
    """
    path = tree.trajectory(check)
    seen = [item for step in path.steps for item in step.observations]
    if path.error is not None or not seen or seen[-1].status is not ObservationStatus.OK:
        return None
    called = [call.name for step in path.steps for call in step.calls][-1:]
    said = _SAID.search(seen[-1].text.rstrip()) if called == ["python"] else None
    if said is not None:
        return said[1] == "True"
    if path.steps[-1].finish is Finish.LENGTH:
        return None
    verdict = final_match(_VERDICT, path.own_text)
    return None if verdict is None else verdict[1].lower() in ("correct", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFigures:
    """How good the filter is, and the choice. Shares are None where there was nothing to count."""

    candidates: int
    """Graded ones that were checked."""
    precision: float | None
    """Of those that pass, how many are right."""
    recall: float | None
    """Of those that are right, how many pass."""
    f1: float | None
    abstained: float | None
    """Of the candidates, those on which the checks came to no finding; they pass."""
    selection: float | None
    """Of the graded problems, those whose chosen answer is right."""
    oracle: float | None
    """pass@N: of the problems, those with a right candidate."""


def check_figures(judged: Iterable[tuple[Tree, Mapping[int, Verdict]]]) -> CheckFigures:
    """Figures over finished trees with the verdicts on their ends, by node."""
    table: list[tuple[bool, bool, bool]] = []
    chosen: list[bool] = []
    oracle: list[bool] = []
    for tree, verdicts in judged:
        graded = {node: verdict.correct for node, verdict in verdicts.items() if verdict.correct is not None}
        pool = read_pool(tree)
        table += [(graded[item.node], item.survives, item.passes is None) for item in pool if item.checks and item.node in graded]
        if tree.chosen in graded:
            chosen.append(graded[tree.chosen])
        oracle.append(any(graded.get(node.index, False) for node in tree.nodes if node.move == "solver"))
    hits = sum(right and passes for right, passes, _ in table)
    precision = _share(hits, sum(passes for _, passes, _ in table))
    recall = _share(hits, sum(right for right, _, _ in table))
    return CheckFigures(
        candidates=len(table),
        precision=precision,
        recall=recall,
        f1=None if precision is None or recall is None else 2 * precision * recall / (precision + recall) if hits else 0.0,
        abstained=_share(sum(quiet for _, _, quiet in table), len(table)),
        selection=_share(sum(chosen), len(chosen)),
        oracle=_share(sum(oracle), len(oracle)),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def selection_curve(
    pool: Sequence[CheckedCandidate],
    right: Mapping[int, bool],
    *,
    rule: Rule = "weighted",
    filtered: bool = True,
    sizes: Sequence[int] = SIZES,
    draws: int = 200,
    seed: int = 0,
) -> dict[int, float]:
    """How often the choice among N of the candidates is right, for every N in `sizes` up to the pool's: nothing is sampled again.

    All subsets where there are at most `draws`, else as many seeded ones. `right`: of each node whether its answer is.
    """
    curve: dict[int, float] = {}
    for size in sizes:
        if size > len(pool):
            break
        if math.comb(len(pool), size) <= draws:
            subsets = [list(subset) for subset in combinations(pool, size)]
        else:
            subsets = [_subset(pool, size, derive_seed(seed, size, draw)) for draw in range(draws)]
        hits = 0
        for subset in subsets:
            chosen, _ = select(subset, rule=rule, filtered=filtered)
            hits += chosen is not None and right[chosen.node]
        curve[size] = hits / len(subsets)
    return curve


def _subset(pool: Sequence[CheckedCandidate], size: int, seed: int) -> list[CheckedCandidate]:
    """In the order of the pool."""
    return [pool[place] for place in sorted(random.Random(seed).sample(range(len(pool)), size))]
