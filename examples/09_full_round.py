"""One improvement round on the embedded model, small enough for a minute: the loop of `make demo` from Python.

Measure, see what fails, sample that with hints, keep what the verifier accepts, fine-tune, measure again without hints.
"""

import tempfile
from pathlib import Path

import tirage
from tirage.problems import GymSource
from tirage.runtime.config import ImproveConfig, SamplingConfig, SplitsConfig
from tirage.traces import TraceStore
from tirage.training.dataset import Dataset
from tirage.training.spec import SFTSettings

CONFIG = ImproveConfig(
    name="tiny",
    model="nano",
    problems=SplitsConfig(
        train=GymSource(families="nano", split="train", count=33),
        heldout=GymSource(families="nano", split="heldout", count=33),
    ),
    sampling=SamplingConfig(max_tokens=200),
    training=SFTSettings(epochs=1),
    control=False,
)

with tempfile.TemporaryDirectory() as scratch:
    run = Path(scratch) / "round"
    report = tirage.improve(CONFIG, run=run)  # interrupted, the same call goes on where it was
    print(report.headline)

    with TraceStore(run) as store:
        stages = [entry.stage for entry in store.entries()]
    for stage in dict.fromkeys(stages):
        print(f"{stages.count(stage):>5} rollouts  {stage}")

    dataset = Dataset(run / "datasets" / "hint-rft")
    for count in dataset.manifest.counts:
        print(f"{count.entered:>5} -> {count.left:<4} {count.step}")
    print(f"{len(dataset)} rows; the checkpoint, the report and every trace are in the run folder:")
    print(sorted(path.name for path in run.iterdir()))
