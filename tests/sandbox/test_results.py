"""Replies are claims: whatever a cell forges becomes an ordinary, bounded result."""

import math

import pytest

from tirage.core.codec import encode
from tirage.core.errors import DataError
from tirage.sandbox import ExecFailure, ExecResult, Limits, StateKind
from tirage.sandbox.frames import Flooded, parse
from tirage.sandbox.results import MAX_DISPLAYS, MAX_TEXT, died, from_relay, from_reply, texts


def test_forged_fields_are_dropped_or_clipped() -> None:
    result = from_reply(
        {"value": ["x"], "type": 3, "failure": "timeout-killed", "line": "1", "cpu": math.inf, "text": "x" * (MAX_TEXT + 9)},
        interrupted_after_s=None,
    )
    assert (result.value, result.value_type, result.failure, result.error_line, result.cpu_s) == ("", None, None, None, 0.0)
    assert len(result.error_text) == MAX_TEXT
    for line in (True, -1, 0, 1 << 40, 1.5):
        assert from_reply({"line": line}, interrupted_after_s=None).error_line is None
    for cpu in (-1, math.nan, 1e300, "1", None):
        assert from_reply({"cpu": cpu}, interrupted_after_s=None).cpu_s == 0.0


def test_the_host_decides_what_was_a_timeout() -> None:
    assert from_reply({"failure": "timeout-soft"}, interrupted_after_s=None).failure is ExecFailure.ERROR
    late = from_reply({"value": "1"}, interrupted_after_s=2.0)
    assert late.failure is ExecFailure.TIMEOUT_SOFT
    assert "2 s" in late.error_text


@pytest.mark.parametrize(
    ("status", "failure", "name"),
    [
        (None, ExecFailure.CHANNEL, "Lost"),
        (11, ExecFailure.SIGNAL, "SIGSEGV"),
        (9, ExecFailure.SIGNAL, "SIGKILL"),
        (40, ExecFailure.SIGNAL, "signal 40"),
        (0, ExecFailure.EXIT, "SystemExit"),
        (3 << 8, ExecFailure.EXIT, "SystemExit"),
    ],
)
def test_causes_of_death(status: int | None, failure: ExecFailure, name: str) -> None:
    result = died(status)
    assert (result.failure, result.error_name) == (failure, name)
    assert "as before the cell" in result.error_text


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"nul", b"\xff", b"[" * 100_000, b'"x"'])
def test_junk_is_no_packet(data: bytes) -> None:
    with pytest.raises(Flooded):
        parse(data)


def relayed(claim: object) -> ExecResult:
    return from_relay(claim, Limits(output_bytes=100), layers=("container",), duration_s=2.0)


def test_a_relayed_result_is_clipped_and_completed_by_the_host() -> None:
    long = "x" * (MAX_TEXT + 9)
    forged = ExecResult(
        stdout=long,
        stderr=long,
        value=long,
        value_type=long,
        displays=({"text/html": "<b>"}, {"image/png": "x" * MAX_DISPLAYS}),
        failure=ExecFailure.SIGNAL,
        error_name=long,
        error_text=long,
        error_line=-3,
        traceback=long,
        duration_s=1e9,
        cpu_s=-1.0,
        layers=("namespaces",),
        state=StateKind.REPLAYED,
    )
    result = relayed(encode(forged))
    assert (len(result.stdout), len(result.stderr), len(result.value or ""), len(result.traceback)) == (100, 100, MAX_TEXT, MAX_TEXT)
    assert (len(result.value_type or ""), len(result.error_name), len(result.error_text)) == (MAX_TEXT, MAX_TEXT, MAX_TEXT)
    assert result.displays == ({"text/html": "<b>"},)
    assert (result.failure, result.error_line, result.cpu_s) == (ExecFailure.SIGNAL, None, 0.0)
    assert (result.duration_s, result.layers, result.state) == (2.0, ("container",), StateKind.REPLAYED)
    assert relayed({}) == ExecResult(layers=("container",), duration_s=2.0)
    assert relayed({"cpu_s": math.nan}).cpu_s == 0.0


@pytest.mark.parametrize(
    "claim",
    [
        None,
        [],
        "x",
        {"stdout": 1},
        {"value": ["x"]},
        {"failure": "none"},
        {"failure": {}},
        {"hidden": 1},
        {"cpu_s": 10**400},
        {"error_line": True},
    ],
)
def test_what_is_no_result_is_refused(claim: object) -> None:
    with pytest.raises(DataError):
        relayed(claim)


def test_lists_of_texts_are_bounded() -> None:
    assert texts({"notes": ["a", 1, "b" * 1000, None]}, "notes") == ("a", "b" * 500)
    assert len(texts({"notes": ["a"] * 1000}, "notes")) == 32
    assert texts({"notes": "abc"}, "notes") == texts({}, "notes") == ()
