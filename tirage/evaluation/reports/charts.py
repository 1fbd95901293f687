"""Charts as inline SVG, without a plotting library. Colours come from the page's style sheet, so they follow light and dark."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tirage.evaluation.figures import percent, points
from tirage.evaluation.reports.markup import escape

_ROW = 34.0
_TOP = 8
_AXIS = 30
_VALUE = 140
_WIDTH = 980
_CHAR = 7.3
"""Width of an average character at 13 px; labels are placed by estimate since nothing here can measure text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One measured value."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    tone: int = 0
    """Index into the page's palette."""
    text: str = ""
    """Shown at the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where things are, in SVG units."""

    left: float
    right: float
    low: float
    high: float
    rows: float
    row: float = _ROW
    """Height of a row."""

    @property
    def height(self) -> float:
        """Of the whole picture."""
        return self.bottom + _AXIS

    @property
    def bottom(self) -> float:
        """Lower edge of the plot."""
        return _TOP + self.rows * self.row

    def x(self, value: float) -> float:
        """Horizontal place of a value, clamped to the plot."""
        share = (value - self.low) / (self.high - self.low)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def y(self, row: int) -> float:
        """Vertical centre of a row."""
        return _TOP + (row + 0.5) * self.row


def share_bars(marks: Sequence[Mark], title: str) -> str:
    """Horizontal bars of shares in [0, 1] with interval whiskers."""
    frame = _frame([mark.label for mark in marks])
    body = []
    for row, mark in enumerate(marks):
        y, end = frame.y(row), frame.x(mark.value)
        width = max(end - frame.left, 0.75)
        body.append(f'<rect class="fill t{mark.tone}" x="{frame.left:.1f}" y="{y - 9:.1f}" width="{width:.1f}" height="18" rx="2"/>')
        body.append(_whisker(frame, mark, y))
        body.append(_text(_WIDTH - 2, y, mark.text or percent(mark.value), "end", "value"))
    return _svg(title, _described(marks, percent), frame, _axis(frame, percent_ticks()) + _labels(frame, marks) + "".join(body))


def difference_rows(marks: Sequence[Mark], title: str) -> str:
    """Differences in [-1, 1] with whiskers around a zero line."""
    reach = max((abs(value) for mark in marks for value in (mark.value, mark.low or 0.0, mark.high or 0.0)), default=0.1)
    high = max(0.1, min(1.0, _round_up(reach)))
    low = -high if any(min(mark.value, mark.low or 0.0) < 0 for mark in marks) else -high / 5
    frame = _frame([mark.label for mark in marks], low=low, high=high)
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if (high - low) / step <= 9)
    count = int(high / step + 1e-9)
    ticks = [(index * step, points(index * step).removesuffix(".0")) for index in range(-count, count + 1) if index * step >= low - 1e-9]
    zero = f'<line class="zero" x1="{frame.x(0):.1f}" x2="{frame.x(0):.1f}" y1="{_TOP}" y2="{frame.bottom}"/>'
    body = [zero]
    for row, mark in enumerate(marks):
        y = frame.y(row)
        body.append(_whisker(frame, mark, y))
        body.append(f'<rect class="fill t{mark.tone}" x="{frame.x(mark.value) - 6:.1f}" y="{y - 6:.1f}" width="12" height="12" rx="2"/>')
        body.append(_text(_WIDTH - 2, y, mark.text or points(mark.value), "end", "value"))
    return _svg(title, _described(marks, points), frame, _axis(frame, ticks) + _labels(frame, marks) + "".join(body))


