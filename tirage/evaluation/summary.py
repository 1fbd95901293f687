"""Summary: the numbers of one condition, or of one group within it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tirage.evaluation.intervals import Interval, mean_interval
from tirage.evaluation.metrics import accuracy, correctness, maj_at_many, pass_at_k, per_problem, share, tool_rate
from tirage.evaluation.outcomes import Outcome, by_problem
from tirage.verification.answer_keys import AnswerKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How numbers are made; one value for a whole report."""

    level: float = 0.95
    """Coverage of every interval."""
    resamples: int = 10_000
    seed: int = 0
    ungraded_as_wrong: bool = False
    key: AnswerKey | None = None
    """When two answers are the same vote in maj@k."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was measured on a set of outcomes. Nothing in it depends on a clock."""

    problems: int
    """Distinct problems, ungraded ones included."""
    samples: int
    """All outcomes."""
    ungraded: int = 0
    broken: int = 0
    """Outcomes with an error around the policy."""
    accuracy: float | None = None
    """Mean over problems; None when nothing is graded."""
    interval: Interval | None = None
    """Of the accuracy."""
    tool_rate: float | None = None
    hint_rate: float | None = None
    accuracy_with_tool: float | None = None
    """Share correct among graded samples that ran a tool; None when there are none."""
    accuracy_without_tool: float | None = None
    tokens_in: float | None = None
    """Prompt tokens per problem."""
    tokens_out: float | None = None
    """Sampled tokens per problem, over all its samples."""
    model_calls: float | None = None
    """Per problem."""
    at_k: Mapping[str, float] = field(default_factory=dict)
    """`pass@k` and `maj@k` where problems have several samples."""
    stops: Mapping[str, int] = field(default_factory=dict)
    """How paths ended, most frequent first."""


def summarise(outcomes: Sequence[Outcome], measuring: Measuring | None = None, *, estimates: bool = True) -> Summary:
    """Measure a set of outcomes; an empty one gives counts of zero and None everywhere else.

    `estimates=False` leaves `at_k` empty: maj@k is the dear part, and groups do not show it.
    """
    how = measuring or Measuring()
    measured = accuracy(outcomes, ungraded_as_wrong=how.ungraded_as_wrong)
    known = [outcome for outcome in outcomes if outcome.correct is not None or how.ungraded_as_wrong]
    clusters = correctness(outcomes, ungraded_as_wrong=how.ungraded_as_wrong)
    stops = Counter(outcome.stop or "nothing produced" for outcome in outcomes)
    return Summary(
        problems=len(by_problem(outcomes)),
        samples=len(outcomes),
        ungraded=measured.ungraded,
        broken=sum(outcome.error is not None for outcome in outcomes),
        accuracy=measured.value,
        interval=mean_interval(clusters, level=how.level, resamples=how.resamples, seed=how.seed) if clusters else None,
        tool_rate=tool_rate(outcomes),
        hint_rate=share(outcome.hinted for outcome in outcomes),
        accuracy_with_tool=share(bool(outcome.correct) for outcome in known if outcome.used_tool),
        accuracy_without_tool=share(bool(outcome.correct) for outcome in known if not outcome.used_tool),
        tokens_in=per_problem(outcomes, "tokens_in"),
        tokens_out=per_problem(outcomes, "tokens_out"),
        model_calls=per_problem(outcomes, "model_calls"),
        at_k=_at_k(outcomes, clusters, how) if estimates else {},
        stops=dict(sorted(stops.items(), key=lambda item: (-item[1], item[0]))),
    )


def grouped(
    conditions: Mapping[str, Sequence[Outcome]], group: Callable[[Outcome], str], measuring: Measuring | None = None
) -> dict[str, dict[str, Summary]]:
    """Summaries by group (in natural order), then by condition (in the given order, only where it has outcomes)."""
    split: dict[str, dict[str, list[Outcome]]] = {}
    for name, outcomes in conditions.items():
        for outcome in outcomes:
            split.setdefault(group(outcome), {}).setdefault(name, []).append(outcome)
    return {
        key: {name: summarise(items, measuring, estimates=False) for name, items in split[key].items()}
        for key in sorted(split, key=_natural)
    }


def _at_k(outcomes: Iterable[Outcome], clusters: Sequence[Sequence[float]], how: Measuring) -> dict[str, float]:
    """For the powers of two up to the number of graded samples that 95 % of problems reach, and that number itself.

    The few problems with less are left out of the larger k. Empty when that number is 1.
    """
    reached = sorted(len(cluster) for cluster in clusters)
    most = reached[len(reached) // 20] if reached else 0
    if most < 2:
        return {}
    sizes = sorted({most} | {2**power for power in range(1, most.bit_length()) if 2**power <= most})
    kept = list(outcomes)
    estimates = [pass_at_k(kept, k, ungraded_as_wrong=how.ungraded_as_wrong) for k in sizes]
    estimates += maj_at_many(kept, [k for k in sizes if k > 2], key=how.key, ungraded_as_wrong=how.ungraded_as_wrong)
    return {estimate.name: estimate.value for estimate in estimates if estimate.value is not None}


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which `tier 10` comes after `tier 9`."""
    parts: list[tuple[int, int, str]] = []
    digits = ""
    for char in [*name, ""]:
        if char.isdecimal() and char.isascii():
            digits += char
            continue
        if digits:
            parts.append((0, int(digits), ""))
            digits = ""
        parts.append((1, 0, char))
    return tuple(parts)
