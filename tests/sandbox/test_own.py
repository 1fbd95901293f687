"""Sandboxes of one's own: what they are called with, and that none without isolation is taken silently."""

import sys
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox.opening import open_own_sandbox
from tirage.testing.sandbox import TableSandbox

MODULE = """
from dataclasses import replace
from tirage.testing.sandbox import TableSandbox

def table(*, memory_mb, note=""):
    made = TableSandbox({})
    made.given = (memory_mb, note)
    return made

def open_air():
    made = TableSandbox({})
    made.capabilities = replace(made.capabilities, rung=4)
    return made

def strict(*, memory_mb):
    raise ValueError(f"memory_mb={memory_mb} is too little")
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_boxes", raising=False)
    (tmp_path / "own_boxes.py").write_text(MODULE)


def test_it_is_called_with_what_it_names() -> None:
    made = open_own_sandbox("own_boxes:table", {"memory_mb": 64, "network": (), "unsafe": False}, {"note": "hello"})
    assert isinstance(made, TableSandbox)
    assert made.given == (64, "hello")  # type: ignore[attr-defined]


def test_none_without_isolation_is_taken_silently() -> None:
    with pytest.raises(SandboxError, match=r"isolates nothing; set sandbox\.unsafe=true"):
        open_own_sandbox("own_boxes:open_air", {"unsafe": False}, {})
    assert open_own_sandbox("own_boxes:open_air", {"unsafe": True}, {}).capabilities.rung == 4


def test_what_it_refuses_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"sandbox 'own_boxes:strict': memory_mb=64 is too little"):
        open_own_sandbox("own_boxes:strict", {"memory_mb": 64}, {})
    with pytest.raises(ConfigError, match="has no option 'nota'; its options: memory_mb, note"):
        open_own_sandbox("own_boxes:table", {"memory_mb": 64}, {"nota": 1})
