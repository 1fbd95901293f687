"""A team's run as traces: the same trees, so every view, export and recipe works on them."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.command_line import run
from tirage.training.dataset import Dataset

REPLIES = ["Halve it.", "So \\boxed{2}.", "The halving is right.", "Halve it again.", "So \\boxed{2}!", "Still right."]


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Two problems of a planner, an executor and a critic in two rounds; the first is solved."""
    problems, replies, team = tmp_path / "problems.jsonl", tmp_path / "replies.txt", tmp_path / "team.yaml"
    problems.write_text("".join(json.dumps({"prompt": f"{number} / 2?", "answer": str(number // 2)}) + "\n" for number in (4, 8)))
    replies.write_text("\n".join(REPLIES * 2) + "\n")
    names = ", ".join(f"{{name: {name}, role: {role}}}" for name, role in (("ada", "planner"), ("bob", "executor"), ("cy", "critic")))
    team.write_text(f"name: trio\nmembers: [{names}]\nshape: planner-executor-critic\n")
    command = ["rollout", str(problems), "-m", f"scripted/{replies}", "--concurrency", "1", "--set", "agent.name=team"]
    code, _, err = run(capsys, *command, "--set", f"agent.options.topology={team}", "--run", str(tmp_path / "run"))
    assert code == 0, err
    return tmp_path / "run"


def test_views_name_who_spoke(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, listed, _ = run(capsys, "trace", "ls", str(folder))
    assert (code, listed.splitlines()[-1]) == (0, "2 of 2 rollouts: 1 right, 1 wrong")
    shown = run(capsys, "trace", "show", str(folder), "--index", "0", "--tree")[1]
    assert [place for place in re.findall(r"(ada|bob|cy): ", shown)] == ["ada", "bob", "cy"] * 2
    assert "bob: So \\boxed{2}!  right" in shown
    path = run(capsys, "trace", "show", str(folder), "--index", "0")[1]
    assert "node 5 · bob" in path
    assert "What cy said in the last round:" in path
    picture = run(capsys, "trace", "tree", str(folder), "--index", "0", "-f", "dot")[1]
    assert [re.findall(rf'-> n{node} \[label="(\w+)"', picture) for node in (1, 2, 3)] == [["ada"], ["bob"], ["cy"]]


def test_exports_keep_what_the_deciding_member_was_asked(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "solved.jsonl"
    code, shown, _ = run(capsys, "trace", "export", str(folder), "--format", "openai", "--out", str(out), "--correct")
    assert (code, shown) == (0, f"1 rows in {out}\n")
    (row,) = map(json.loads, out.read_text().splitlines())
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
    assert "What cy said in the last round:\nThe halving is right." in row["messages"][1]["content"]
    assert row["messages"][2]["content"] == "So \\boxed{2}!"


def text(ids: tuple[int, ...]) -> str:
    """Of a scripted model's tokens, which are bytes and a few marks."""
    return bytes(token for token in ids if token < 256).decode()


def test_a_row_is_the_deciding_turn_after_what_it_was_asked(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    build = ["data", "build", str(folder), "--set", "stage=rollout", "--out", str(out)]
    code, _, err = run(capsys, *build, "--recipe", "rft")
    assert code == 0, err
    said = {text(row.trained_ids): text(row.input_ids) for row in Dataset(out).rows()}
    assert set(said) == {"So \\boxed{2}.", "So \\boxed{2}!"}, "both rounds' answers of the problem that was solved"
    assert all("You are the executor of a team" in asked for asked in said.values())
    assert "What cy said in the last round:\nThe halving is right." in said["So \\boxed{2}!"]
    assert "What cy said" not in said["So \\boxed{2}."]
    code, _, err = run(capsys, *build, "--recipe", "critique")
    assert (code, "recipe critique kept none of 4 trajectories (critiques: no-correction 4)" in err) == (6, True)
