"""From what the guest claims to an `ExecResult`: every field is checked, because the cell may have forged it."""

import dataclasses
import os
import signal
from collections.abc import Mapping
from typing import Any

from tirage.sandbox.base import ExecFailure, ExecResult, StateKind

MAX_TEXT = 40_000
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


def from_reply(reply: Mapping[str, Any], *, interrupted_after_s: float | None) -> ExecResult:
    """The result of a cell that reported; `interrupted_after_s` is the time limit when the host had to interrupt."""
    claimed = reply.get("failure")
    failure = CLAIMS.get(claimed) if isinstance(claimed, str) else None
    line = reply.get("line")
    result = ExecResult(
        value=text(reply, "value") if "value" in reply else None,
        value_type=text(reply, "type") or None,
        failure=failure,
        error_name=text(reply, "name"),
        error_text=text(reply, "text"),
        error_line=line if isinstance(line, int) and not isinstance(line, bool) and 0 < line < 1 << 31 else None,
        traceback=text(reply, "traceback"),
        cpu_s=number(reply, "cpu"),
    )
    return _interrupted(result, interrupted_after_s)


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


def from_fields(fields: object, cap: int, *, layers: tuple[str, ...]) -> ExecResult:
    """A result that came over a wire as JSON fields: unknown or misshapen ones are dropped, texts are bounded by `cap`."""
    given: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
    kinds = {kind.value: kind for kind in ExecFailure}
    states = {state.value: state for state in StateKind}
    if not given:
        return failed(ExecFailure.CHANNEL, "the sandbox's answer is not readable")
    line = given.get("error_line")
    return ExecResult(
        stdout=text(given, "stdout", cap),
        stderr=text(given, "stderr", cap),
        value=text(given, "value") if isinstance(given.get("value"), str) else None,
        value_type=text(given, "value_type") or None,
        displays=tuple(_display(item) for item in _list(given.get("displays"))[:64]),
        failure=kinds.get(text(given, "failure")),
        error_name=text(given, "error_name"),
        error_text=text(given, "error_text"),
        error_line=line if isinstance(line, int) and not isinstance(line, bool) and 0 < line < 1 << 31 else None,
        traceback=text(given, "traceback"),
        truncated=given.get("truncated") is True,
        duration_s=number(given, "duration_s"),
        cpu_s=number(given, "cpu_s"),
        layers=layers,
        state=states.get(text(given, "state"), StateKind.FORKED),
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _display(item: object) -> dict[str, str]:
    return {str(kind): data for kind, data in item.items() if isinstance(data, str)} if isinstance(item, dict) else {}
