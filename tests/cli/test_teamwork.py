import json
from pathlib import Path

import pytest

from tests.cli.command_line import run


@pytest.fixture
def said(tmp_path: Path) -> "object":
    """Model strings of members that say the given lines, one reply a line."""

    def model(name: str, *lines: str) -> str:
        path = tmp_path / f"{name}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"scripted/{path}"

    return model


def pair(tmp_path: Path, first: str, second: str) -> Path:
    file = tmp_path / "pair.yaml"
    file.write_text(
        f"name: pair\nmembers:\n- {{name: ada, role: planner, model: '{first}'}}\n- {{name: bob, role: solver, model: '{second}'}}\n"
        "spatial: [[ada, bob]]\ndecision: bob\n",
        encoding="utf-8",
    )
    return file


def test_a_team_works_and_says_who_spoke_to_whom(capsys, tmp_path, said):
    team = pair(tmp_path, said("a", "multiply them"), said("b", "So \\boxed{42}."))
    picture = tmp_path / "who.html"
    code, out, _ = run(
        capsys, "topology", "run", str(team), "6 * 7?", "--model", said("x"), "--answer", "42", "--out", str(picture), "--json"
    )
    assert code == 0
    data = json.loads(out)
    assert (data["answer"], data["correct"]) == ("42", True)
    assert data["edges"] == [{"from": "ada", "to": "bob", "tokens": 14}]
    assert "ada" in picture.read_text(encoding="utf-8")


def test_a_turn_waits_and_the_run_goes_on_from_its_file(capsys, tmp_path, said):
    first, second, file = said("a", "multiply them", "never said"), said("b", "So \\boxed{42}."), tmp_path / "run.json"
    team = pair(tmp_path, first, second)
    command = ["topology", "run", str(team), "6 * 7?", "--model", said("x"), "--approve", "ada", "--pause", str(file)]
    code, _, err = run(capsys, *command)
    assert code == 7
    assert f"go on with: tirage resume {file} --approve" in err
    assert run(capsys, *command)[0] == 2
    code, out, _ = run(capsys, "resume", str(file), "--escalate", "--json")
    assert (code, json.loads(out)["waits"]["level"]) == (7, 1)
    code, out, _ = run(capsys, "resume", str(file), "--modify", "just say it", "--by", "Ann", "--json")
    assert code == 0
    assert json.loads(out)["answer"] == "42"
    assert json.loads(out)["usage"]["model_calls"] == 2
    code, _, err = run(capsys, "resume", str(file), "--approve")
    assert code == 2
    assert "has ended" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "debat", "x"], "did you mean 'debate'"),
        (["run", "chain", "x", "--approve", "carl"], "has no member 'carl' to approve"),
        (["run", "chain", "x", "--saboteur", "carl"], "has no member 'carl' to turn"),
        (["run", "chain", " "], "the question is empty"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, arguments, says):
    code, _, err = run(capsys, "topology", *arguments)
    assert code == 2
    assert says in err


def test_a_file_that_is_no_paused_run(capsys, tmp_path):
    file = tmp_path / "run.json"
    file.write_text("{}")
    code, _, err = run(capsys, "resume", str(file), "--approve")
    assert code == 3
    assert "is no paused run of this version" in err
    assert run(capsys, "resume", str(file), "--approve", "--terminate")[0] == 2


@pytest.mark.parametrize(("learner", "ending"), [("edges", ".json"), ("gdesigner", ".safetensors")])
def test_a_topology_is_learned_shown_and_used(capsys, tmp_path, said, learner, ending):
    if learner == "gdesigner":
        pytest.importorskip("torch", reason="needs torch: pip install 'tirage[local]'")
    problems, out = tmp_path / "problems.jsonl", tmp_path / f"learned{ending}"
    problems.write_text("".join(json.dumps({"prompt": f"{number} + 1?", "answer": str(number + 1)}) + "\n" for number in range(4)))
    model = said("many", *["So \\boxed{2}."] * 40)
    train = ["topology", "train", "single", "--members", "3", "--problems", str(problems), "--learner", learner, "--out", str(out)]
    code, shown, _ = run(capsys, *train, "--model", model, "--queries", "4", "--batch", "2")
    assert code == 0
    assert "2 of 4: 1 of 2 right" in shown
    assert "4 of 4: 0 of 2 right" in shown
    assert run(capsys, *train, "--model", model)[0] == 2
    code, shown, _ = run(capsys, "topology", "show", str(out), "--query", "1 + 1?", "--format", "json")
    assert code == 0
    assert [member["name"] for member in json.loads(shown)["members"]] == ["solver-1", "solver-2", "solver-3"]
    code, shown, _ = run(capsys, "solve", "1 + 1?", "--agent", "team", "-o", f"topology={out}", "-m", model, "--json")
    assert (code, json.loads(shown)["answer"]) == (0, "2")


def test_topologies_are_compared(capsys, tmp_path, said):
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"prompt": "1 + 1?", "answer": "2"}) + "\n")
    model = said("many", *["So \\boxed{2}."] * 12)
    out = str(tmp_path / "run")
    code, shown, _ = run(capsys, "topology", "compare", "chain,debate", "-p", str(problems), "-m", model, "--run", out, "--json")
    assert code == 0
    assert "chain" in shown
    assert "debate" in shown