def dumbbells(pairs: Sequence[tuple[Mark, Mark]], title: str) -> str:
    """Two shares per row joined by a line: hollow ring first, filled dot second."""
    frame = _frame([first.label for first, _ in pairs])
    body = []
    for row, (first, second) in enumerate(pairs):
        y, start, end = frame.y(row), frame.x(first.value), frame.x(second.value)
        body.append(f'<line class="bar t{second.tone}" x1="{start:.1f}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(f'<circle class="ring t{first.tone}" cx="{start:.1f}" cy="{y:.1f}" r="6"/>')
        body.append(f'<circle class="fill t{second.tone}" cx="{end:.1f}" cy="{y:.1f}" r="7"/>')
        body.append(_text(_WIDTH - 2, y, f"{100 * first.value:.0f} → {100 * second.value:.0f} %", "end", "value"))
    words = "; ".join(f"{first.label}: {percent(first.value)} to {percent(second.value)}" for first, second in pairs)
    return _svg(title, words, frame, _axis(frame, percent_ticks()) + _labels(frame, [first for first, _ in pairs]) + "".join(body))


def dot_rows(rows: Sequence[tuple[str, Sequence[Mark]]], title: str) -> str:
    """Several shares per row with whiskers, spread a little so that they do not cover each other."""
    most = max((len(marks) for _, marks in rows), default=1)
    frame = _frame([label for label, _ in rows], row=max(_ROW, 11.0 * most + 12))
    body = []
    for row, (_, marks) in enumerate(rows):
        if row:
            edge = frame.y(row) - frame.row / 2
            body.append(f'<line class="grid" x1="0" x2="{frame.right:.1f}" y1="{edge:.1f}" y2="{edge:.1f}"/>')
        for index, mark in enumerate(marks):
            y = frame.y(row) + (index - (len(marks) - 1) / 2) * 11
            body.append(_whisker(frame, mark, y, cap=2.5))
            shape = "ring" if mark.tone == 0 else "fill"
            body.append(f'<circle class="{shape} t{mark.tone}" cx="{frame.x(mark.value):.1f}" cy="{y:.1f}" r="4.5"/>')
    words = "; ".join(f"{label}: " + ", ".join(f"{mark.label} {percent(mark.value)}" for mark in marks) for label, marks in rows)
    heads = [Mark(label=label, value=0.0) for label, _ in rows]
    return _svg(title, words, frame, _axis(frame, percent_ticks()) + _labels(frame, heads) + "".join(body))


def funnel(counts: Sequence[tuple[str, int]], title: str) -> str:
    """Counts along a funnel, as bars relative to the largest; the text tells the count and its share of the first."""
    most = max((count for _, count in counts), default=0) or 1
    frame = _frame([label for label, _ in counts], high=float(most))
    first = counts[0][1] if counts else 0
    body = []
    for row, (_, count) in enumerate(counts):
        y, width = frame.y(row), max(frame.x(count) - frame.left, 0.75)
        share = f"  ({100 * count / first:.0f} %)" if first and row else ""
        body.append(f'<rect class="fill funnel" x="{frame.left:.1f}" y="{y - 11:.1f}" width="{width:.1f}" height="22" rx="2"/>')
        body.append(_text(_WIDTH - 2, y, f"{count:,}{share}", "end", "value"))
    words = "; ".join(f"{label}: {count:,}" for label, count in counts)
    marks = [Mark(label=label, value=0.0) for label, _ in counts]
    return _svg(title, words, frame, _labels(frame, marks) + "".join(body), axis=False)


def scatter(costs: Sequence[tuple[Mark, float]], title: str, label: str) -> str:
    """Shares in [0, 1] with whiskers over a cost >= 0, linear from zero; names beside the points."""
    most = max((cost for _, cost in costs), default=0.0) or 1.0
    step = _nice(most / 5)
    frame = Frame(left=70, right=_WIDTH - _VALUE, low=0.0, high=step * (int(most / step) + 1), rows=6)
    body = []
    for value, text in percent_ticks():
        y = _upright(frame, value)
        body.append(f'<line class="grid" x1="{frame.left}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(_text(frame.left - 10, y, text, "end", "tick"))
    count = round(frame.high / step)
    body.extend(_text(frame.x(index * step), frame.bottom + 16, f"{index * step:,g}", "middle", "tick") for index in range(count + 1))
    body.append(_text((frame.left + frame.right) / 2, frame.bottom + 36, label, "middle", "tick"))
    placed: list[tuple[float, float]] = []
    for mark, cost in costs:
        x, y = frame.x(cost), _upright(frame, mark.value)
        if mark.low is not None and mark.high is not None:
            low, high = _upright(frame, mark.low), _upright(frame, mark.high)
            body.append(f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"/>')
        body.append(f'<circle class="{"ring" if mark.tone == 0 else "fill"} t{mark.tone}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>')
        # Left of the point where a name to the right would cover an earlier one.
        crowded = any(abs(x - other) < 12 + len(mark.label) * _CHAR and abs(y - height) < 15 for other, height in placed)
        body.append(_text(x + (-12 if crowded else 12), y, mark.label, "end" if crowded else "start", "label"))
        placed.append((x, y))
    words = "; ".join(f"{mark.label}: {percent(mark.value)} at {cost:,.0f}" for mark, cost in costs)
    return _svg(title, words, replace(frame, rows=frame.rows + 0.6), "".join(body))


def _upright(frame: Frame, share: float) -> float:
    """Vertical place of a share, 1 at the top; a little room is kept above for names."""
    return frame.bottom - min(max(share, 0.0), 1.0) * (frame.bottom - _TOP - 6)


def _nice(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step - 1e-12)


def legend(entries: Iterable[tuple[str, int]], *, hollow: Iterable[int] = ()) -> str:
    """Names and colours; `hollow` are the tones drawn as a ring."""
    rings = set(hollow)
    items = "".join(
        f'<span><svg width="14" height="14" aria-hidden="true"><circle class="{"ring" if tone in rings else "fill"} t{tone}" '
        f'cx="7" cy="7" r="5"/></svg>{escape(name)}</span>'
        for name, tone in entries
    )
    return f'<div class="legend">{items}</div>'


def percent_ticks() -> list[tuple[float, str]]:
    """Five ticks from 0 to 100 %."""
    return [(index / 4, f"{25 * index} %") for index in range(5)]


def _frame(labels: Sequence[str], *, low: float = 0.0, high: float = 1.0, row: float = _ROW) -> Frame:
    longest = max((len(label) for label in labels), default=0)
    left = min(max(longest * _CHAR + 16, 70), 230)
    return Frame(left=left, right=_WIDTH - _VALUE, low=low, high=high, rows=len(labels), row=row)


def _axis(frame: Frame, ticks: Sequence[tuple[float, str]]) -> str:
    bottom = frame.bottom
    lines = []
    for value, label in ticks:
        x = frame.x(value)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        lines.append(_text(x, bottom + 16, label, "middle", "tick"))
    return "".join(lines)


def _labels(frame: Frame, marks: Sequence[Mark]) -> str:
    room = int((frame.left - 14) / _CHAR)
    parts = []
    for row, mark in enumerate(marks):
        short = mark.label if len(mark.label) <= room else mark.label[: room - 1] + "…"
        parts.append(_text(frame.left - 10, frame.y(row), short, "end", "label", tip=mark.label if short != mark.label else ""))
    return "".join(parts)


def _whisker(frame: Frame, mark: Mark, y: float, cap: float = 5.0) -> str:
    if mark.low is None or mark.high is None:
        return ""
    low, high = frame.x(mark.low), frame.x(mark.high)
    path = f"M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - cap:.1f}v{2 * cap:g}M{high:.1f} {y - cap:.1f}v{2 * cap:g}"
    return f'<path class="halo" d="{path}"/><path class="whisker" d="{path}"/>'


def _text(x: float, y: float, text: str, anchor: str, css: str, *, tip: str = "") -> str:
    more = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<text class="{css}" x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="{anchor}">{escape(text)}{more}</text>'


def _described(marks: Sequence[Mark], show: Callable[[float | None], str]) -> str:
    parts = []
    for mark in marks:
        spread = f" ({show(mark.low)} to {show(mark.high)})" if mark.low is not None and mark.high is not None else ""
        parts.append(f"{mark.label}: {show(mark.value)}{spread}")
    return "; ".join(parts)


def _round_up(value: float) -> float:
    return next((edge for edge in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0) if value <= edge + 1e-9), 1.0)


def _svg(title: str, words: str, frame: Frame, body: str, *, axis: bool = True) -> str:
    """The picture with its text alternative. `aria-label` needs no ids, so charts can be put together in any order."""
    height = frame.height if axis else frame.height - _AXIS + _TOP
    return (
        f'<div class="scroll"><svg class="chart" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(f"{title}. {words}")}">'
        f"{body}</svg></div>"
    )
