"""The command line as a user meets it: what works prints, what does not is one line with the remedy and an exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tirage
from tests.cli.command_line import problems, run, script

DEAD = "http://127.0.0.1:9/v1#some-model"


GOOD = '{"prompt": "1 + 1?", "answer": "2"}'


@pytest.mark.parametrize(
    "command",
    [[], ["solve"], ["rollout"], ["eval"], ["compare"], ["improve"], ["doctor"], ["models"], ["train"]]
    + [["trace", name] for name in ("ls", "show", "export", "grep", "why")]
    + [["data", name] for name in ("build", "show", "check")]
    + [["problems", name] for name in ("show", "check")]
    + [["tools", name] for name in ("ls", "card")],
    ids=" ".join,
)
def test_help_shows_an_example(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "tirage" in out
    assert "Example" in out or not command


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, tirage.__version__ + "\n", "")
    done = subprocess.run([sys.executable, "-m", "tirage", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == tirage.__version__ + "\n"


def test_a_question_is_solved_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "solve", "1 + 1?", "-m", script(tmp_path, "I add. \\boxed{2}"), "--answer", "2")
    assert code == 0
    assert "I add." in out
    assert "correct" in out
    code, out, _ = run(capsys, "solve", "1 + 1?", "-m", script(tmp_path, "\\boxed{3}"), "--answer", "2", "--json")
    result = json.loads(out)
    assert (code, result["answer"], result["correct"], result["stop"]) == (0, "3", False, "answered")


def test_rollouts_are_stored_resumed_and_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = problems(tmp_path, GOOD, '{"prompt": "2 + 2?", "answer": "4"}')
    folder = str(tmp_path / "run")
    model = script(tmp_path, "\\boxed{2}", "\\boxed{2}")
    code, out, _ = run(capsys, "rollout", path, "-m", model, "--run", folder, "--concurrency", "1", "--json")
    assert (code, json.loads(out)["done"]) == (0, 2)
    code, out, _ = run(capsys, "rollout", path, "-m", model, "--run", folder, "--concurrency", "1", "--json")
    assert (code, json.loads(out)["resumed"]) == (0, 2)
    code, _, err = run(capsys, "rollout", path, "-m", model, "--run", folder, "--seed", "9", "--concurrency", "1")
    assert code == 2
    assert "seed" in err
    code, out, _ = run(capsys, "compare", folder, folder, "--json")
    assert code == 0
    assert json.loads(out)


@pytest.mark.parametrize(
    ("model", "code", "message"),
    [
        ("nanoo", 2, "did you mean 'nano'"),
        ("vlm/x", 2, "did you mean 'vllm/NAME'"),
        ("gpt-4", 2, "forms: nano, hf/PATH"),
        ("hf/does/not/exist", 2, "does/not/exist"),
        ("http://127.0.0.1:9/v1", 2, "#NAME"),
        ("replay/absent.jsonl", 2, "absent.jsonl"),
        (DEAD, 4, "127.0.0.1:9"),
        ("openai/gpt-5", 4, "set OPENAI_API_KEY"),
        ("litellm/anthropic/claude-sonnet-4-5", 4, "set ANTHROPIC_API_KEY"),
    ],
)
def test_models_that_cannot_be_opened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: str, code: int, message: str
) -> None:
    for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    found, _, err = run(capsys, "solve", "1 + 1?", "-m", model)
    assert (found, err.count("\n")) == (code, 1), err
    assert message in err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GOOD, "{broken"], ":2"),
        ([], "empty"),
        ([GOOD, '{"prompt": "no gold"}'], "answer"),
        (['{"statement": "?", "answer": "1"}'], "prompt"),
    ],
    ids=["malformed line", "empty set", "no gold answer", "other columns"],
)
def test_problem_files_that_cannot_be_used(capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: list[str], message: str) -> None:
    code, _, err = run(capsys, "rollout", problems(tmp_path, *lines), "-m", script(tmp_path, "x"), "--run", str(tmp_path / "run"))
    assert (code, err.count("\n")) == (3, 1), err
    assert message in err
    assert "problems.jsonl" in err


def test_a_run_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = problems(tmp_path, GOOD)
    code, _, err = run(capsys, "rollout", path, "-m", script(tmp_path, "x"), "--run", f"{path}/run")
    assert (code, err.count("\n")) == (2, 1)
    assert "--run" in err


def test_configuration_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "round.yaml"
    config.write_text("name: x\nproblems: {train: {type: gym}, heldout: {type: gym}}\nrecipee: {}\n")
    code, _, err = run(capsys, "improve", str(config))
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'recipe'" in err
    code, _, err = run(capsys, "improve", str(tmp_path / "absent.yaml"))
    assert (code, err.count("\n")) == (2, 1)
    code, out, _ = run(capsys, "improve", "--schema")
    assert code == 0
    assert "properties" in json.loads(out)


def test_a_model_without_weights_here_cannot_be_improved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "nano.yaml"
    code, _, err = run(capsys, "improve", str(example), "--set", f"model={DEAD}", "--run", str(tmp_path / "run"))
    assert (code, err.count("\n")) == (2, 1)
    assert "vllm/PATH" in err


def test_what_is_not_a_run_is_said_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (["compare", str(tmp_path), str(tmp_path)], ["trace", "ls", str(tmp_path)], ["data", "show", str(tmp_path)]):
        code, _, err = run(capsys, *arguments)
        assert (code, err.count("\n")) == (3, 1), err


def test_doctor_and_models_answer_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == 0
    findings = {row["what"]: row for row in json.loads(out)}
    assert findings["python"]["here"]
    assert all(row["here"] or row["remedy"] for row in findings.values())
    code, out, _ = run(capsys, "models", "--json")
    assert "nano" in json.loads(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "No such command 'nosuch'; see tirage --help"),
        (["solve"], "there is no question; give its text"),
        (["solve", "1 + 1?", "--zzz"], "--zzz; see tirage solve --help"),
        (["solve", "1 + 1?", "--best-of", "many"], "'--best-of'"),
        (["trace", "export", "run"], "see tirage trace export --help"),
        (["solve", " "], "the question is empty"),
        (["improve", "round.yaml", "--set", "samples=[1"], "not YAML"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("round.yaml").write_text("name: x\n")
    code, _, err = run(capsys, *arguments)
    assert (code, err.count("\n")) == (2, 1), err
    assert message in err


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "trace")
    assert code == 2
    assert "show" in out + err
    assert "error" not in out + err


def test_a_configuration_that_is_not_text_is_said_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "round.yaml"
    config.write_bytes(b"\xff\xfe\x00")
    code, _, err = run(capsys, "improve", str(config))
    assert (code, err.count("\n")) == (2, 1)
    assert "round.yaml is not YAML" in err


def test_rollouts_take_any_setting_and_can_keep_answers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = problems(tmp_path, '{"riddle": "1 + 1?", "solution": "2"}')
    columns = ["--set", "problems.prompt_column=riddle", "--set", "problems.answer_column=solution"]
    cache = tmp_path / "answers.sqlite"
    kept = ["--set", f"model_options.cache={cache}"]
    model = script(tmp_path, "\\boxed{2}")
    for name in ("first", "second"):
        # The script holds one answer: the second run's comes from the file.
        code, out, err = run(capsys, "eval", path, "-m", model, "--run", str(tmp_path / name), "--json", *columns, *kept)
        assert code == 0, err
        assert '"accuracy": 1.0' in out
        (tmp_path / "script.txt").write_text("")
    code, _, err = run(capsys, "rollout", path, "-m", model, "--set", "agent.max_cals=3")
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'max_calls'" in err