def test_files_are_compared_with_stock_topologies(capsys, tmp_path, said, lesson):
    learned, model = tmp_path / "who.json", said("many", *["So \\boxed{2}."] * 60)
    assert run(capsys, *teach(lesson, learned, model))[0] == 0
    names = f"single,{pair(tmp_path, said('a', *['add'] * 4), said('b', *['So ' + chr(92) + 'boxed{2}.'] * 4))},{learned}"
    compare = ["topology", "compare", names, "-p", str(lesson), "-m", model, "--run", str(tmp_path / "run"), "--json"]
    code, shown, err = run(capsys, *compare)
    assert code == 0, err
    stages = {line.split()[1].partition("/")[0] for line in run(capsys, "trace", "ls", str(tmp_path / "run"))[1].splitlines()[1:-1]}
    assert {stage.partition("@")[0] for stage in stages} == {"single", "pair", "who"}
    assert all(stage in shown for stage in stages)
    code, _, err = run(capsys, "topology", "compare", "single,none.yaml", "-p", str(lesson), "--run", str(tmp_path / "other"))
    assert (code, "none.yaml" in err) == (2, True)


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    """Four problems, of which the answer 2 is right for one."""
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps({"prompt": f"{number} + 1?", "answer": str(number + 1)}) + "\n" for number in range(4)))
    return problems


def teach(lesson, out, model, *more):
    team = ["topology", "train", "debate", "--members", "3", "--problems", str(lesson), "--learner", "edges", "--batch", "2"]
    return [*team, "--model", model, "--queries", "4", "--out", str(out), *more]


def test_learning_goes_on_from_what_is_kept_and_learns_the_same(capsys, tmp_path, said, lesson):
    line = "So \\boxed{2}."
    whole = tmp_path / "whole.json"
    code, shown, _ = run(capsys, *teach(lesson, whole, said("many", *[line] * 24), "--json"))
    assert code == 0
    assert [(step["queries"], step["right"]) for step in json.loads(shown)["batches"]] == [(2, 1), (4, 0)]
    learned, traces = json.loads(whole.read_text()), tmp_path / "whole.run" / "traces.jsonl"
    assert any(map(any, learned["logits"][1])), "temporal edges are learned"
    traces.write_text("".join(traces.read_text().splitlines(keepends=True)[:2]))
    code, shown, err = run(capsys, *teach(lesson, whole, said("many", *[line] * 12), "--force"))
    assert (code, err) == (0, "")
    assert f"2 of 4 problems were finished before, in {traces.parent}" in shown
    assert json.loads(whole.read_text()) == learned


def test_nothing_graded_is_nothing_learned(capsys, tmp_path, said, lesson):
    out = tmp_path / "who.json"
    code, _, err = run(capsys, *teach(lesson, out, said("mute", "never more")))
    assert (code, out.exists()) == (3, False)
    assert "none of the 4 problems could be graded, so nothing was learned" in err


def test_what_another_team_learned_from_is_refused(capsys, tmp_path, said, lesson):
    out, model = tmp_path / "who.json", said("many", *["So \\boxed{2}."] * 24)
    assert run(capsys, *teach(lesson, out, model))[0] == 0
    code, _, err = run(capsys, *teach(lesson, out, model, "--force", "--rounds", "3"))
    assert code == 2
    assert "was started with another configuration (different: team); give another folder with --run, or delete this one" in err
    assert run(capsys, *teach(lesson, out, model, "--force"))[0] == 0, "all is known, no reply is asked for"
    code, _, err = run(capsys, "topology", "train", str(out), "-p", str(lesson), "--learner", "edges", "--out", str(tmp_path / "b.json"))
    assert (code, "was learned from teams already; give the topology that it was learned for" in err) == (2, True)


def test_a_learned_team_works_on_a_question(capsys, tmp_path, said, lesson):
    out, picture = tmp_path / "who.json", tmp_path / "who.txt"
    assert run(capsys, *teach(lesson, out, said("many", *["So \\boxed{2}."] * 24)))[0] == 0
    model = said("few", *["So \\boxed{2}."] * 6)
    code, shown, _ = run(capsys, "topology", "run", str(out), "1 + 1?", "-m", model, "--out", str(picture), "--json")
    assert (code, json.loads(shown)["answer"]) == (0, "2")
    assert picture.read_text().startswith("debate: 3 members")
    code, _, err = run(capsys, "topology", "show", str(out), "--members", "3")
    assert (code, "has those that it was learned with" in err) == (2, True)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("who.png", "pictures end in .html, .dot, .mmd, .json, .txt"),
        ("none/who.html", "there is no folder"),
        ("here.html", "exists; choose"),
    ],
)
def test_a_place_for_the_picture_is_looked_at_before_the_team_works(capsys, tmp_path, said, place, says):
    (tmp_path / "here.html").touch()
    code, out, err = run(capsys, "topology", "run", "chain", "x?", "-m", said("x"), "--out", str(tmp_path / place))
    assert (code, out) == (2, "")
    assert says in err
