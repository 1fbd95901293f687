"""What every test shares."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that takes the traces of `solve` where a test names none, in place of `runs` in the working directory."""
    folder = tmp_path_factory.getbasetemp() / "runs"
    monkeypatch.setattr("tirage.runtime.solving.RUNS", folder)
    return folder
