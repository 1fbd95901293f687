"""The tool loop on a real chat model that nobody here trained: what it writes runs, in process and through vLLM, and nothing is left unrun.

Set TIRAGE_SMOLLM2 to the folder of SmolLM2-135M-Instruct (scripts/smollm2.sh makes one).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tirage.core import Source
from tirage.core.errors import ConfigError
from tirage.core.message import ObservationStatus
from tirage.core.rollout import Rollout
from tirage.evaluation.unrun import unrun
from tirage.models.template import HFRenderer
from tirage.models.vllm.process import find_python
from tirage.traces.jsonl import TraceStore

FOLDER = os.environ.get("TIRAGE_SMOLLM2", "")
FAMILIES = "gym:chain_sum,basic_arithmetic,products,gcd,lcm,count_bits,simple_equations,spell_backward,letter_counting,base_conversion"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(not FOLDER, reason="set TIRAGE_SMOLLM2 to the folder that scripts/smollm2.sh makes"),
]


def has_vllm() -> bool:
    try:
        find_python()
    except ConfigError:
        return False
    return True


def roll(model: str, run: Path, count: int, *settings: str) -> list[Rollout]:
    """Hinted rollouts through the command line, as a user starts them."""
    words = [part for setting in ("agent.demonstrations=tool-integrated-reasoning", *settings) for part in ("--set", setting)]
    command = ["rollout", FAMILIES, "-m", model, "--limit", str(count), "--hint", "start", "--temperature", "0.7", "--max-tokens", "96"]
    done = subprocess.run(
        [sys.executable, "-m", "tirage.cli.main", *command, "--run", str(run), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with TraceStore(run) as store:
        return list(store.read())


def check(rollouts: list[Rollout]) -> None:
    """No program without a run, exact tokens, results that nobody trains on."""
    assert [item for item in unrun(rollouts) if item.reason == "no call"] == []
    renderer = HFRenderer(Path(FOLDER))
    ran = 0
    for rollout in rollouts:
        path = rollout.trajectory
        assert path is not None
        assert path.error is None
        assert path.token_ids is not None
        for span in path.spans:
            if span.source in (Source.TOOL, Source.HINT, Source.SCAFFOLD):
                assert renderer.decode(span.ids or ()) == span.text
        ran += any(item.status in (ObservationStatus.OK, ObservationStatus.ERROR) for step in path.steps for item in step.observations)
    assert ran >= len(rollouts) / 2


def test_in_process(tmp_path: Path) -> None:
    rollouts = roll(f"hf/{FOLDER}", tmp_path / "run", 4)
    check(rollouts)
    shown = subprocess.run(
        [sys.executable, "-m", "tirage.cli.main", "trace", "grep", str(tmp_path / "run"), "--unrun", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in shown.stdout.splitlines() if json.loads(line)["reason"] == "no call"] == []
    assert "programs were not run" in shown.stderr


@pytest.mark.vllm
@pytest.mark.skipif(not has_vllm(), reason="no vLLM environment; build it with: scripts/vllm_env.sh")
def test_through_vllm(tmp_path: Path) -> None:
    settings = ("agent.elicit=true", 'model_options.vllm_args=["--max-model-len","2048"]')
    check(roll(f"vllm/{FOLDER}", tmp_path / "run", 20, *settings))


def test_its_profile_is_shown_without_loading_it() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "tirage.cli.main", "models", f"hf/{FOLDER}", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "named SmolLM" in shown.stdout, "the template's own system message"
    assert "8192" in shown.stdout
