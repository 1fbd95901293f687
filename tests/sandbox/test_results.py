"""Replies are claims: whatever a cell forges becomes an ordinary, bounded result."""

import math

import pytest

from tirage.sandbox import ExecFailure
from tirage.sandbox.guests import Flooded, parse
from tirage.sandbox.results import MAX_TEXT, died, from_reply


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
