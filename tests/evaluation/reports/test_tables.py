import io

from rich.console import Console

from tirage.evaluation import Context, build_improvement_report, print_report
from tirage.evaluation.figures import band, draws, number, p_text, percent, points, scalar, seconds


def shown(report, width: int = 80) -> str:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_a_terminal_of_eighty_columns_shows_all_figures(condition):
    report = build_improvement_report(
        {
            name: condition(rate, seed=1 + len(name), n=60)
            for name, rate in {"before": 0.1, "hinted": 0.8, "control": 0.4, "after": 0.9}.items()
        },
        yields={"hinted": condition(0.5, seed=1)},
        datasets={"round 1": {"sampled": 1600, "kept": 7}},
        context=Context(title="Title", notes=["A note."], next_command="tirage improve"),
        timing={"training": 57.2},
    )
    text = shown(report)
    assert "…" not in text.replace("…+", "").replace("…−", "")  # only as the dash of signed intervals
    for part in (
        "Title",
        "Accuracy rose",
        "after vs control",
        "Accuracy by family",
        "Accuracy by tier",
        "1,600",
        "57.2 s",
        "A note.",
        "tirage improve",
    ):
        assert part in text, part
    assert max(len(line) for line in text.splitlines()) <= 80


def test_markup_in_a_report_is_shown_literally(outcomes):
    made = outcomes([[True], [False]], family="[red]x[/red]")
    text = shown(
        build_improvement_report({"[bold]b[/bold]": made}, context=Context(title="[link=x]t[/link]", sections={"[i]": {"[k]": "[v]"}}))
    )
    for literal in ("[bold]b[/bold]", "[link=x]t[/link]", "[i]", "[k]", "[v]"):
        assert literal in text


def test_an_empty_report_prints(outcomes):
    assert "–" in shown(build_improvement_report({"before": [], "after": []}))
    assert "–" in shown(build_improvement_report({"before": outcomes([[None]])}))


def test_figures():
    assert [percent(None), percent(0.1234)] == ["–", "12.3 %"]
    assert [points(0.5), points(-0.123), points(-0.0001), points(None)] == ["+50.0", "−12.3", "0.0", "–"]
    assert [p_text(0.0004), p_text(0.0314), p_text(None)] == ["< 0.001", "0.031", "–"]
    assert [number(1234.5), number(12.345), number(7.0), number(None)] == ["1,234", "12.3", "7", "–"]
    assert [seconds(0.0123), seconds(0), seconds(57.2), seconds(600), seconds(9000), seconds("n/a"), seconds(None)] == [
        "12.3 ms",
        "0.0 s",
        "57.2 s",
        "10.0 min",
        "2.5 h",
        "n/a",
        "–",
    ]
    assert [scalar(True), scalar(1234), scalar(0.000123456789), scalar(None), scalar("x")] == ["yes", "1,234", "0.000123457", "–", "x"]
    assert [draws(300, 300), draws(300, 2400), draws(0, 0)] == ["300", "300 × 8", "0"]
    assert band(None) == "–"
