"""How easily a judge is swayed: the Bias Sensitivity Rate and what belongs to it, from the rulings without and with a cue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tirage.evaluation.intervals import Interval, mean_interval
from tirage.judging.bias import POSITION, Probe

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """One cue's effect on a judge. A tie is not right."""

    cue: str
    """Its name, or `all`."""
    probes: int
    right_before: int
    turned: int
    """Right before, not right after."""
    rate: float | None
    """turned / right_before; None where nothing was right before."""
    interval: Interval
    """Of the rate."""
    accuracy_before: float
    accuracy_after: float
    before: Interval
    """Of the accuracies."""
    after: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """How often a judge prefers the same answer whichever stands first."""

    pairs: int
    same: int
    share: float | None
    """same / pairs; None without pairs."""
    interval: Interval


def sensitivities(probes: Sequence[Probe], *, level: float = 0.95, seed: int = 0) -> list[Sensitivity]:
    """A line per cue in order of appearance, and one over all; empty without probes.

    Intervals are Wilson's for one cue; over all cues pairs are drawn, since rulings on one pair are not independent.
    """
    cues = list(dict.fromkeys(probe.cue for probe in probes))
    groups = [(cue, [probe for probe in probes if probe.cue == cue]) for cue in cues]
    return [_sensitivity(cue, group, level, seed) for cue, group in (*groups, *([(ALL, list(probes))] if cues else []))]


def position_consistency(probes: Iterable[Probe], *, level: float = 0.95) -> Consistency:
    """From the probes of the cue `position`: the same winner in both orders. Two ties are the same."""
    same = [float(probe.before == probe.after) for probe in probes if probe.cue == POSITION]
    return Consistency(
        pairs=len(same),
        same=int(sum(same)),
        share=sum(same) / len(same) if same else None,
        interval=mean_interval([[value] for value in same], level=level),
    )


def _sensitivity(cue: str, probes: Sequence[Probe], level: float, seed: int) -> Sensitivity:
    right = [probe for probe in probes if probe.before == "chosen"]
    turned = [probe for probe in right if probe.after != "chosen"]

    def interval(group: Sequence[Probe], hits: Sequence[bool]) -> Interval:
        clusters: dict[str, list[float]] = {}
        for probe, hit in zip(group, hits, strict=True):
            clusters.setdefault(probe.pair, []).append(float(hit))
        return mean_interval(list(clusters.values()), level=level, seed=seed)

    before, after = ([getattr(probe, when) == "chosen" for probe in probes] for when in ("before", "after"))
    return Sensitivity(
        cue=cue,
        probes=len(probes),
        right_before=len(right),
        turned=len(turned),
        # Bias Sensitivity Rate, JudgeBiasBench (arXiv 2603.08091): #(right before, wrong after) / #(right before)
        rate=len(turned) / len(right) if right else None,
        interval=interval(right, [probe.after != "chosen" for probe in right]),
        accuracy_before=sum(before) / len(probes),
        accuracy_after=sum(after) / len(probes),
        before=interval(probes, before),
        after=interval(probes, after),
    )
