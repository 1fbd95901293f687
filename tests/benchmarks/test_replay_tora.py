"""Real transcripts, replayed: the code is run again, the answers verified again, and the published accuracy comes out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DATA = os.environ.get("TIRAGE_DATA", "")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DATA, reason="set TIRAGE_DATA to the folder with tora-code-34b-gsm8k.jsonl")
def test_tora_transcripts_give_the_published_accuracy() -> None:
    command = [sys.executable, str(BENCHMARKS / "replay_tora.py"), f"{DATA}/tora-code-34b-gsm8k.jsonl", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["transcripts"] == 1319
    assert result["ungraded"] == 0
    assert abs(result["accuracy"] - 80.7) <= 0.3
    assert result["outputs_equal"] >= 99.0


def test_what_is_no_transcript_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"question": "?", "gt": "1", "code": ["x"]}\n{"question": 1}\n')
    command = [sys.executable, str(BENCHMARKS / "replay_tora.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "bad.jsonl:2" in done.stderr
    assert "Traceback" not in done.stderr
