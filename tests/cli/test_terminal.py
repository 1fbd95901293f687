"""Text of models, tools and files never acts on the terminal: no control sequence, no markup, no half character."""

import io
import json
from pathlib import Path

import pytest

from tests.cli.command_line import problems, run, script
from tirage.cli.terminal import SafeConsole, print_json

OSC52, HIDE, CSI8 = "\x1b]52;c;aGk=\x07", "\x1b[?25l", "\x9b2J"
NASTY = f"a{OSC52}b{HIDE}c{CSI8}d\u202ee\ud800f\rg\x00h [bold]\\[/x] :smile:"


def acting(text: str) -> list[str]:
    return [char for char in text if (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) <= 0x9F or char in "\u202e\ud800"]


def test_acting_characters_are_replaced_and_markup_is_text() -> None:
    console = SafeConsole(soft_wrap=True)
    console.file = io.StringIO()
    console.print(NASTY)
    shown = console.file.getvalue()
    assert acting(shown) == []
    assert "[bold]\\[/x] :smile:" in shown


def test_colours_of_our_own_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = SafeConsole()
    console.file = io.StringIO()
    console.print(f"plain{HIDE}", style="bold")
    assert console.file.getvalue().startswith("\x1b[1mplain\N{REPLACEMENT CHARACTER}[?25l")


def test_json_stays_the_same_data(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": NASTY, "umlaut": "ä"})
    out = capsys.readouterr().out
    assert acting(out) == []
    assert "ä" in out
    assert json.loads(out) == {"text": NASTY, "umlaut": "ä"}


@pytest.mark.parametrize("answer", ["\\[/x]", "[/]", "[red]x", f"5{OSC52}", f"{HIDE}7"])
def test_answers_are_shown_as_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str) -> None:
    model = script(tmp_path, f"So it is \\boxed{{{answer}}}.")
    for words in (["solve", "1 + 1?"], ["search", "1 + 1?", "--budget", "nodes=2", "--run", str(tmp_path / "run")]):
        code, out, err = run(capsys, *words, "-m", model, "--answer", "2", *(["--no-run"] if words[0] == "solve" else []))
        assert code == 0, err
        assert acting(out + err) == []
    assert run(capsys, "trace", "ls", str(tmp_path / "run"))[0] == 0
    code, out, err = run(capsys, "trace", "show", str(tmp_path / "run"))
    assert (code, acting(out + err)) == (0, [])


def test_problems_are_shown_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = problems(tmp_path, json.dumps({"problem": f"What [/x] is 1 + 1?{OSC52}", "answer": f"[/y]2{HIDE}"}))
    code, out, err = run(capsys, "problems", "show", file)
    assert (code, acting(out + err)) == (0, [])
    assert "What [/x] is 1 + 1?" in out
    code, out, err = run(capsys, "problems", "check", file)
    assert acting(out + err) == []


def test_what_waits_for_approval_is_shown_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = script(tmp_path, f"Plan [/x]{OSC52}", "\\boxed{2}")
    asked = [
        "topology",
        "run",
        "chain",
        "1 + 1?",
        "-m",
        model,
        "--members",
        "2",
        "--approve",
        "solver-1",
        "--pause",
        str(tmp_path / "p.json"),
    ]
    code, out, err = run(capsys, *asked)
    assert code == 7
    assert acting(out + err) == []
