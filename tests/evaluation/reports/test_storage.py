import json
import math
import os
from dataclasses import replace

import pytest

from tirage.core.errors import DataError
from tirage.evaluation import Context, Report, build_improvement_report, read_report, to_plain, write_report


@pytest.fixture
def report(condition) -> Report:
    return build_improvement_report(
        {"before": condition(0.2, seed=1), "after": condition(0.8, seed=2)},
        unseen=["date"],
        yields={"sampling": condition(0.5, seed=3)},
        datasets={"d": {"sampled": 80, "kept": 7}},
        context=Context(
            title="Bericht – ä", lineage={"checkpoint": "9f"}, sections={"Training": {"steps": 3, "loss": 0.1, "resumed": False}}
        ),
        timing={"training": 1.5, "machine": "cpu"},
    )


def test_what_is_written_reads_back(report, tmp_path):
    json_path, html_path = write_report(report, tmp_path / "new" / "folder")
    assert (json_path.name, html_path.name) == ("report.json", "report.html")
    assert sorted(os.listdir(json_path.parent)) == ["report.html", "report.json"]
    again = read_report(json_path)
    assert to_plain(again) == to_plain(report)
    assert again.parts[0].comparisons[0].wins == report.parts[0].comparisons[0].wins
    assert read_report(json_path.parent) == again
    assert html_path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_report_read_back_makes_the_same_page(report, tmp_path):
    json_path, html_path = write_report(report, tmp_path / "a")
    _, second = write_report(read_report(json_path), tmp_path / "b")
    assert html_path.read_bytes() == second.read_bytes()


def test_a_failing_write_leaves_the_old_report_whole(report, tmp_path, monkeypatch):
    write_report(report, tmp_path)
    old = (tmp_path / "report.json").read_bytes()

    def broken(source: str, target: str) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_report(replace(report, title="new"), tmp_path)
    assert (tmp_path / "report.json").read_bytes() == old
    assert sorted(os.listdir(tmp_path)) == ["report.html", "report.json"]


def test_numbers_that_json_lacks_are_refused_before_anything_is_written(report, tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_report(replace(report, timing=replace(report.timing, stages={"x": math.nan})), tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(kind="other"), "not a tirage report"),
        (lambda data: data.update(schema=99), "schema 99"),
        (lambda data: data.pop("deterministic"), "'deterministic' is missing"),
        (lambda data: data["deterministic"].update(titel="x"), "unknown key 'titel'"),
        (lambda data: data["deterministic"].pop("title"), "'title' is missing"),
        (lambda data: data["deterministic"]["parts"][0]["comparisons"][0].pop("wins"), "'wins' is missing"),
    ],
)
def test_a_damaged_report_is_refused_with_its_path(report, tmp_path, change, message):
    path, _ = write_report(report, tmp_path)
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_report(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not JSON|not a tirage report"):
        read_report(path)


def test_a_missing_report_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such report"):
        read_report(tmp_path)
