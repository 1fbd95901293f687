"""`tirage topology`, as a user meets it."""

import json
from pathlib import Path

import pytest

from tests.cli.command_line import run


def test_a_stock_topology_is_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "topology", "show", "debate", "--members", "3", "--rounds", "4")
    assert (code, out.splitlines()[0]) == (0, "debate: 3 members, 6 edges, 4 rounds")
    assert run(capsys, "topology", "show", "chain", "-f", "dot")[1].startswith("digraph team {")
    assert run(capsys, "topology", "show", "chain", "-f", "mermaid")[1].startswith("flowchart LR")
    seeds = {run(capsys, "topology", "show", "random", "--members", "6", "--seed", str(seed))[1] for seed in range(3)}
    assert len(seeds) == 3
    page = tmp_path / "page.html"
    assert run(capsys, "topology", "show", "star", "-f", "html", "--out", str(page))[:2] == (0, f"topology: {page}\n")
    assert "<svg" in page.read_text()
    code, _, err = run(capsys, "topology", "show", "star", "-f", "html", "--out", str(page))
    assert (code, "--force" in err) == (2, True)
    assert run(capsys, "topology", "show", "star", "-f", "html", "--out", str(page), "--force")[0] == 0


def test_a_file_is_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "team.yaml"
    path.write_text("name: mine\nmembers: [{name: a}, {name: b}]\nspatial: [[a, b]]\n")
    assert "b  < a" in run(capsys, "topology", "show", str(path))[1]
    assert json.loads(run(capsys, "topology", "show", str(path), "-f", "json")[1])["name"] == "mine"
    assert "spatial" in json.loads(run(capsys, "topology", "show", "--schema")[1])["properties"]
    code, _, err = run(capsys, "topology", "show", str(path), "--rounds", "2")
    assert (code, "says its own" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("members: [{name: a}, {name: bob}]\nspatial: [[a, bobb]]", "'a' -> 'bobb' names 'bobb', who is no member; write 'bob'"),
        ("members: [{name: a}, {name: b}]\nspatial: [[a, b], [b, a]]", "its spatial edges form a cycle: 'a' -> 'b' -> 'a' would wait"),
        ("members: [{name: a}, {name: b}]\ndecision: judge", "the decision is by 'judge', who is no member; members are a, b"),
        ("members: [{name: a}, {name: a}]", "two members are named 'a'; rename one of them"),
        ("members: [{name: a, roel: x}]", "team.yaml: members.0.roel: unknown key; did you mean 'role'?\n"),
        ("members: [", "team.yaml is not YAML"),
    ],
)
@pytest.mark.parametrize("command", [["topology", "show"], ["solve", "1 + 1?", "--agent", "team", "-o"]], ids=["show", "solve"])
def test_a_file_that_no_team_could_run_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str], text: str, says: str
) -> None:
    path = tmp_path / "team.yaml"
    path.write_text(f"name: mine\n{text}\n")
    code, _, err = run(capsys, *command, f"topology={path}" if command[0] == "solve" else str(path))
    assert (code, err.count("\n")) == (2, 1), err
    assert says in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["debaet"], "did you mean 'debate'?"),
        (["none.yaml"], "none.yaml cannot be read"),
        ([], "name a file or one of: single, chain"),
        (["debate", "--rounds", "1"], "is never used in 1 round; set rounds to 2 or more"),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    code, _, err = run(capsys, "topology", "show", *arguments)
    assert code == 2
    assert says in err.replace("\n", " ")
