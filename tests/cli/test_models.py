"""`tirage models STRING`: what is known of a model, without loading it where its folder is at hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import run
from tests.models.kinds import CHATML, KINDS, write_kind


def folder(path: Path, kind: str, **options: Any) -> str:
    """A folder of that kind with weights that nothing can load."""
    write_kind(path, kind, **options)
    (path / "model.safetensors").write_bytes(b"no weights at all")
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folders_profile_needs_no_weights_in_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str) -> None:
    for form in ("hf", "vllm"):
        code, out, err = run(capsys, "models", f"{form}/{folder(tmp_path, kind)}", "--json")
        assert (code, err) == (0, "")
        told = json.loads(out)
        assert told["profile"]["has_template"] == {"value": True, "source": "template"}
        assert told["profile"]["context"] == {"value": 4096, "source": "config.json"}
        assert told["name"].startswith(f"{form}/{tmp_path}@")


def test_nanos_profile_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "models", "nano")
    assert code == 0
    rows = {
        cells[0].strip(): [cell.strip() for cell in cells[1:]] for line in out.splitlines() if len(cells := line.strip("│").split("│")) > 2
    }
    assert rows["hint"] == ["start", "tirage_profile.yaml"]
    assert rows["context"] == ["1024", "config.json"]
    assert rows["default_system"] == ["none", "probe"]


def test_facts_that_the_user_tells(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = f"hf/{folder(tmp_path, 'thinking')}"
    settings = (
        "model_options.profile.top_k=7",
        "model_options.template.enable_thinking=false",
        "model_options.template.date_string=2025-01-31",
    )
    _, out, _ = run(capsys, "models", name, "--json", *(word for setting in settings for word in ("--set", setting)))
    profile = json.loads(out)["profile"]
    assert profile["top_k"] == {"value": 7, "source": "user"}
    assert profile["thinking"] == {"value": "closed", "source": "probe"}
    assert profile["date"] == {"value": "2025-01-31", "source": "user"}


def test_models_without_a_folder_are_opened_and_what_is_unknown_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "script.txt"
    file.write_text("42")
    code, out, _ = run(capsys, "models", f"scripted/{file}", "--json", "--set", "model_options.profile.temperature=0.4")
    told = json.loads(out)
    assert code == 0
    assert told["profile"]["system_role"] == {"value": None, "source": "unknown"}
    assert told["profile"]["temperature"] == {"value": 0.4, "source": "user"}
    assert told["capabilities"]["raw_continuation"] is True


@pytest.mark.parametrize(
    ("template", "settings", "message"),
    [
        ("{{ messages[0].content", (), "does not compile"),
        ("{{ raise_exception('never') }}", (), "cannot render a plain user message: never"),
        ("{{ undefined_function(messages) }}", (), "'undefined_function' is undefined"),
        (CHATML, ("model_options.template.nonsense=1",), "has no switch 'nonsense'; its switches: date_string"),
        (CHATML, ("model_options.profile.nonsense=1",), "no fact 'nonsense'; facts: has_template"),
        (CHATML, ("model_options.chat_template=nowhere.jinja",), "nowhere.jinja cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, template: str, settings: tuple[str, ...], message: str
) -> None:
    name = f"hf/{folder(tmp_path, 'chatml', template=template)}"
    code, out, err = run(capsys, "models", name, *(word for setting in settings for word in ("--set", setting)))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model.safetensors", "holds no *.safetensors weights; save the model there"),
        ("tokenizer.json", "holds no tokenizer (no tokenizer.json); save one there"),
        ("tokenizer_config.json", "names no end-of-turn token, so no answer would ever end; set eos_token"),
    ],
)
def test_what_a_folder_lacks_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, missing: str, message: str) -> None:
    name = f"hf/{folder(tmp_path, 'mistral')}"
    (tmp_path / missing).unlink()
    code, _, err = run(capsys, "models", name)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_base_model_is_shown_and_asked_by_a_template_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = f"hf/{folder(tmp_path / 'base', 'mistral', template=None)}"
    _, out, _ = run(capsys, "models", name, "--json")
    assert json.loads(out)["profile"]["has_template"]["value"] is False
    (tmp_path / "mine.jinja").write_text(CHATML)
    _, out, _ = run(capsys, "models", name, "--json", "--set", f"model_options.chat_template={tmp_path / 'mine.jinja'}")
    assert json.loads(out)["profile"]["default_system"]["value"] == "You are a helpful assistant."
