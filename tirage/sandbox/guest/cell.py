"""Run one cell: compile, execute, show the last expression, say what went wrong."""

import _signal  # type: ignore[import-not-found]
import ast
import builtins
import errno
import gc
import linecache
import signal
import sys
import time
import traceback
import types
from typing import Any

from . import displays, kernel, streams

MAX_VALUE, MAX_TEXT, MAX_TRACEBACK = 8_000, 4_000, 8_000
CELL = "<cell "
_compile, _exec, _eval, _repr = builtins.compile, builtins.exec, builtins.eval, builtins.repr
# The plain functions and numbers below signal.signal: its wrapper looks every handler up in an enumeration.
_set_handler, _SIGINT, _IGNORE = _signal.signal, int(signal.SIGINT), int(signal.SIG_IGN)
_TIMERS = tuple(int(timer) for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF))
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def new_main() -> types.ModuleType:
    """A fresh `__main__` for user code."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    module.__dict__["display"] = displays.display
    sys.modules["__main__"] = module
    return module


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, with the middle left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... [{len(text) - 2 * half} characters left out] ...\n{text[-half:]}"


def run(code: str, namespace: dict[str, Any], serial: int) -> dict[str, Any]:
    """Execute `code` in `namespace`; returns the fields of the reply. Never raises, not even `KeyboardInterrupt`."""
    reply: dict[str, Any] = {}
    name = f"{CELL}{serial}>"
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        _set_handler(_SIGINT, signal.default_int_handler)
        _execute(code, name, namespace, reply)
    except BaseException as error:  # whatever the cell raised is its result
        _describe(error, name, code, reply)
    _quiet()
    shown = displays.take()
    if shown:
        reply["displays"] = len(shown)
        reply["shown"] = shown
    reply["cpu"] = time.process_time() - cpu
    reply["wall"] = time.perf_counter() - wall
    return reply


def _execute(code: str, name: str, namespace: dict[str, Any], reply: dict[str, Any]) -> None:
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    try:
        tree: Any = _compile(code, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        body = _compile(tree, name, "exec", dont_inherit=True) if tree.body else None
        tail = _compile(ast.Expression(last.value), name, "eval", dont_inherit=True) if last else None
    except (SyntaxError, ValueError, RecursionError) as error:
        _describe_syntax(error, code, reply)
        return
    if body is not None:
        _exec(body, namespace)
    if tail is not None:
        value = _eval(tail, namespace)
        if value is not None:
            reply["type"] = type(value).__name__
            reply["value"] = clip(_repr(value), MAX_VALUE)
            displays.value(value)
    displays.figures()


def _quiet() -> None:
    """Disarm what a cell may have left running in this process."""
    for _ in range(3):
        try:
            _set_handler(_SIGINT, _IGNORE)
            for timer in _TIMERS:
                signal.setitimer(timer, 0)
            sys.settrace(None)
            sys.setprofile(None)
            kernel.flush_c_streams()
            return
        except BaseException:  # an interrupt or alarm that arrives late; the next round disarms it
            continue


def _describe_syntax(error: BaseException, code: str, reply: dict[str, Any]) -> None:
    line = getattr(error, "lineno", None)
    text = str(getattr(error, "msg", None) or error)
    source = code.splitlines()[line - 1].strip() if line and line <= len(code.splitlines()) else ""
    if source.startswith(("!", "%")):
        text = (
            f"{source.split()[0]!r} is notebook syntax and does not run here: cells are plain Python, "
            "without network, and packages cannot be installed"
        )
    trace = "".join(traceback.format_exception_only(type(error), error))
    reply.update(failure="syntax", name=type(error).__name__, text=text, line=line, traceback=clip(trace, MAX_TRACEBACK))


def _kind(error: BaseException) -> str:
    if isinstance(error, streams.OutputLimit):
        return "output"
    if isinstance(error, KeyboardInterrupt):
        return "timeout-soft"
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, SystemExit):
        return "exit"
    if isinstance(error, OSError) and error.errno in _DISK:
        return "disk"
    return "error"


def _describe(error: BaseException, name: str, code: str, reply: dict[str, Any]) -> None:
    """Fill in the failure; a hostile exception (its `__str__` raises, its traceback is faked) costs only its own text."""
    reply.pop("value", None)
    reply.pop("type", None)
    reply["failure"] = _kind(error)
    reply["name"] = type(error).__name__
    try:
        reply["text"] = _text(error)
        lines = [frame.tb_lineno for frame in _frames(error) if frame.tb_frame.f_code.co_filename == name]
        reply["line"] = lines[0] if lines else None
        reply["traceback"] = clip(_trace(error), MAX_TRACEBACK)
    except BaseException as second:  # the exception itself is the cell's own code
        reply.setdefault("text", f"(its text could not be shown: {type(second).__name__})")
    if isinstance(error, MemoryError):
        gc.collect()


def _text(error: BaseException) -> str:
    if isinstance(error, streams.OutputLimit):
        return "the output limit was reached and the cell was stopped; print less"
    if isinstance(error, SystemExit):
        return f"the cell called exit({error.code!r}); variables are kept"
    return clip(str(error), MAX_TEXT)


def _frames(error: BaseException) -> list[types.TracebackType]:
    frames: list[types.TracebackType] = []
    link = error.__traceback__
    while link is not None and len(frames) < 100_000:
        frames.append(link)
        link = link.tb_next
    return frames


def _trace(error: BaseException) -> str:
    """The traceback cut to the cells' own frames."""
    if isinstance(error, SystemExit):
        return ""
    report = traceback.TracebackException.from_exception(error, limit=-200, compact=True)
    part: traceback.TracebackException | None = report
    for _ in range(8):
        if part is None:
            break
        part.stack = traceback.StackSummary.from_list([frame for frame in part.stack if frame.filename.startswith(CELL)])
        part = part.__cause__ or part.__context__
    return "".join(report.format())
