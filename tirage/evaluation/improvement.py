"""The improvement report: before, with hints, control and after, side by side."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tirage.core.errors import ConfigError
from tirage.evaluation.gain import split_gain
from tirage.evaluation.gate import Decision, decide
from tirage.evaluation.intervals import mean_interval
from tirage.evaluation.metrics import verified_yield
from tirage.evaluation.outcomes import Outcome, by_problem
from tirage.evaluation.paired import Paired, compare_paired
from tirage.evaluation.reports.report import Part, Report, Section, Timing, Yield
from tirage.evaluation.summary import Measuring, grouped, summarise

STANDARD_PAIRS = (("before", "after"), ("control", "after"), ("before", "hinted"), ("before", "control"))
"""Comparisons made when both conditions were measured; the first one found is the headline."""

_SIZES = ("easy", "medium", "hard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a report says besides numbers."""

    title: str = "Improvement report"
    subtitle: str = ""
    notes: Sequence[str] = ()
    """What a reader must know, e.g. that the tool habit of the base model is designed."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Free tables by title."""
    next_command: str = ""


def build_improvement_report(
    conditions: Mapping[str, Sequence[Outcome]],
    *,
    unseen: Collection[str] = (),
    pairs: Sequence[tuple[str, str]] | None = None,
    yields: Mapping[str, Sequence[Outcome]] | None = None,
    datasets: Mapping[str, Mapping[str, int]] | None = None,
    context: Context | None = None,
    timing: Mapping[str, Any] | None = None,
    measuring: Measuring | None = None,
) -> Report:
    """Measure all conditions and compare them on the same problems.

    Args:
        conditions: Outcomes by condition name, in the order of the story. Conditions may be empty (then shown as such).
        unseen: Families that were never trained on. They, and problems of split `unseen`, make a part of their own and stay out of the
            main numbers.
        pairs: Comparisons (first, second); None takes those of `STANDARD_PAIRS` whose conditions exist. The first is the headline.
        yields: Sampling runs by name; the share of verified samples is shown.
        datasets: Funnel counts by dataset, in order.
        context: Title, notes, lineage, further tables.
        timing: The caller's seconds by stage.
        measuring: Level, seed and the policy for ungraded outcomes.

    Raises:
        ConfigError: When `pairs` names a condition that does not exist.
    """
    how, about = measuring or Measuring(), context or Context()
    wanted = [pair for pair in STANDARD_PAIRS if set(pair) <= conditions.keys()] if pairs is None else list(pairs)
    for name in {name for pair in wanted for name in pair} - conditions.keys():
        raise ConfigError(f"comparison names the condition {name!r}; measured were: {', '.join(conditions) or 'none'}")
    far = set(unseen)
    main = {name: [item for item in items if not _is_unseen(item, far)] for name, items in conditions.items()}
    new = {name: [item for item in items if _is_unseen(item, far)] for name, items in conditions.items()}
    parts = []
    if any(main.values()) or not any(new.values()):
        parts.append(build_part("Known families" if any(new.values()) else "All problems", main, wanted, how))
    if any(new.values()):
        measured = {name: items for name, items in new.items() if items}
        parts.append(build_part("Unseen families", measured, [pair for pair in wanted if set(pair) <= measured.keys()], how))
    return Report(
        title=about.title,
        subtitle=about.subtitle,
        parts=tuple(parts),
        yields=tuple(sampling_yield(name, items, how) for name, items in (yields or {}).items()),
        datasets={name: dict(counts) for name, counts in (datasets or {}).items()},
        sections=tuple(Section(title=title, rows=dict(rows)) for title, rows in about.sections.items()),
        notes=tuple(about.notes),
        lineage=dict(about.lineage),
        next_command=about.next_command,
        decision=_decision(parts),
        method={
            "level": how.level,
            "resamples": how.resamples,
            "seed": how.seed,
            "ungraded": "counted as wrong" if how.ungraded_as_wrong else "left out",
        },
        timing=_timing(conditions, timing or {}),
    )


def build_part(
    title: str, conditions: Mapping[str, Sequence[Outcome]], pairs: Sequence[tuple[str, str]], measuring: Measuring | None = None
) -> Part:
    """Measure one set of problems under all conditions; comparisons without a common problem are left out."""
    how = measuring or Measuring()
    comparisons: list[Paired] = []
    gains = []
    for first, second in pairs:
        paired = compare_paired(
            conditions[first],
            conditions[second],
            names=(first, second),
            level=how.level,
            resamples=how.resamples,
            seed=how.seed,
            ungraded_as_wrong=how.ungraded_as_wrong,
        )
        if paired.pairs:
            comparisons.append(paired)
            gains.append(split_gain(conditions[first], conditions[second], (first, second)))
    tiers = grouped(conditions, lambda outcome: outcome.tier, how)
    return Part(
        title=title,
        conditions={name: summarise(items, how) for name, items in conditions.items()},
        comparisons=tuple(comparisons),
        gains=tuple(gain for gain in gains if gain is not None),
        families=grouped(conditions, lambda outcome: outcome.family, how),
        tiers={} if set(tiers) <= {"-"} else {tier: tiers[tier] for tier in sorted(tiers, key=_size)},
    )


def sampling_yield(name: str, outcomes: Sequence[Outcome], measuring: Measuring | None = None) -> Yield:
    """Verified samples per sample drawn, with an interval that treats the problem as the unit.

    The interval is that of the ratio, linearised: problem i enters as share + (verified_i - share n_i) / mean n, which is its own share
    when all problems have the same number of samples n.
    """
    how = measuring or Measuring()
    verified = sum(outcome.correct is True for outcome in outcomes)
    tokens = sum(outcome.tokens_out for outcome in outcomes)
    share = verified_yield(outcomes)
    groups = [[outcome.correct is True for outcome in group] for group in by_problem(outcomes).values()]
    typical = len(outcomes) / len(groups) if groups else 1.0
    clusters = [[share + (sum(group) - share * len(group)) / typical] for group in groups] if share is not None else []
    return Yield(
        name=name,
        samples=len(outcomes),
        verified=verified,
        ungraded=sum(outcome.correct is None for outcome in outcomes),
        share=share,
        interval=mean_interval(clusters, level=how.level, resamples=how.resamples, seed=how.seed) if clusters else None,
        tokens_out=tokens,
        tokens_per_verified=tokens / verified if verified else None,
    )


def _decision(parts: Sequence[Part]) -> Decision | None:
    """Rule on the first comparison of the first part; the same comparison elsewhere guards it."""
    if not parts or not parts[0].comparisons:
        return None
    main = parts[0].comparisons[0]
    guards = [item for part in parts[1:] for item in part.comparisons if (item.first, item.second) == (main.first, main.second)]
    return decide(main, guards)


def _size(tier: str) -> int:
    """Place of a tier among those whose names tell their size; the others follow in the order they have."""
    return _SIZES.index(tier) if tier in _SIZES else len(_SIZES)


def _is_unseen(outcome: Outcome, families: Collection[str]) -> bool:
    return outcome.split == "unseen" or outcome.family in families


def _timing(conditions: Mapping[str, Sequence[Outcome]], stages: Mapping[str, Any]) -> Timing:
    seconds = {name: math.fsum(outcome.wall_s for outcome in items) for name, items in conditions.items() if items}
    return Timing(
        conditions=seconds,
        per_problem={name: total / len(by_problem(conditions[name])) for name, total in seconds.items()},
        stages=dict(stages),
    )
