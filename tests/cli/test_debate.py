"""`tirage eval debate`, as a user meets it."""

import json
from pathlib import Path

import pytest

from tests.cli.command_line import problems, run
from tirage.traces.jsonl import TraceStore


def model(tmp_path: Path, name: str, line: str, times: int = 40) -> str:
    path = tmp_path / name
    path.write_text("\n".join([line] * times))
    return f"scripted/{path}"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Two debaters, three items; the judge believes whoever speaks first."""
    models = ",".join(model(tmp_path, name, "Position: 7. Evidence: as is well known.") for name in ("left", "right"))
    path = problems(tmp_path, *(f'{{"prompt": "{n} + 1?", "answer": "{n + 1}"}}' for n in range(3)))
    asked = ["--models", models, "--judge", model(tmp_path, "judge", "Verdict: A"), "--problems", path, "--concurrency", "1"]
    return ["eval", "debate", *asked, "--run", str(tmp_path / "run")]


def test_a_tournament_is_held_told_and_resumed(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    code, out, err = run(capsys, *command)
    assert code == 0
    assert "6 debates: 6 count (decided both ways), 0 undecided (0 void), 0 decided by the burden of proof" in " ".join(out.split())
    assert "the official answer held in 100.0 %" in " ".join(out.split())
    assert "3/3" in err
    assert "solved" not in err
    begun = (tmp_path / "run" / "begun.jsonl").read_text()
    assert len(begun.splitlines()) == 6
    # The same command again holds nothing, and needs no model for that.
    for name in ("left", "right", "judge"):
        (tmp_path / name).unlink()
    code, out, _ = run(capsys, *command, "--json")
    told = json.loads(out)
    assert code == 0
    assert (tmp_path / "run" / "begun.jsonl").read_text() == begun
    assert [(row["wins"], row["total"]["of"], row["pro"]["rate"], row["con"]["rate"]) for row in told["standings"]] == [
        (3, 6, 1.0, 0.0)
    ] * 2
    assert (told["matches"], told["balanced"], told["mean_rounds"], told["pro"]["rate"]) == (6, 6, 2.0, 1.0)
    assert json.loads((tmp_path / "run" / "tournament.json").read_text()) == {key: told[key] for key in told if key != "run"}


def test_a_tournament_goes_on_where_it_was_interrupted(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    assert run(capsys, *command)[0] == 0
    whole = (tmp_path / "run" / "tournament.json").read_text()
    # As if it had been killed while the third debate was judged: two are kept, of the third one all turns but the last.
    traces, searches = tmp_path / "run" / "traces.jsonl", tmp_path / "run" / "searches.jsonl"
    traces.write_text("".join(traces.read_text().splitlines(keepends=True)[:2]))
    searches.write_text("".join(searches.read_text().splitlines(keepends=True)[: 3 * 5 - 1]))
    for index in (tmp_path / "run").glob("index.sqlite*"):
        index.unlink()
    for name, turns in (("left", 6), ("right", 6), ("judge", 4)):
        path = tmp_path / name
        path.write_text("\n".join(path.read_text().splitlines()[:turns]))
    assert run(capsys, *command)[0] == 0
    keys = [item.key for item in TraceStore(tmp_path / "run").read()]
    assert len(keys) == len(set(keys)) == 6
    assert (tmp_path / "run" / "tournament.json").read_text() == whole


def test_void_debates_are_counted_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    path = problems(tmp_path, '{"prompt": "6 + 1?", "answer": "7"}', '{"prompt": "1 + 1?", "answer": "2"}')
    code, out, _ = run(capsys, *command, "--problems", path, "--json")
    told = json.loads(out)
    assert (code, told["matches"], told["balanced"], told["undecided"], told["void"]) == (0, 4, 2, 2, 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--models", "nano"], "--models: a tournament needs at least two models"),
        (["--models", "nano,nano"], "each named once"),
        (["--min-rounds", "3", "--max-rounds", "2"], "--min-rounds 3 is more than --max-rounds 2"),
        (["--problems", "nowhere.jsonl"], "no such file"),
        (["--models", "nanoo,nano"], "did you mean 'nano'"),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], command: list[str], change: list[str], says: str) -> None:
    code, out, err = run(capsys, *command, *change)
    assert (code, out) == (2, "")
    assert says in err


def test_help_is_of_the_form_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "eval", "debate", "--help")
    assert code == 0
    assert "tirage eval debate" in out
    assert "--both-orders" in out
    assert "Example" in out
    assert "eval debate" in run(capsys, "eval", "--help")[1]
