"""Report: everything a page or a terminal shows about a measurement, as plain values.

What a clock touched is in `timing` and nowhere else, so two runs with the same seeds give the same bytes in the rest.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tirage.core.codec import decode
from tirage.core.errors import DataError
from tirage.evaluation.figures import band, level_text, p_text, percent, points
from tirage.evaluation.gain import Gain
from tirage.evaluation.gate import Decision
from tirage.evaluation.intervals import Interval
from tirage.evaluation.paired import Paired
from tirage.evaluation.summary import Summary

SCHEMA = 1
KIND = "tirage-report"
_DIGITS = 6
"""Significant digits in the file; more is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One set of problems under all conditions."""

    title: str
    """E.g. `Known families`, `Unseen families`."""
    conditions: Mapping[str, Summary]
    """In the order of the story, e.g. before, hinted, control, after."""
    comparisons: tuple[Paired, ...] = ()
    gains: tuple[Gain, ...] = ()
    families: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)
    """By family, then by condition."""
    tiers: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)
    """By size tier, then by condition; empty when problems have no tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """What sampling brought in."""

    name: str
    samples: int
    verified: int
    ungraded: int = 0
    share: float | None = None
    """`verified / samples`; None without samples."""
    interval: Interval | None = None
    tokens_out: int = 0
    tokens_per_verified: float | None = None
    """Sampled tokens paid for each verified sample; None when none was verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A free table of keys and values."""

    title: str
    rows: Mapping[str, Any]
    """JSON scalars, shown in the given order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """All that a clock touched, in seconds."""

    conditions: Mapping[str, float] = field(default_factory=dict)
    """Sum of rollout wall times by condition; rollouts run side by side, so it exceeds the time waited."""
    per_problem: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, Any] = field(default_factory=dict)
    """The caller's measurements, e.g. `training` -> 57.2; text values are shown as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished measurement."""

    title: str
    subtitle: str = ""
    parts: tuple[Part, ...] = ()
    """The main part first."""
    yields: tuple[Yield, ...] = ()
    datasets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Per dataset the counts along its funnel, in order, e.g. sampled -> verified -> kept."""
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know to read the numbers right."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Names to hashes: checkpoint, dataset, configuration."""
    next_command: str = ""
    decision: Decision | None = None
    """Whether the second condition of the main comparison should replace the first; None without a comparison."""
    method: Mapping[str, Any] = field(default_factory=dict)
    """How the numbers were made: level, resamples, seed, ungraded."""
    timing: Timing = field(default_factory=Timing)

    @property
    def headline(self) -> str:
        """The main comparison in one sentence; the first one of the first part. Empty without any."""
        return next((describe(paired) for part in self.parts[:1] for paired in part.comparisons[:1]), "")


def describe(paired: Paired) -> str:
    """A comparison in words: direction, size, interval, p value, n."""
    if paired.difference is None or paired.interval is None or paired.p_value is None:
        return f"{paired.first} and {paired.second} share no graded problem"
    clear = paired.p_value < 1 - paired.interval.level
    verb = ("rose" if paired.difference > 0 else "fell") if clear else "did not change measurably"
    p_value = p_text(paired.p_value)
    return (
        f"Accuracy {verb} from {percent(paired.first_mean)} ({paired.first}) to {percent(paired.second_mean)} ({paired.second}): "
        f"{points(paired.difference)} points, {level_text(paired.interval.level)} interval {band(paired.interval, signed=True)}, "
        f"p {p_value if p_value.startswith('<') else '= ' + p_value}, {paired.pairs} paired problems"
    )


def to_plain(report: Report) -> dict[str, Any]:
    """Plain JSON data: `deterministic` and `timing` apart, floats at six significant digits."""
    data = asdict(report)
    timing = data.pop("timing")
    return {"kind": KIND, "schema": SCHEMA, "deterministic": _plain(data), "timing": _plain(timing)}


def from_plain(data: Any) -> Report:
    """Build a report from the data of `to_plain`. Raises DataError when it is none, newer, or has unknown keys."""
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise DataError("this is not a tirage report: it needs `kind: tirage-report`; pass the report.json that a run wrote")
    if data.get("schema") != SCHEMA:
        raise DataError(f"report schema {data.get('schema')!r} cannot be read by this version, which knows {SCHEMA}; update tirage")
    body = data.get("deterministic")
    if not isinstance(body, dict):
        raise DataError("report: key 'deterministic' is missing or not an object; write the report again")
    return decode(Report, {**body, "timing": data.get("timing", {})})


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
