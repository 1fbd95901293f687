"""Whatever is wrong with a place: one line that names it, the remedy, exit code 2; and names in files of others are not run."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from tirage.cli.main import main
from tirage.core.codec import encode
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.problems.files import Columns, read_problems
from tirage.verification.verifiers import Verifiers

REACHED = {
    "tool": ["tools", "ls", "--from", "{place}"],
    "served tool": ["mcp", "{place}"],
    "strategy": ["search", "1 + 1?", "-m", "scripted/replies.txt", "--strategy", "{place}"],
    "system": ["solve", "1 + 1?", "-m", "scripted/replies.txt", "--agent", "{place}"],
    "recipe": ["data", "build", "run", "--out", "rows", "--recipe", "{place}"],
    "verifier": ["solve", "1 + 1?", "--answer", "2", "-m", "scripted/replies.txt", "--verifier", "{place}"],
    "embedder": ["index", "add", "notes.sqlite", "notes.txt", "--embedder", "{place}"],
    "sandbox": ["rollout", "problems.jsonl", "-m", "scripted/replies.txt", "--run", "out", "--set", "sandbox.backend={place}"],
    "model": ["solve", "1 + 1?", "-m", "{place}"],
}
MISTAKES = {
    "absent_module_xyz:Thing": "there is no module 'absent_module_xyz'",
    "strange_module:Thinf": "strange_module has no attribute 'Thinf'; did you mean 'Thing'?",
    "strange_module:NUMBER": "of type int; give a",
    "strange_module:Thing": "",
    "raising_module:Thing": "ZeroDivisionError: division by zero); correct the module raising_module",
    "leaving_module:Thing": "SystemExit: 3); correct the module leaving_module",
    "needing_module:Thing": "No module named 'absent_dependency_xyz'); install what needing_module imports",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("strange_module", "raising_module", "leaving_module", "needing_module", "ran_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "strange_module.py").write_text("NUMBER = 3\n\n\nclass Thing:\n    pass\n")
    (tmp_path / "raising_module.py").write_text("1 / 0\n")
    (tmp_path / "leaving_module.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "needing_module.py").write_text("import absent_dependency_xyz\n")
    (tmp_path / "ran_module.py").write_text("open('ran', 'w').close()\n\n\nclass Thing:\n    pass\n")
    (tmp_path / "replies.txt").write_text("\\boxed{2}\n" * 9)
    (tmp_path / "notes.txt").write_text("Otters.\n")
    (tmp_path / "problems.jsonl").write_text('{"prompt": "1 + 1?", "answer": "2"}\n')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "traces.jsonl").touch()
    return tmp_path


def error_of(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(words)
    told = capsys.readouterr().err
    assert left.value.code == 2, told
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize("place", MISTAKES)
@pytest.mark.parametrize("kind", REACHED)
def test_a_wrong_place_is_one_line_with_the_remedy(kind: str, place: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = error_of(capsys, [word.format(place=place) for word in REACHED[kind]])
    assert place in told
    assert MISTAKES[place] in told


@pytest.mark.parametrize("kind", REACHED)
def test_a_word_that_is_no_place_is_told_what_there_is(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = error_of(capsys, [word.format(place="nosuchword") for word in REACHED[kind]])
    assert "nosuchword" in told
    assert "module:attribute" in told or "MODULE:ATTRIBUTE" in told


# names out of files of others


def test_a_problem_file_runs_no_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem(prompt="1 + 1?", answer="2", verifier="ran_module:Thing")
    (folder / "theirs.jsonl").write_text(json.dumps(encode(problem)) + "\n")
    told = error_of(capsys, ["eval", "theirs.jsonl", "-m", "scripted/replies.txt", "--run", "out"])
    assert "not run because a file says so" in told
    assert "--verifier ran_module:Thing" in told
    assert not (folder / "ran").exists()
    (mine,) = read_problems(folder / "theirs.jsonl", columns=Columns(verifier="exact"))
    assert mine.verifier == "exact"
    assert mine.id == Problem(prompt="1 + 1?", answer="2", verifier="exact").id


def test_a_problem_of_a_trace_runs_no_code(folder: Path) -> None:
    problem = Problem(prompt="1 + 1?", answer="2", verifier="ran_module:Thing")
    with pytest.raises(ConfigError, match=r"names code, 'ran_module:Thing', which is not run because a file says so"):
        Verifiers().of(problem)
    assert not (folder / "ran").exists()
    with pytest.raises(ConfigError, match="makes a Thing, which does not verify"):
        Verifiers(own=["ran_module:Thing"]).of(problem)
    assert (folder / "ran").exists()


def test_a_collection_runs_no_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["index", "add", "theirs.sqlite", "notes.txt"])
    assert not left.value.code
    with sqlite3.connect("theirs.sqlite") as file:
        file.execute("UPDATE meta SET value = 'ran_module:Thing' WHERE name = 'opens with'")
    file.close()
    told = error_of(capsys, ["index", "search", "theirs.sqlite", "otters"])
    assert "--embedder ran_module:Thing" in told
    told = error_of(capsys, ["solve", "1 + 1?", "-m", "scripted/replies.txt", "-c", "theirs.sqlite", "--dialect", "native"])
    assert "not run because a file says so" in told
    assert not (folder / "ran").exists()


def test_a_topology_runs_no_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [{"name": "solver", "model": "ran_module:Thing"}]
    (folder / "theirs.yaml").write_text(json.dumps({"name": "theirs", "members": members}))
    told = error_of(
        capsys, ["compare", "--strategies", "greedy,theirs.yaml", "-p", "problems.jsonl", "-m", "scripted/replies.txt", "--run", "out"]
    )
    assert "not run because a file says so" in told
    assert not (folder / "ran").exists()


def test_a_paused_run_runs_no_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "turn.txt").write_text("\\boxed{2}\n" * 20)
    (folder / "team.yaml").write_text('{"name": "pair", "members": [{"name": "ada"}, {"name": "bob"}]}')
    with pytest.raises(SystemExit):
        main(["topology", "run", "team.yaml", "1 + 1?", "-m", "scripted/turn.txt", "--pause", "theirs.json", "--approve", "ada"])
    data = (folder / "theirs.json").read_text()
    assert "scripted/turn.txt" in data, capsys.readouterr().err
    (folder / "theirs.json").write_text(data.replace("scripted/turn.txt", "ran_module:Thing"))
    told = error_of(capsys, ["resume", "theirs.json", "--approve"])
    assert "--model ran_module:Thing" in told
    assert not (folder / "ran").exists()
    assert "makes a Thing" in error_of(capsys, ["resume", "theirs.json", "--approve", "--model", "ran_module:Thing"])


def test_options_of_a_sandbox_are_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rollout", "problems.jsonl", "-m", "scripted/replies.txt", "--run", "out"]
    told = error_of(capsys, [*words, "--set", "sandbox.options.speed=3"])
    assert "sandbox.options belong to a sandbox of your own" in told
    (folder / "strange_module.py").write_text("def make(*, size: int = 1):\n    return size\n")
    own = [*words, "--set", "sandbox.backend=strange_module:make"]
    own[own.index("out")] = "other"
    assert "makes a int, which opens no sessions" in error_of(capsys, own)
    own[own.index("other")] = "third"
    assert "has no option 'speed'; its options: size" in error_of(capsys, [*own, "--set", "sandbox.options.speed=3"])
