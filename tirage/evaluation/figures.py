"""Figures as text: the one place that decides how a number looks to people."""

from typing import Any

from tirage.evaluation.intervals import Interval

UNKNOWN = "–"


def percent(value: float | None) -> str:
    """`12.3 %`; an en dash for None."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def points(value: float | None) -> str:
    """Signed percentage points without the unit: `+12.3`, with a true minus sign; an en dash for None."""
    if value is None:
        return UNKNOWN
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def p_text(value: float | None) -> str:
    """`0.031`, `< 0.001`; an en dash for None."""
    if value is None:
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def band(interval: Interval | None, *, signed: bool = False) -> str:
    """`1.2–3.4` in percent, `+1.2 to +3.4` in points; an en dash for None."""
    if interval is None:
        return UNKNOWN
    if signed:
        return f"{points(interval.low)} to {points(interval.high)}"
    return f"{100 * interval.low:.1f}–{100 * interval.high:.1f}"


def level_text(level: float) -> str:
    """`95 %`."""
    return f"{100 * level:g} %"


def seconds(value: Any) -> str:
    """Numbers as milliseconds, seconds, minutes or hours; anything else as it is."""
    if value is None:
        return UNKNOWN
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return str(value)
    if value < 120:
        return f"{value:.1f} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def number(value: float | None) -> str:
    """Thousands separated by commas; one decimal below 100 unless whole; an en dash for None."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:,.1f}"


def scalar(value: Any) -> str:
    """A value of a free table for people."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def draws(problems: int, samples: int) -> str:
    """`300`, or `300 × 8` with eight samples per problem."""
    return f"{problems:,}" if samples == problems or not problems else f"{problems:,} × {samples / problems:.3g}"
