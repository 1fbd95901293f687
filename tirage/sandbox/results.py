"""From what the guest claims to an `ExecResult`: every field is checked, because the cell may have forged it."""

import dataclasses
import json
import os
import signal
from collections.abc import Mapping
from typing import Any

from tirage.core.codec import decode
from tirage.sandbox.base import ExecFailure, ExecResult, Limits

MAX_TEXT = 40_000
MAX_FETCH = 64 << 20
"""Bytes of a file that is fetched."""
MAX_DISPLAYS = 8 << 20
"""Bytes of all that a cell displays."""
CLAIMS = {
    kind.value: kind
    for kind in (
        ExecFailure.ERROR,
        ExecFailure.SYNTAX,
        ExecFailure.TIMEOUT_SOFT,
        ExecFailure.MEMORY,
        ExecFailure.EXIT,
        ExecFailure.OUTPUT,
        ExecFailure.DISK,
    )
}
"""What a cell may say of itself; the host finds out the rest."""


def text(reply: Mapping[str, Any], key: str, most: int = MAX_TEXT) -> str:
    """A string of the reply, clipped to `most` characters; empty when missing or of another type."""
    value = reply.get(key)
    return value[:most] if isinstance(value, str) else ""


def number(reply: Mapping[str, Any], key: str) -> float:
    """A finite number >= 0; 0 when missing or anything else."""
    value = reply.get(key)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e12 else 0.0


def one_line(said: object, limit: int = 300) -> str:
    """A text for an error message: one line, printable, clipped."""
    line = " ".join(str(said)[: 2 * limit].split())[:limit]
    return "".join(letter for letter in line if letter.isprintable())


def texts(reply: Mapping[str, Any], key: str, most: int = 32) -> tuple[str, ...]:
    """A list of strings of the reply, each clipped; what is no string is left out."""
    value = reply.get(key)
    return tuple(item[:500] for item in value[:most] if isinstance(item, str)) if isinstance(value, list) else ()


def line_number(claim: object) -> int | None:
    """A line of a cell, from 1; None for anything else."""
    return claim if isinstance(claim, int) and not isinstance(claim, bool) and 0 < claim < 1 << 31 else None


def from_reply(reply: Mapping[str, Any], *, interrupted_after_s: float | None) -> ExecResult:
    """The result of a cell that reported; `interrupted_after_s` is the time limit when the host had to interrupt."""
    claimed = reply.get("failure")
    failure = CLAIMS.get(claimed) if isinstance(claimed, str) else None
    result = ExecResult(
        value=text(reply, "value") if "value" in reply else None,
        value_type=text(reply, "type") or None,
        failure=failure,
        error_name=text(reply, "name"),
        error_text=text(reply, "text"),
        error_line=line_number(reply.get("line")),
        traceback=text(reply, "traceback"),
        cpu_s=number(reply, "cpu"),
    )
    return _interrupted(result, interrupted_after_s)


def from_relay(claim: object, limits: Limits, *, layers: tuple[str, ...], duration_s: float) -> ExecResult:
    """The result that a sandbox out of the host's sight reports; layers and time are the host's own knowledge.

    Raises `DataError` when `claim` does not have the shape of a result.
    """
    result = decode(ExecResult, claim)
    return dataclasses.replace(
        result,
        stdout=result.stdout[: limits.output_bytes],
        stderr=result.stderr[: limits.output_bytes],
        value=None if result.value is None else result.value[:MAX_TEXT],
        value_type=None if result.value_type is None else result.value_type[:MAX_TEXT],
        displays=_bounded(result.displays),
        error_name=result.error_name[:MAX_TEXT],
        error_text=result.error_text[:MAX_TEXT],
        error_line=line_number(result.error_line),
        traceback=result.traceback[:MAX_TEXT],
        duration_s=duration_s,
        cpu_s=number({"cpu": result.cpu_s}, "cpu"),
        layers=layers,
    )


def displays(data: bytes) -> tuple[tuple[Mapping[str, str], ...], bool]:
    """The displays that a guest wrote, and whether all came; what has not their shape is left out."""
    try:
        items = json.loads(data) if data else []
    except (ValueError, RecursionError):
        return (), False
    if not isinstance(items, list):
        return (), False
    shown = tuple(
        {kind: said for kind, said in item.items() if isinstance(kind, str) and isinstance(said, str)}
        for item in items
        if isinstance(item, dict)
    )
    return tuple(item for item in shown if item), len(shown) == len(items)


def _bounded(items: tuple[Mapping[str, str], ...]) -> tuple[Mapping[str, str], ...]:
    """As many of the displays as fit the limit."""
    kept: list[Mapping[str, str]] = []
    size = 0
    for item in items:
        size += sum(len(kind) + len(said) for kind, said in item.items())
        if size > MAX_DISPLAYS:
            break
        kept.append(item)
    return tuple(kept)


def _interrupted(result: ExecResult, limit_s: float | None) -> ExecResult:
    if limit_s is None:
        if result.failure is ExecFailure.TIMEOUT_SOFT:
            return dataclasses.replace(result, failure=ExecFailure.ERROR, error_text=result.error_text or "KeyboardInterrupt was raised")
        return result
    return dataclasses.replace(
        result,
        failure=ExecFailure.TIMEOUT_SOFT,
        error_name="TimeoutError",
        error_text=f"the cell ran longer than {limit_s:g} s and was interrupted; what it had done so far is kept",
    )


def died(status: int | None) -> ExecResult:
    """The result of a cell whose process ended; `status` is its wait status, None when unknown."""
    kept = "the session is as before the cell"
    if status is None:
        return ExecResult(failure=ExecFailure.CHANNEL, error_name="Lost", error_text=f"the process was lost; {kept}")
    if os.WIFSIGNALED(status):
        code = os.WTERMSIG(status)
        name = signal.Signals(code).name if code in signal.Signals._value2member_map_ else f"signal {code}"
        hint = " (out of memory?)" if code == signal.SIGKILL else ""
        return ExecResult(failure=ExecFailure.SIGNAL, error_name=name, error_text=f"the process died of {name}{hint}; {kept}")
    code = os.waitstatus_to_exitcode(status)
    return ExecResult(failure=ExecFailure.EXIT, error_name="SystemExit", error_text=f"the process ended with code {code}; {kept}")


def out_of_memory(most_mb: int) -> ExecResult:
    """The result of a cell that was killed because its box took too much memory in all."""
    told = f"the processes of the sandbox together took more than {most_mb} MB; the session is as before the cell"
    return ExecResult(failure=ExecFailure.MEMORY, error_name="MemoryError", error_text=told)


def killed(limit_s: float) -> ExecResult:
    """The result of a cell that did not react to the interrupt."""
    return ExecResult(
        failure=ExecFailure.TIMEOUT_KILLED,
        error_name="TimeoutError",
        error_text=f"the cell ran longer than {limit_s:g} s and ignored the interrupt; it was killed, the session is as before the cell",
    )


def failed(kind: ExecFailure, reason: str) -> ExecResult:
    """A cell that could not run, or whose effect had to be taken back."""
    return ExecResult(failure=kind, error_name=kind.value, error_text=f"{reason}; the session is as before the cell")
