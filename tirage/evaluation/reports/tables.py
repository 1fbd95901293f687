"""The report in a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tirage.evaluation.figures import band, draws, level_text, number, p_text, percent, points, scalar, seconds
from tirage.evaluation.gain import Gain, doubts, halves
from tirage.evaluation.paired import Paired
from tirage.evaluation.reports.report import Part, Report, Timing, Yield
from tirage.evaluation.summary import Summary


def print_report(report: Report, console: Console | None = None) -> None:
    """Print all tables of a report, the headline first."""
    (console or Console()).print(render_tables(report))


def render_tables(report: Report) -> RenderableType:
    """All tables as one renderable; text from the report is shown literally, never read as markup."""
    blocks: list[RenderableType] = [Text(report.title, style="bold")]
    if report.subtitle:
        blocks.append(Text(report.subtitle, style="dim"))
    if report.headline:
        blocks.append(Text(report.headline))
    if report.decision:
        blocks.append(Text.assemble("Gate: ", (report.decision.ruling.value, "bold"), f" — {report.decision.reason}"))
    for part in report.parts:
        blocks.extend(_part(part, report.timing))
    if report.yields:
        blocks.append(_yields(report.yields))
    blocks.extend(_pairs(f"Dataset: {name}", counts) for name, counts in report.datasets.items())
    blocks.extend(_pairs(section.title, section.rows) for section in report.sections)
    if report.timing.stages:
        blocks.append(_pairs("Time", {name: seconds(value) for name, value in report.timing.stages.items()}))
    if report.lineage:
        blocks.append(_pairs("Lineage", report.lineage))
    blocks.extend(Text(f"Note: {note}", style="dim") for note in report.notes)
    if report.next_command:
        blocks.append(Text.assemble("Next: ", (report.next_command, "bold")))
    return Group(*blocks)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(title), title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if index else "left", no_wrap=not index)
    return table


def _part(part: Part, timing: Timing) -> Iterable[RenderableType]:
    level = next((summary.interval.level for summary in part.conditions.values() if summary.interval), 0.95)
    table = _table(part.title, "condition", "n", "accuracy", f"{level_text(level)}", "tool used", "tokens out", "s", "ungraded")
    for name, summary in part.conditions.items():
        table.add_row(
            escape(name),
            draws(summary.problems, summary.samples),
            percent(summary.accuracy),
            band(summary.interval),
            percent(summary.tool_rate),
            number(summary.tokens_out),
            number(timing.per_problem.get(name)),
            str(summary.ungraded),
        )
    yield table
    if part.comparisons:
        yield _comparisons(part.comparisons)
    if part.gains:
        yield _gains(part.gains)
    if len(part.families) > 1:
        yield _breakdown("family", part.families, part.conditions)
    if part.tiers:
        yield _breakdown("tier", part.tiers, part.conditions)


def _comparisons(comparisons: Iterable[Paired]) -> Table:
    table = _table(
        "Paired comparisons (same problems: better / worse / equal)", "comparison", "pairs", "difference", "interval", "p", "+ / − / ="
    )
    for paired in comparisons:
        table.add_row(
            escape(f"{paired.second} vs {paired.first}"),
            str(paired.pairs),
            points(paired.difference),
            band(paired.interval, signed=True).replace(" to ", "…"),
            p_text(paired.p_value),
            f"{paired.wins} / {paired.losses} / {paired.ties}",
        )
    return table


def _gains(gains: Sequence[Gain]) -> Table:
    table = _table("What changed (points)", "comparison", "total", "tool used more often", "better at equal tool use")
    for gain in gains:
        table.add_row(escape(f"{gain.second} vs {gain.first}"), points(gain.total), *halves(gain))
    table.caption = escape(doubts(gains)) or None
    return table


def _breakdown(label: str, groups: Mapping[str, Mapping[str, Summary]], conditions: Iterable[str]) -> Table:
    names = list(conditions)
    table = _table(f"Accuracy by {label}", label, "n", *names)
    for group, row in groups.items():
        n = max((summary.problems for summary in row.values()), default=0)
        table.add_row(escape(group), str(n), *(percent(row[name].accuracy) if name in row else "–" for name in names))
    return table


def _yields(yields: Iterable[Yield]) -> Table:
    table = _table("Sampling yield", "run", "samples", "verified", "yield", "interval", "tokens / verified")
    for item in yields:
        table.add_row(
            escape(item.name),
            f"{item.samples:,}",
            f"{item.verified:,}",
            percent(item.share),
            band(item.interval),
            number(item.tokens_per_verified),
        )
    return table


def _pairs(title: str, rows: Mapping[str, Any]) -> Table:
    table = Table(title=escape(title), title_justify="left", title_style="bold", show_header=False, box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(justify="left")
    table.add_column(justify="right")
    for key, value in rows.items():
        table.add_row(escape(str(key)), escape(scalar(value)))
    return table
