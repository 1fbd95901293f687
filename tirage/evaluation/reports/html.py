"""The report as one HTML file: no external request, no library, readable without JavaScript, on paper and in the dark."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template

from tirage.evaluation.figures import band, draws, level_text, number, p_text, percent, points, scalar, seconds
from tirage.evaluation.gain import Gain, doubts, halves
from tirage.evaluation.gate import Decision
from tirage.evaluation.paired import Paired
from tirage.evaluation.reports.charts import Mark, difference_rows, dot_rows, dumbbells, funnel, legend, scatter, share_bars
from tirage.evaluation.reports.markup import Cell, escape, pairs, section, table, tile
from tirage.evaluation.reports.report import Part, Report, Timing, Yield
from tirage.evaluation.summary import Summary

_TONES = {"before": 0, "first": 0, "hinted": 1, "control": 2, "after": 3, "second": 3}
"""Well-known conditions keep their colour from report to report; grey for the baseline, blue for the result."""
_SPARE = (4, 5, 6, 7)


def render_html(report: Report) -> str:
    """The whole page. Every text of the report is escaped; nothing in it can become markup or script."""
    tones = _tones(report)
    body = [_notes(report.notes)]
    for index, part in enumerate(report.parts):
        body.append(_part(part, f"part{index}", tones, report.timing))
    body.append(_yields(report.yields, tones))
    body.append(_datasets(report.datasets))
    body.append(_details(report))
    body.append(_next(report.next_command))
    return _template().substitute(
        title=escape(report.title), intro=_intro(report), body="\n".join(block for block in body if block), footer=_footer(report)
    )


@cache
def _template() -> Template:
    return Template(files("tirage.evaluation.reports").joinpath("report.html").read_text(encoding="utf-8"))


def _tones(report: Report) -> dict[str, int]:
    names = list(dict.fromkeys(name for part in report.parts for name in part.conditions))
    names += [item.name for item in report.yields if item.name not in names]
    spare = [name for name in names if name not in _TONES]
    if len(names) == 2 and len(spare) == 2:
        return {names[0]: 0, names[1]: 3}
    return {**_TONES, **{name: _SPARE[index % len(_SPARE)] for index, name in enumerate(spare)}}


def _intro(report: Report) -> str:
    blocks = []
    if report.subtitle:
        blocks.append(f'<p class="subtitle">{escape(report.subtitle)}</p>')
    if report.headline:
        blocks.append(f'<p class="headline">{escape(report.headline)}.{_ruling(report.decision)}</p>')
    tiles = "".join(_tiles(report))
    if tiles:
        blocks.append(f'<div class="tiles">{tiles}</div>')
    return "".join(blocks)


def _ruling(decision: Decision | None) -> str:
    if decision is None:
        return ""
    ruling = decision.ruling.value
    return f'<span class="ruling">Gate: <b class="{escape(ruling)}">{escape(ruling)}</b> {escape(decision.reason)}.</span>'


def _tiles(report: Report) -> Iterable[str]:
    for part in report.parts[:1]:
        for paired in part.comparisons[:1]:
            level = level_text(paired.interval.level) if paired.interval else ""
            detail = f"{level} interval {band(paired.interval, signed=True)}; p {p_text(paired.p_value)}"
            yield tile(f"Accuracy, {paired.first} → {paired.second}", f"{points(paired.difference)} points", detail)
            first, second = part.conditions[paired.first], part.conditions[paired.second]
            yield tile("Tool used", f"{percent(first.tool_rate)} → {percent(second.tool_rate)}", f"{paired.first} → {paired.second}")
    if len(report.parts) > 1 and report.parts[1].comparisons:
        far = report.parts[1].comparisons[0]
        detail = f"{far.pairs} problems; p {p_text(far.p_value)}"
        yield tile(f"{report.parts[1].title}, {far.first} → {far.second}", f"{points(far.difference)} points", detail)
    if report.yields:
        best = report.yields[0]
        others = ", ".join(f"{item.name} {percent(item.share)}" for item in report.yields[1:3])
        yield tile(f"Sampling yield, {best.name}", percent(best.share), others)


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<section class="notes" aria-labelledby="notes"><h2 id="notes">How to read this</h2><ul>{items}</ul></section>'


def _part(part: Part, anchor: str, tones: Mapping[str, int], timing: Timing) -> str:
    measured = [(name, summary) for name, summary in part.conditions.items() if summary.accuracy is not None]
    bars = (
        share_bars([_mark(name, summary, tones) for name, summary in measured], f"{part.title}: accuracy by condition") if measured else ""
    )
    tools = [
        Mark(label=name, value=summary.tool_rate, tone=tones.get(name, 0))
        for name, summary in part.conditions.items()
        if summary.tool_rate is not None
    ]
    return section(
        anchor,
        part.title,
        f'<h3>Accuracy</h3><div class="figure">{bars}</div>' if bars else "",
        _conditions(part, timing),
        _cost(part, tones),
        _at_k(part.conditions),
        _comparisons(part.comparisons, part.title, tones),
        f'<h3>Tool use</h3><div class="figure">{share_bars(tools, f"{part.title}: share of rollouts that ran a tool")}</div>'
        if tools
        else "",
        _gains(part.gains),
        _families(part, tones),
        _tiers(part, tones),
    )


def _mark(label: str, summary: Summary, tones: Mapping[str, int], tone: int | None = None) -> Mark:
    return Mark(
        label=label,
        value=summary.accuracy or 0.0,
        low=summary.interval.low if summary.interval else None,
        high=summary.interval.high if summary.interval else None,
        tone=tones.get(label, 0) if tone is None else tone,
    )


def _conditions(part: Part, timing: Timing) -> str:
    columns = (
        "Condition",
        "Problems",
        "Accuracy, %",
        f"{level_text(_level(part))} interval",
        "Tool used",
        "Tokens in",
        "Tokens out",
        "Seconds",
        "Ungraded",
        "Broken",
    )
    rows = []
    for name, summary in part.conditions.items():
        spent = timing.per_problem.get(name)
        rows.append(
            [
                Cell(name),
                Cell(draws(summary.problems, summary.samples), summary.problems),
                _share(summary.accuracy),
                Cell(band(summary.interval), summary.interval.low if summary.interval else ""),
                Cell(percent(summary.tool_rate), _order(summary.tool_rate)),
                Cell(number(summary.tokens_in), _order(summary.tokens_in)),
                Cell(number(summary.tokens_out), _order(summary.tokens_out)),
                Cell(seconds(spent), _order(spent)),
                Cell(f"{summary.ungraded:,}", summary.ungraded),
                Cell(f"{summary.broken:,}", summary.broken),
            ]
        )
    note = "Tokens and seconds are per problem; seconds are rollout wall time, averaged over all problems of the condition."
    return table("All conditions on these problems", columns, rows, note=note)


def _cost(part: Part, tones: Mapping[str, int]) -> str:
    marks = [
        (_mark(name, summary, tones), (summary.tokens_in or 0.0) + (summary.tokens_out or 0.0))
        for name, summary in part.conditions.items()
        if summary.accuracy is not None
    ]
    if len(marks) < 2 or not any(cost for _, cost in marks):
        return ""
    chart = scatter(marks, f"{part.title}: accuracy against tokens per problem", "Tokens read and written per problem")
    return f'<h3>Accuracy against cost</h3><div class="figure">{chart}</div>'


def _at_k(conditions: Mapping[str, Summary]) -> str:
    names = list(dict.fromkeys(name for summary in conditions.values() for name in summary.at_k))
    if not names:
        return ""
    rows = [[Cell(label), *(_share(summary.at_k.get(name)) for name in names)] for label, summary in conditions.items() if summary.at_k]
    return "<h3>Several samples per problem</h3>" + table("Unbiased estimates, %", ("Condition", *names), rows)


def _comparisons(comparisons: Sequence[Paired], title: str, tones: Mapping[str, int]) -> str:
    if not comparisons:
        return ""
    marks = [
        Mark(
            label=f"{item.second} vs {item.first}",
            value=item.difference or 0.0,
            low=item.interval.low if item.interval else None,
            high=item.interval.high if item.interval else None,
            tone=tones.get(item.second, 0),
        )
        for item in comparisons
    ]
    rows = [
        [
            Cell(f"{item.second} vs {item.first}"),
            Cell(f"{item.pairs:,}", item.pairs),
            Cell(points(item.difference), _order(item.difference), _judged(item)),
            Cell(band(item.interval, signed=True), item.interval.low if item.interval else ""),
            Cell(p_text(item.p_value), _order(item.p_value)),
            Cell(str(item.wins), item.wins),
            Cell(str(item.losses), item.losses),
            Cell(str(item.ties), item.ties),
            Cell(str(item.ungraded + len(item.only_first) + len(item.only_second))),
        ]
        for item in comparisons
    ]
    columns = ("Comparison", "Pairs", "Difference", "Interval", "p", "Better", "Worse", "Same", "Unpaired")
    chart = f'<div class="figure">{difference_rows(marks, f"{title}: paired differences in percentage points")}</div>'
    tests = ", ".join(sorted({item.test for item in comparisons}))
    note = (
        f"Test: {tests}, two-sided. Each stands alone: p values are not corrected for the number of comparisons. "
        "Unpaired: problems that one side lacks or could not grade."
    )
    return (
        "<h3>Paired comparisons</h3>" + chart + table("The same problems in both conditions, percentage points", columns, rows, note=note)
    )


def _gains(gains: Sequence[Gain]) -> str:
    if not gains:
        return ""
    rows = [
        [
            Cell(f"{gain.second} vs {gain.first}"),
            Cell(points(gain.total), gain.total),
            *(Cell(text, value) for text, value in zip(halves(gain), (gain.habit, gain.skill), strict=True)),
        ]
        for gain in gains
    ]
    columns = ("Comparison", "Total", "Tool used more often", "Better at equal tool use")
    return "<h3>Where the change comes from</h3>" + table("Habit and skill, percentage points", columns, rows, note=doubts(gains))


def _families(part: Part, tones: Mapping[str, int]) -> str:
    if len(part.families) < 2:
        return ""
    chart = ""
    for item in part.comparisons[:1]:
        couples = [
            (
                _mark(family, row[item.first], tones, tones.get(item.first, 0)),
                _mark(family, row[item.second], tones, tones.get(item.second, 3)),
            )
            for family, row in part.families.items()
            if all(name in row and row[name].accuracy is not None for name in (item.first, item.second))
        ]
        if couples:
            first, second = tones.get(item.first, 0), tones.get(item.second, 3)
            key = legend([(item.first, first), (item.second, second)], hollow=[first])
            chart = (
                f'<div class="figure">{key}{dumbbells(couples, f"{part.title}: accuracy by family, {item.first} to {item.second}")}</div>'
            )
    return "<h3>By family</h3>" + chart + _breakdown("Family", part.families, part.conditions)


def _tiers(part: Part, tones: Mapping[str, int]) -> str:
    if not part.tiers:
        return ""
    rows = [
        (tier, [_mark(name, summary, tones) for name, summary in row.items() if summary.accuracy is not None])
        for tier, row in part.tiers.items()
    ]
    key = legend([(name, tones.get(name, 0)) for name in part.conditions], hollow=[0])
    chart = f'<div class="figure">{key}{dot_rows(rows, f"{part.title}: accuracy by size tier")}</div>'
    return "<h3>By size tier</h3>" + chart + _breakdown("Tier", part.tiers, part.conditions)


def _breakdown(label: str, groups: Mapping[str, Mapping[str, Summary]], conditions: Iterable[str]) -> str:
    names = list(conditions)
    rows = []
    for group, row in groups.items():
        most = max((summary.problems for summary in row.values()), default=0)
        cells = [Cell(group), Cell(f"{most:,}", most)]
        for name in names:
            summary = row.get(name)
            text = f"{100 * summary.accuracy:.1f} ({band(summary.interval)})" if summary and summary.accuracy is not None else "–"
            cells.append(Cell(text, _order(summary.accuracy if summary else None)))
        rows.append(cells)
    return table("Accuracy in % with interval", (label, "Problems", *names), rows)


def _yields(yields: Sequence[Yield], tones: Mapping[str, int]) -> str:
    if not yields:
        return ""
    marks = [
        Mark(
            label=item.name,
            value=item.share or 0.0,
            low=item.interval.low if item.interval else None,
            high=item.interval.high if item.interval else None,
            tone=tones.get(item.name, 0),
        )
        for item in yields
    ]
    rows = [
        [
            Cell(item.name),
            Cell(f"{item.samples:,}", item.samples),
            Cell(f"{item.verified:,}", item.verified),
            Cell(percent(item.share), _order(item.share)),
            Cell(band(item.interval), item.interval.low if item.interval else ""),
            Cell(f"{item.ungraded:,}", item.ungraded),
            Cell(number(item.tokens_per_verified), _order(item.tokens_per_verified)),
        ]
        for item in yields
    ]
    columns = ("Run", "Samples", "Verified", "Yield", "Interval, %", "Ungraded", "Tokens per verified")
    chart = f'<div class="figure">{share_bars(marks, "Sampling yield")}</div>'
    return section(
        "yields",
        "Sampling yield",
        chart,
        table("Verified samples per sample drawn", columns, rows),
        lead="What each sampling run brought in.",
    )


def _datasets(datasets: Mapping[str, Mapping[str, int]]) -> str:
    cards = []
    for name, counts in datasets.items():
        chart = funnel(list(counts.items()), f"Dataset {name}: counts along the funnel")
        cards.append(f'<h3>{escape(name)}</h3><div class="figure">{chart}</div>')
    return section("datasets", "Datasets", *cards, lead="From what was sampled to what was trained on; shares are of the first count.")


def _details(report: Report) -> str:
    cards = [pairs(item.title, item.rows) for item in report.sections]
    if report.timing.stages:
        cards.append(pairs("Time", {name: seconds(value) for name, value in report.timing.stages.items()}))
    if report.lineage:
        cards.append(pairs("Lineage", report.lineage))
    return section("details", "Details", f'<div class="grid">{"".join(cards)}</div>' if cards else "")


def _next(command: str) -> str:
    if not command:
        return ""
    box = f'<div class="next"><pre><code>{escape(command)}</code></pre><button type="button" class="copy">Copy</button></div>'
    return section("next", "Next step", box)


def _footer(report: Report) -> str:
    names = {"wilson": "Wilson score", "bca": "bootstrap over problems (BCa)"}
    methods = sorted(
        {names.get(s.interval.method, s.interval.method) for part in report.parts for s in part.conditions.values() if s.interval}
    )
    ungraded = report.method.get("ungraded", "left out")
    lines = [
        f"Accuracy is the mean over problems of the share of correct samples. Rollouts nobody could grade are {ungraded}, and shown apart.",
        f"Intervals: {', '.join(methods) or 'none'}; of differences: bootstrap over problems (BCa), "
        f"{scalar(report.method.get('resamples'))} resamples, seed {scalar(report.method.get('seed'))}.",
        "This file makes no network request. The same numbers, with timing kept apart, are in report.json beside it.",
    ]
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _level(part: Part) -> float:
    return next((summary.interval.level for summary in part.conditions.values() if summary.interval), 0.95)


def _share(value: float | None) -> Cell:
    return Cell("–" if value is None else f"{100 * value:.1f}", _order(value))


def _order(value: float | None) -> float | str:
    return "" if value is None else value


def _judged(paired: Paired) -> str:
    if paired.p_value is None or paired.interval is None or paired.p_value >= 1 - paired.interval.level:
        return ""
    return "good" if (paired.difference or 0) > 0 else "bad"
