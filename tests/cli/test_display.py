"""Progress where there is no terminal: plain lines, on standard error, with rates."""

import pytest
from rich.console import Console

from tirage.cli import display
from tirage.cli.display import LiveDisplay
from tirage.core.step import Usage
from tirage.rollouts.runner import StageProgress


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, whatever pytest runs in."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    output = capsys.readouterr()
    assert output.out == "", "standard output belongs to results"
    assert "\x1b" not in output.err
    return output.err.splitlines()


def test_a_stage_is_a_plain_line_with_its_solve_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveDisplay() as shown:
        shown.stage(StageProgress(stage="before", total=8, done=8, graded=6, correct=3, usage=Usage(tokens_out=1234)))
    assert lines(capsys) == ["before: 8/8 50.0% solved  1.2k tokens"]


def test_a_resumed_stage_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveDisplay() as shown:
        shown.stage(StageProgress(stage="before", total=8, done=8, resumed=8))
    assert lines(capsys) == ["before: 8/8 resumed"]


def test_lines_come_at_most_every_few_seconds_and_always_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("tirage.cli.display.time.monotonic", lambda: now)
    with LiveDisplay() as shown:
        for done in range(1, 101):
            now += 0.25
            shown.stage(StageProgress(stage="hinted", total=100, done=done, graded=done, correct=done // 2, usage=Usage(tokens_out=done)))
    printed = lines(capsys)
    assert len(printed) == 6, "the first, four more in 24.75 s, and the last"
    assert printed[0].startswith("hinted: 1/100")
    assert printed[-1] == "hinted: 100/100 50.0% solved  100 tokens"


def test_jobs_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveDisplay() as shown:
        shown.note("30 training problems [all of them]")
        shown.job("control", 0, 5, None)
        shown.job("control", 5, 5, 0.12345)
    assert lines(capsys) == ["30 training problems [all of them]", "train control: 0/5", "train control: 5/5 loss 0.123"]


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveDisplay(quiet=True) as shown:
        shown.note("x")
        shown.stage(StageProgress(stage="before", total=1, done=1, graded=1, correct=1))
    assert lines(capsys) == []


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(force_terminal=True, width=120, record=True, file=open("/dev/null", "w"))
    monkeypatch.setattr(display, "SafeConsole", lambda **_: console)
    with LiveDisplay() as shown:
        shown.stage(StageProgress(stage="before", total=4, done=1, graded=1, correct=1, usage=Usage(tokens_out=5)))
        shown.stage(StageProgress(stage="before", total=4, done=4, graded=4, correct=3, usage=Usage(tokens_out=2_500_000)))
    text = console.export_text()
    assert "4/4" in text
    assert "75.0% solved" in text
    assert "2.50M tokens" in text
    console.file.close()


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1000, "1.0k"), (999_949, "999.9k"), (1_000_000, "1.00M")])
def test_counts_are_short(number: int, text: str) -> None:
    assert display._count(number) == text
