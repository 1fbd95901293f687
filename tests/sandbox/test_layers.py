import sys

import pytest

from tirage.sandbox.layers import REMEDIES, LayerReport, best_rung, probe


def reports(*available: str) -> list[LayerReport]:
    names = ("namespaces", "landlock", "landlock-scope", "seccomp", "rlimits", "user")
    return [LayerReport(name=name, available=name in available, tried="", remedy="") for name in names]


def test_every_layer_is_tried_and_a_missing_one_has_a_remedy() -> None:
    seen = probe()
    assert {report.name for report in seen} == {"namespaces", "landlock", "landlock-scope", "seccomp", "rlimits", "user"}
    for report in seen:
        assert report.tried
        assert report.remedy == ("" if report.available else REMEDIES[report.name])


def test_another_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert not any(report.available for report in probe())


def test_best_rung() -> None:
    assert best_rung(reports("namespaces", "landlock", "seccomp", "rlimits", "user")) == 1
    assert best_rung(reports("landlock", "seccomp", "rlimits", "user")) == 2
    assert best_rung(reports("seccomp", "rlimits", "user")) is None
    assert best_rung([]) is None
