"""Accuracy over spending: what a tree would have answered had it been stopped earlier."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tirage.core.rollout import Rollout
from tirage.core.tree import ROOT, Tree

Elect = Callable[[Tree, Mapping[int, str | None]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The election among the paths that had ended by then."""

    tokens: int
    """Sampled so far, the judging's share included."""
    correct: bool
    """Of the elected path; False while there is none."""


def moments(rollout: Rollout, elect: Elect) -> list[Moment]:
    """One moment per ended path, in the order in which they joined the tree; judging is spread over the ends alike."""
    tree = rollout.tree
    ends = [node.index for node in tree.nodes if node.index in rollout.verdicts and not tree.children[node.index]]
    found: list[Moment] = []
    answers: dict[int, str | None] = {}
    spent, judged = 0, 0.0
    share = tree.judging.tokens_out / max(1, len(ends))
    waiting = iter([*ends, len(tree.nodes)])
    end = next(waiting)
    for node in tree.nodes[1:]:
        spent += node.step.usage.tokens_out if node.step is not None else 0
        if node.index != end:
            continue
        end = next(waiting)
        judged += share
        answers[node.index] = rollout.verdicts[node.index].answer
        chosen = elect(tree, answers)
        verdict = rollout.verdicts.get(chosen) if chosen != ROOT else None
        found.append(Moment(tokens=round(spent + judged), correct=verdict is not None and verdict.correct is True))
    return found


def right_within(moments: Sequence[Moment], tokens: int) -> bool:
    """Whether the tree was right when so many tokens were spent; False while nothing had ended."""
    within = [moment for moment in moments if moment.tokens <= tokens]
    return bool(within) and within[-1].correct


def accuracy_at(curves: Sequence[Sequence[Moment]], tokens: Iterable[int]) -> list[float]:
    """Share of trees that are right after so many sampled tokens each, for each of `tokens` (ascending); 0 without trees."""
    places = [0] * len(curves)
    found = []
    for limit in tokens:
        right = 0
        for number, curve in enumerate(curves):
            while places[number] < len(curve) and curve[places[number]].tokens <= limit:
                places[number] += 1
            right += places[number] > 0 and curve[places[number] - 1].correct
        found.append(right / len(curves) if curves else 0.0)
    return found
