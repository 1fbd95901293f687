"""The whole round on the embedded model: small, but every part is the real one."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tirage.core import Source
from tirage.models.embedded import nano_path
from tirage.models.template import HFRenderer
from tirage.traces.jsonl import TraceStore
from tirage.training.dataset import Dataset
from tirage.training.rows import IGNORED

pytest.importorskip("trl", reason="install the training extra: pip install 'tirage[train]'")

EXAMPLE = Path(__file__).parents[2] / "examples" / "nano.yaml"
SMALL = [
    "rounds=2",
    "problems.train.count=22",
    "problems.heldout.count=11",
    "problems.unseen.count=2",
    "sampling.max_tokens=160",
    "training.epochs=1",
]
STAGES = {
    "after-round-1",
    "train-round-2",
    "before",
    "before-unseen",
    "train-alone",
    "train-hinted",
    "train-unhinted",
    "hinted",
    "after",
    "after-unseen",
    "control",
}


def command(folder: Path) -> list[str]:
    overrides = [part for setting in SMALL for part in ("--set", setting)]
    return [sys.executable, "-m", "tirage.cli.main", "improve", str(EXAMPLE), "--run", str(folder), *overrides]


def finish(folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(folder), capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def round_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "round"
    finish(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_round_leaves_everything_it_promises(round_folder: Path) -> None:
    with TraceStore(round_folder) as store:
        assert {entry.stage for entry in store.entries()} == STAGES
    report = json.loads((round_folder / "report.json").read_text())
    assert {"deterministic", "timing"} <= report.keys()
    page = (round_folder / "report.html").read_text()
    assert "designed state" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    again = finish(round_folder)
    assert "resumed" in again.stderr
    assert json.loads((round_folder / "report.json").read_text())["deterministic"] == report["deterministic"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_rows_train_on_nothing_the_model_did_not_write(round_folder: Path) -> None:
    renderer = HFRenderer(nano_path())
    with TraceStore(round_folder) as store:
        for name in ("hint-rft", "control"):
            dataset = Dataset(round_folder / "datasets" / name)
            assert dataset.check() == []
            counts = dataset.manifest.counts
            assert all(step.entered == step.left + sum(step.dropped.values()) for step in counts)
            assert all(after.entered == before.left for before, after in itertools.pairwise(counts))
            assert counts[-1].left == len(dataset)
            for row in dataset.rows():
                trajectory = store.get(row.meta["trace"]).trajectory
                assert trajectory is not None
                assert trajectory.token_ids == tuple(row.input_ids)
                sources = trajectory.token_sources or ()
                trained = {source for source, label in zip(sources, row.labels, strict=True) if label != IGNORED}
                assert trained <= {Source.POLICY, Source.HINT}
                text = renderer.decode(tuple(label for label in row.labels if label != IGNORED))
                assert "```output\n```output" not in text


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_checkpoint_leads_back_to_its_traces(round_folder: Path) -> None:
    for name in ("hint-rft", "control"):
        checkpoint = round_folder / "jobs" / name / "checkpoint"
        shown = subprocess.run(
            [sys.executable, "-m", "tirage.cli.main", "trace", "why", str(checkpoint)], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stderr
        assert "each in its trace" in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killing_a_round_at_any_moment_changes_nothing(round_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "round"
    draw = random.Random(7)
    seconds = sum(json.loads(line)["seconds"] for line in (round_folder / "timing.jsonl").read_text().splitlines())
    kills = int(os.environ.get("TIRAGE_KILLS", "2"))
    for _ in range(kills):
        with subprocess.Popen(command(folder), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True) as process:
            time.sleep(draw.uniform(3, 3 + seconds / 2))
            process.send_signal(signal.SIGKILL)
    finish(folder)
    whole, killed = (json.loads((path / "report.json").read_text())["deterministic"] for path in (round_folder, folder))
    assert killed == whole
    for name in ("hint-rft", "control"):
        rows = [(path / "datasets" / name / "rows.jsonl").read_bytes() for path in (round_folder, folder)]
        assert rows[0] == rows[1]
    begun = [json.loads(line)["key"] for line in (folder / "begun.jsonl").read_text().splitlines()]
    with TraceStore(folder) as store:
        keys = [entry.key for entry in store.entries()]
    assert len(keys) == len(set(keys))
    assert set(keys) == set(begun)
    last = {key: place for place, key in enumerate(begun)}
    assert len(begun) - len(last) <= kills * 64, "only rollouts in flight at a kill may begin twice"
