"""`tirage eval critic`: four modes in one run folder, counted, resumed, and told apart from `tirage eval`."""

import json
from pathlib import Path

import pytest

from tests.cli.command_line import problems, run, script

TWO = ['{"prompt": "1 + 1?", "answer": "2", "attempt": "\\\\boxed{2}"}', '{"prompt": "2 + 2?", "answer": "4", "attempt": "\\\\boxed{5}"}']


def said(answer: int) -> str:
    return f"Conclusion: incorrect <correction>\\boxed{{{answer}}}</correction>"


STUDENT = ["\\boxed{2}", "\\boxed{3}"]
DIRECT = ["\\boxed{2}", "\\boxed{7}"]
SELF = ["\\boxed{2}", said(2), "\\boxed{7}", said(4)]
CROSS = [said(3), said(4)]
ITERATIVE = [said(2), said(3), "Conclusion: correct", said(4)]


def test_the_four_modes_are_run_counted_and_resumed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    student, folder = script(tmp_path, *STUDENT), tmp_path / "run"
    (tmp_path / "b").mkdir()
    critic = script(tmp_path / "b", *DIRECT, *SELF, *CROSS, *ITERATIVE)
    asked = ["eval", "critic", problems(tmp_path, *TWO), "-m", critic, "--student", student, "--turns", "2", "--concurrency", "1"]
    asked += ["--run", str(folder)]
    code, out, err = run(capsys, *asked, "--json")
    assert code == 0, err
    rows = {(row["mode"], row["turn"]): row for row in json.loads(out)["rows"]}
    assert list(rows) == [("direct", 0), ("self", 1), ("cross", 1), ("iterative", 1), ("iterative", 2)]
    assert [row["accuracy"] for row in rows.values()] == [0.5, 1.0, 0.5, 0.5, 0.5]
    counted = {
        name: [row["counts"][key] for key in ("kept", "lost", "fixed", "left", "no_correction")] for name, row in rows.items() if name[1]
    }
    assert counted == {
        ("self", 1): [1, 0, 1, 0, 0],
        ("cross", 1): [0, 1, 1, 0, 0],
        ("iterative", 1): [1, 0, 0, 1, 1],
        ("iterative", 2): [0, 1, 1, 0, 0],
    }
    assert (rows["self", 1]["improvement"], rows["self", 1]["over"]) == (0.5, "direct")
    (tmp_path / "b" / "script.txt").write_text("")
    code, out, err = run(capsys, *asked)
    assert code == 0, err
    assert "iterative 2" in out
    assert "1 of 1" in out
    assert "over direct" in out
    assert "none: critiques that lead to no answer" in out
    assert json.loads((folder / "critic.json").read_text())["rows"] == list(rows.values())


def test_solutions_of_the_problem_file_are_criticised(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, model = problems(tmp_path, *TWO), script(tmp_path, said(2), said(4))
    asked = ["eval", "critic", path, "-m", model, "--modes", "cross", "--concurrency", "1", "--run", str(tmp_path / "run")]
    code, out, err = run(capsys, *asked, "--solutions", "attempt", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["rows"]
    assert (row["counts"]["kept"], row["counts"]["fixed"], row["improvement"], row["over"]) == (1, 1, 0.5, "original")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--modes", "direct,crossed"], "there is no mode 'crossed'; modes: direct, self, cross, iterative"),
        (["--modes", ","], "--modes is empty"),
        (["--solutions", "essay"], "has no such text; correct the column's name"),
        (["--set", "turn=2"], "did you mean 'turns'"),
        (["--turns", "0"], "--turns"),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], says: str) -> None:
    asked = ["eval", "critic", problems(tmp_path, *TWO), "-m", script(tmp_path), "--run", str(tmp_path / "r"), *arguments]
    code, _, err = run(capsys, *asked)
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert says in err


def test_both_forms_of_eval_explain_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "eval", "critic", "--help")
    assert (code, "eval critic" in out, "--solutions" in out) == (0, True, True)
    code, out, _ = run(capsys, "eval", "--help")
    assert (code, "tirage eval critic" in out, "--best-of" in out) == (0, True, True)
