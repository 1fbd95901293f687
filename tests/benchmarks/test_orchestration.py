"""The orchestration benchmark: its stub server counts right, and our clients pass through it; speed itself is not tested."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
STUB = FOLDER / "load" / "stub.py"
RULES = [
    {"path": "/v1/completions", "mark": "7,8", "body": {"text": "second", "prompt_token_ids": "@PROMPT_IDS@"}},
    {"path": "/v1/completions", "body": {"text": "first"}},
]


@pytest.fixture
def stub() -> Iterator[str]:
    """Root URL of a stub that answers after 20 ms."""
    with subprocess.Popen([sys.executable, str(STUB), "20"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        json.dump(RULES, process.stdin)
        process.stdin.close()
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


def ask(url: str, body: str | None = None) -> dict[str, object]:
    with urllib.request.urlopen(url, None if body is None else body.encode(), timeout=30) as answer:
        data: dict[str, object] = json.load(answer)
    return data


def test_the_stub_chooses_by_mark_and_echoes_the_prompts_ids(stub: str) -> None:
    assert ask(f"{stub}/v1/completions", '{"prompt":[1,2],"n":1}') == {"text": "first"}
    assert ask(f"{stub}/v1/completions", '{"prompt":[6,7,8],"n":1}') == {"text": "second", "prompt_token_ids": [6, 7, 8]}


def test_one_request_at_a_time_keeps_a_fraction_of_two_slots_busy(stub: str) -> None:
    ask(f"{stub}/reset?slots=2&from=1&until=6")
    for _ in range(6):
        ask(f"{stub}/v1/completions", '{"prompt":[1]}')
    found = ask(f"{stub}/stats")
    assert (found["calls"], found["most"]) == (6, 1)
    busy = found["busy"]
    assert isinstance(busy, float)
    assert 0 < busy <= 0.5, "one request in flight can keep at most one of two slots busy"


def test_a_window_that_never_closes_has_no_share(stub: str) -> None:
    ask(f"{stub}/reset?slots=2&from=1&until=6")
    ask(f"{stub}/v1/completions", '{"prompt":[1]}')
    assert ask(f"{stub}/stats")["busy"] is None


def test_chat_and_token_ids_make_their_calls_and_answer_right() -> None:
    command = [sys.executable, str(FOLDER / "orchestration.py"), "--only", "traces on disk", "--json", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--calls", "48", "--slots", "4", "--latency-ms", "5"], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(done.stdout)
    assert [row.get("skipped") for row in rows] == [None] * 2
    assert {(row["task"], row["calls"]) for row in rows} == {("tool", 48)}
    assert all(row["cpu_ms"] > 0 and 0 < row["busy"] <= 1 for row in rows)


def test_a_missing_peer_is_skipped_with_the_remedy() -> None:
    command = [sys.executable, str(FOLDER / "orchestration.py"), "--only", "smolagents", "--json", "--peers-python", "/nowhere/python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    rows = json.loads(done.stdout)
    assert rows
    assert all("pip install" in row["skipped"] for row in rows)
