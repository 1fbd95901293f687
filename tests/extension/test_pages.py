"""Every page on extending tirage, as written: its files in an empty folder, its commands there, its test with pytest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.extension.pages import FOLDER, read_page, run, tirage_in


def last_json(outputs: list[str], place: int = -1) -> Any:
    return json.loads(outputs[place])


def tool(outputs: list[str], folder: Path) -> None:
    assert "How many moons a planet has." in outputs[0]
    assert "2" in outputs[1].split("<interpreter>")[1].split("</interpreter>")[0]
    assert "answer: 2" in outputs[1]


def strategy(outputs: list[str], folder: Path) -> None:
    (tree,) = last_json(outputs)["trees"]
    assert (tree["nodes"], tree["answer"], tree["correct"]) == (3, "4", True)


def recipe(outputs: list[str], folder: Path) -> None:
    assert "2 rows, all sound" in outputs[2]
    shown = last_json(outputs)
    assert (shown["manifest"]["kind"], shown["manifest"]["config"]["longest"]) == ("pairs", 3.0)
    sides = [bytes(token for token in shown["row"][name] if token < 256).decode() for name in ("chosen_ids", "rejected_ids")]
    assert "42" in sides[0]
    assert "42" not in sides[1]
    assert shown["row"]["margin"] == 1.0
    assert shown["row"]["meta"]["rejected"]["trace"].startswith("rollout/")


def system(outputs: list[str], folder: Path) -> None:
    found = last_json(outputs)
    assert (found["answer"], found["correct"], found["usage"]["model_calls"]) == ("42", True, 4)


def verifier(outputs: list[str], folder: Path) -> None:
    assert last_json(outputs, 0)["correct"] is True
    trace = (folder / "run" / "traces.jsonl").read_text()
    assert '"verifier":"roman/1"' in trace.replace(" ", "")
    assert '"correct":true' in trace.replace(" ", "")


def embedder(outputs: list[str], folder: Path) -> None:
    assert "1 documents of 1 files" in outputs[0]
    assert "Otters sleep on water" in outputs[1]


def sandbox(outputs: list[str], folder: Path) -> None:
    trace = (folder / "run" / "traces.jsonl").read_text()
    assert "1/2" in trace
    assert '"correct":true' in trace.replace(" ", "")
    assert "failed" not in outputs[1]
    assert "kept" in outputs[1]


def model(outputs: list[str], folder: Path) -> None:
    found = last_json(outputs)
    assert (found["answer"], found["correct"]) == ("42", True)


SHOWS: dict[str, Callable[[list[str], Path], None]] = {
    "tool": tool,
    "strategy": strategy,
    "recipe": recipe,
    "system": system,
    "verifier": verifier,
    "embedder": embedder,
    "sandbox": sandbox,
    "model": model,
}
LINES = {"tool": 10, "strategy": 40, "recipe": 60, "system": 45, "verifier": 40, "embedder": 40, "sandbox": 40, "model": 40}


def test_every_page_is_known() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} - {"index"} == set(SHOWS) == set(LINES)


@pytest.mark.parametrize("name", LINES)
def test_what_a_page_adds_is_short(name: str) -> None:
    assert 0 < read_page(name).lines <= LINES[name]


@pytest.mark.parametrize("name", SHOWS)
def test_the_commands_of_a_page_do_what_it_says(name: str, tmp_path: Path) -> None:
    page = read_page(name)
    page.write(tmp_path)
    assert page.commands
    SHOWS[name]([tirage_in(tmp_path, command) for command in page.commands], tmp_path)


def test_the_conformance_suites_run_from_outside(tmp_path: Path) -> None:
    """The test of every page, in one folder: pages name their files apart."""
    pages = [read_page(name) for name in SHOWS]
    for page in pages:
        page.write(tmp_path)
        assert "from tests" not in page.files[page.test]
    tests = [page.test for page in pages]
    assert len(set(tests)) == len(tests)
    done = run(tmp_path, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED test_") == len(tests), done.stdout
