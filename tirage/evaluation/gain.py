"""Gain: how much of a change comes from using the tool more often, how much from using it better."""

from collections.abc import Sequence
from dataclasses import dataclass

from tirage.evaluation.figures import UNKNOWN, points
from tirage.evaluation.metrics import share
from tirage.evaluation.outcomes import Outcome

FEW = 10
"""Below this many outcomes an accuracy is too vague to split a gain by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """`total == habit + skill`; pooled over graded samples, so `total` can differ slightly from a mean over problems."""

    first: str
    second: str
    total: float
    habit: float
    """Due to the change in how often a tool is used."""
    skill: float
    """Due to the change in accuracy at equal tool use."""
    assumed: tuple[str, ...] = ()
    """Accuracies that were never observed and were taken to be those of the other condition, which credits the change to habit."""
    smallest: int = 0
    """Outcomes behind the least observed of the accuracies that were; below ten the split is a guess."""


def split_gain(first: Sequence[Outcome], second: Sequence[Outcome], names: tuple[str, str] = ("first", "second")) -> Gain | None:
    """Split the difference of two shares into habit and skill (Kitagawa 1955, JASA 50, two-component form).

    With tool rates r and accuracies t (tool used) and n (not used): habit = (r2 - r1) (mean t - mean n), skill = (t2 - t1) mean r +
    (n2 - n1) (1 - mean r). None when either side has no graded outcome.
    """
    before = [outcome for outcome in first if outcome.correct is not None]
    after = [outcome for outcome in second if outcome.correct is not None]
    if not before or not after:
        return None
    rates = [sum(outcome.used_tool for outcome in side) / len(side) for side in (before, after)]
    assumed: list[str] = []
    cells = [sum(outcome.used_tool is tool for outcome in side) for side in (before, after) for tool in (True, False)]
    with_tool = _fill([_accuracy(side, tool=True) for side in (before, after)], names, "with the tool", assumed)
    without = _fill([_accuracy(side, tool=False) for side in (before, after)], names, "without the tool", assumed)
    middle = sum(rates) / 2
    return Gain(
        first=names[0],
        second=names[1],
        total=sum(bool(outcome.correct) for outcome in after) / len(after) - sum(bool(outcome.correct) for outcome in before) / len(before),
        habit=(rates[1] - rates[0]) * (sum(with_tool) - sum(without)) / 2,
        skill=(with_tool[1] - with_tool[0]) * middle + (without[1] - without[0]) * (1 - middle),
        assumed=tuple(assumed),
        smallest=min(count for count in cells if count),
    )


def halves(gain: Gain) -> tuple[str, str]:
    """Habit and skill in points: `*` something was never observed, `–†` a cell has fewer than ten outcomes and the split says nothing."""
    if gain.smallest < FEW:
        return f"{UNKNOWN}†", f"{UNKNOWN}†"
    mark = "*" if gain.assumed else ""
    return points(gain.habit) + mark, points(gain.skill) + mark


def doubts(gains: Sequence[Gain]) -> str:
    """What the marks of `halves` mean, empty when there are none."""
    missing = list(dict.fromkeys(name for gain in gains if gain.smallest >= FEW for name in gain.assumed))
    lines = []
    if missing:
        lines.append(f"* Never observed: {'; '.join(missing)}; the other condition's accuracy stands in, which credits habit.")
    if any(gain.smallest < FEW for gain in gains):
        lines.append(f"† Fewer than {FEW} rollouts of one condition were with, or without, the tool: too few to tell habit from skill.")
    return " ".join(lines)


def _accuracy(outcomes: Sequence[Outcome], *, tool: bool) -> float | None:
    return share(bool(outcome.correct) for outcome in outcomes if outcome.used_tool is tool)


def _fill(pair: Sequence[float | None], names: tuple[str, str], stratum: str, assumed: list[str]) -> tuple[float, float]:
    """Replace a missing accuracy by the other condition's; a stratum missing on both sides has no weight."""
    first, second = pair
    if first is None and second is not None:
        assumed.append(f"{names[0]} {stratum}")
    if second is None and first is not None:
        assumed.append(f"{names[1]} {stratum}")
    left = first if first is not None else second
    right = second if second is not None else first
    return left or 0.0, right or 0.0
