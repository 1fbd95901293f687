import json
import os
from pathlib import Path
from typing import Any

import pytest

from tirage.core.errors import DataError, TrainingError
from tirage.testing.builders import Turn, make_problem, make_rollout
from tirage.training.dataset import Dataset, new_dataset
from tirage.training.manifest import TraceDigest
from tirage.training.recipes import RFT, RFTConfig


@pytest.fixture
def folder(tmp_path: Path, as_traces: Any) -> Path:
    rollouts = [make_rollout(Turn(text=f"{n}+1={n + 1}"), problem=make_problem(f"{n}?"), stage="s") for n in range(4)]
    RFT(RFTConfig(stage="s")).build(as_traces(rollouts), tmp_path / "rows", run="runs/first")
    return tmp_path / "rows"


def rewrite(path: Path, line: int, **changes: Any) -> None:
    lines = path.read_text().splitlines()
    lines[line] = json.dumps(json.loads(lines[line]) | changes)
    path.write_text("\n".join(lines) + "\n")


def test_a_written_dataset_reads_back(folder: Path) -> None:
    dataset = Dataset(folder)
    rows = list(dataset.rows())
    assert len(dataset) == len(rows) == 4
    assert dataset.check() == []
    assert sorted(os.listdir(folder)) == ["manifest.json", "rows.jsonl"]
    assert rows[0].meta | {"trace": "", "problem": ""} == {  # type: ignore[operator]
        "trace": "",
        "run": "first",
        "problem": "",
        "nodes": [1],
        "recipe": "rft",
        "hint_ids": [],
    }
    assert dataset.manifest.tokens_trained == sum(len(row.trained_ids) for row in rows)
    first = json.loads((folder / "manifest.json").read_text())["counts"][0]
    assert first == {"step": "read", "in": 4, "out": 4, "dropped": {}, "noted": {}, "unit": "trajectories"}


def test_check_finds_a_changed_row(folder: Path) -> None:
    rewrite(folder / "rows.jsonl", 1, labels=[0] * len(next(Dataset(folder).rows()).labels))
    faults = Dataset(folder).check()
    assert any("sha256" in fault for fault in faults)
    assert any("row 2: a label differs from its token" in fault for fault in faults)


def test_check_finds_lost_and_doubled_rows(folder: Path) -> None:
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join([lines[0], lines[0], lines[1]]))
    faults = Dataset(folder).check()
    assert any("occurs twice" in fault for fault in faults)
    assert any("3 rows on disk, the manifest counts 4" in fault for fault in faults)


def test_check_finds_counts_that_do_not_add_up(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["counts"][2]["out"] = 3
    (folder / "manifest.json").write_text(json.dumps(manifest))
    faults = Dataset(folder).check()
    assert "step score: 4 in, 0 dropped, 3 out" in faults
    assert "step filter took 4 but score gave 3" in faults


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "x"}', '{"id": "x", "input_ids": [1], "labels": [], "meta": {}}', "\x00"])
def test_a_malformed_row_is_named(folder: Path, line: str) -> None:
    with (folder / "rows.jsonl").open("a") as rows:
        rows.write(line + "\n")
    with pytest.raises(DataError, match=r"rows.jsonl:5: .*rebuild the dataset"):
        list(Dataset(folder).rows())


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_a_broken_manifest_is_named(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest.json: .*rebuild the dataset"):
        Dataset(folder)


def test_no_dataset_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a dataset: No such file.*tirage data build"):
        Dataset(tmp_path / "nowhere")


def test_a_dataset_is_replaced_as_a_whole(folder: Path) -> None:
    before = (folder / "rows.jsonl").read_bytes()

    def fail_half_way() -> None:
        with new_dataset(folder) as scratch:
            (scratch / "rows.jsonl").write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert (folder / "rows.jsonl").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["rows"]


def test_other_peoples_folders_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "final.tex").write_text("x")
    with pytest.raises(TrainingError, match="is not a dataset; give an empty or new folder"), new_dataset(tmp_path / "thesis"):
        pass
    assert (tmp_path / "thesis" / "final.tex").exists()


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match=r"cannot write a dataset to .*choose another folder"), new_dataset(tmp_path / "file" / "rows"):
        pass


def test_trace_digest_is_a_set_hash() -> None:
    one, two = make_rollout(sample=0), make_rollout(sample=1)

    def digest(*rollouts: Any) -> str:
        total = TraceDigest()
        for rollout in rollouts:
            total.add(rollout)
        return total.sha256

    assert digest(one, two) == digest(two, one)
    assert len({digest(one), digest(two), digest(one, two), digest(one, one), digest()}) == 5
