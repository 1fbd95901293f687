"""Runs programs the way the interpreter tool shows them: stdout, or the last line of the traceback.

In this process and without isolation: for the generator's own programs and for evaluating this small model only.
The framework runs model-written code in its sandbox.
"""

from __future__ import annotations

import contextlib
import io
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

CLIP = 400


def clip(text: str) -> str:
    """Observations longer than 400 characters keep their first and last 200."""
    return text if len(text) <= CLIP else f"{text[:200]}...{text[-200:]}"


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("the program ran too long")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _forbidden(*_: Any, **__: Any) -> Any:
    raise PermissionError("not available")


def run(code: str, search: Callable[[str], str] | None = None, seconds: float = 3.0, state: dict[str, Any] | None = None) -> str:
    """What the program prints, ending in a newline; on an exception the last traceback line instead.

    Args:
        code: the program.
        search: bound to the name `search` inside the program.
        seconds: wall-clock limit.
        state: the session's variables, carried from one block to the next.
    """
    names: dict[str, Any] = state if state is not None else {}
    names.setdefault("__name__", "__main__")
    names.update({"input": _forbidden, "open": _forbidden, "exit": _forbidden, "quit": _forbidden})
    if search is not None:
        names["search"] = search
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), _deadline(seconds):
            exec(compile(code, "<cell>", "exec"), names)
    except SystemExit:
        pass
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, SyntaxError):
            text = f"{type(error).__name__}: {error.msg}"
        return clip(text.splitlines()[0]) + "\n"
    text = out.getvalue()
    return clip(text if text.endswith("\n") else text + "\n")
