"""The README: short, true, and its Python answers rightly."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    assert len(README.split()) <= 600


def test_its_python_answers_rightly(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="pip install 'tirage[local]'")
    (block,) = re.findall(r"<!-- tested -->\n```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("13142724 True\n")
    for author in ("hint", "policy", "tool"):
        assert re.search(rf"^{author} ['\"].*['\"] \(\d+, ", done.stdout, re.MULTILINE), done.stdout


def test_its_table_is_the_stored_round() -> None:
    rows = {row["condition"]: row for row in json.loads((DOCS / "data" / "round.json").read_text(encoding="utf-8"))["conditions"]}
    for name, words in (
        ("before", "| before |"),
        ("with hints", "| with hints and"),
        ("control", "| control:"),
        ("after", "| **after two rounds"),
    ):
        (line,) = [line for line in README.splitlines() if line.startswith(words)]
        shares = [f"{float(share):.1f}" for share in re.findall(r"([\d.]+) %", line)]
        assert shares == [f"{100 * rows[name][key]:.1f}" for key in ("accuracy", "ran_code")], line


def test_its_links_lead_somewhere() -> None:
    for place in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / place).exists(), place
