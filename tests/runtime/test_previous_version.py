"""Files that the version before this one wrote are still read: `previous` holds a search, a dataset, a lineage and a paused run of it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.command_line import run
from tirage.core.trajectory import StopReason
from tirage.traces.jsonl import TraceStore
from tirage.traces.search_log import SearchLog
from tirage.training.dataset import Dataset
from tirage.training.lineage import read_lineage

PREVIOUS = Path(__file__).parent / "previous"


def test_traces_are_read(tmp_path: Path) -> None:
    folder = shutil.copytree(PREVIOUS / "search", tmp_path / "search")
    with TraceStore(folder) as store:
        (rollout,) = store.read("search")
    assert rollout.correct is True
    assert [node.stop for node in rollout.tree.nodes[1:]].count(StopReason.ANSWERED) == 4
    assert all(span.ids for node in rollout.tree.nodes[1:] if node.step is not None for span in node.step.spans)


def test_the_log_of_a_search_is_read(tmp_path: Path) -> None:
    folder = shutil.copytree(PREVIOUS / "search", tmp_path / "search")
    (folder / "traces.jsonl").unlink()
    log = SearchLog(folder, set())
    try:
        first = json.loads((folder / "searches.jsonl").read_text().splitlines()[0])
        settled = log.of(first["key"]).take(0, 0, 0, "")
        assert settled is not None
        assert settled.step.spans
    finally:
        log.close()


def test_datasets_and_lineages_are_read() -> None:
    dataset = Dataset(PREVIOUS / "dataset")
    assert dataset.check() == []
    assert len(list(dataset.rows())) == len(dataset) == 11
    lineage = read_lineage(PREVIOUS / "checkpoint")
    assert lineage is not None
    assert lineage.job["steps"] == 2


def test_a_paused_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(PREVIOUS / "paused.json", tmp_path)
    (tmp_path / "script.txt").write_text("42 so \\boxed{42}\n")
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "resume", "paused.json", "--approve", "--json")
    assert code == 0
    assert json.loads(out)["answer"] == "42"
