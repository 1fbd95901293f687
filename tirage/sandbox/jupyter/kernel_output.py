"""What a Jupyter kernel says about a cell, message by message, and the result it adds up to."""

import dataclasses
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from tirage.sandbox import results
from tirage.sandbox.base import ExecFailure, ExecResult

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LINE = re.compile(r"(?:Cell In\s?\[\d+\]|<ipython-input[^>]*>|<cell[^>]*>)[^\n]{0,40}?line (\d+)")
SYNTAX = {"SyntaxError", "IndentationError", "TabError"}


class KernelReading:
    """What a cell shows, message by message."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._texts = {"stdout": "", "stderr": ""}
        self._value: str | None = None
        self._displays: list[Mapping[str, str]] = []
        self._error: Mapping[str, Any] = {}
        self.done = False

    @property
    def full(self) -> bool:
        """True when an output met the cap."""
        return any(len(text) >= self._cap for text in self._texts.values())

    def take(self, message: Any, parent: str) -> None:
        """Add one message, if it belongs to the cell."""
        if message is None or message["parent_header"].get("msg_id") != parent:
            return
        content, kind = message["content"], message["msg_type"]
        if kind == "stream":
            name = "stderr" if content.get("name") == "stderr" else "stdout"
            self._texts[name] = (self._texts[name] + str(content.get("text", "")))[: self._cap]
        elif kind in ("execute_result", "display_data", "update_display_data"):
            self._show(kind, content.get("data") or {})
        elif kind == "error":
            self._error = content
        elif kind == "status" and content.get("execution_state") == "idle":
            self.done = True

    def _show(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "execute_result" and "text/plain" in data:
            self._value = str(data["text/plain"])[: results.MAX_TEXT]
        rich = {name: text if isinstance(text, str) else json.dumps(text) for name, text in data.items() if name != "text/plain"}
        if rich or (kind != "execute_result" and data):
            self._displays.append(rich or {"text/plain": str(data.get("text/plain"))})

    def result(self, failed: ExecResult | None, started: float) -> ExecResult:
        """The cell's result; `failed` is what the host found out itself."""
        base = failed or self._own()
        whole = dataclasses.replace(
            base,
            stdout=self._texts["stdout"],
            stderr=self._texts["stderr"],
            displays=tuple(self._displays),
            truncated=self.full,
            duration_s=time.perf_counter() - started,
        )
        return whole if whole.failure is not None else dataclasses.replace(whole, value=self._value)

    def _own(self) -> ExecResult:
        if self.full:
            return dataclasses.replace(
                results.failed(ExecFailure.OUTPUT, ""), error_text="the output limit was reached and the cell was stopped; print less"
            )
        if not self._error:
            return ExecResult()
        name = str(self._error.get("ename", ""))
        trace = ANSI.sub("", "\n".join(str(line) for line in self._error.get("traceback") or ()))[: results.MAX_TEXT]
        lines = LINE.findall(trace)
        kind = ExecFailure.SYNTAX if name in SYNTAX else ExecFailure.MEMORY if name == "MemoryError" else ExecFailure.ERROR
        return ExecResult(
            failure=kind,
            error_name=name,
            error_text=str(self._error.get("evalue", ""))[: results.MAX_TEXT],
            error_line=int(lines[0]) if lines else None,
            traceback=trace,
        )
