"""What every test shares, and how the suite is split among processes: a file stays whole, and files with slow tests start first."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that takes the traces of `solve` where a test names none, in place of `runs` in the working directory."""
    folder = tmp_path_factory.getbasetemp() / "runs"
    monkeypatch.setattr("tirage.runtime.solving.RUNS", folder)
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group by file under xdist, files with slow tests first."""
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(ROOT).as_posix()))
    items.sort(key=lambda item: item.path not in slow)
