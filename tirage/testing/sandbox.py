"""`TableSandbox`: a sandbox double that looks results up and executes nothing."""

import dataclasses
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from tirage.core.errors import SandboxError
from tirage.sandbox.base import Calls, ExecFailure, ExecResult, Limits, SandboxCapabilities, no_calls

Answer = ExecResult | Callable[[str], ExecResult]
Table = Mapping[str, Answer] | Callable[[str], ExecResult]


class TableSession:
    """A session whose state is the list of cells that ran and the files that were put; branching copies both."""

    def __init__(self, sandbox: "TableSandbox", history: tuple[str, ...] = (), files: Mapping[str, bytes] | None = None) -> None:
        """`history` are the cells that ran so far."""
        self.history = history
        self.files = dict(files or {})
        self.closed = False
        self._sandbox = sandbox

    async def run(self, code: str, limits: Limits | None = None, *, calls: Calls | None = None) -> ExecResult:
        """The table's result for `code`, stripped of outer whitespace; an `ERROR` naming the cell when the table has none."""
        self._check()
        no_calls(calls, "table")
        self._sandbox.ran.append(code)
        result = self._sandbox.look_up(code)
        if result.failure not in (ExecFailure.TIMEOUT_KILLED, ExecFailure.SIGNAL, ExecFailure.CHANNEL, ExecFailure.FORK_DENIED):
            self.history = (*self.history, code)
        return result

    async def branch(self, *, reseed: int | None = None) -> "TableSession":
        """A session with a copy of history and files. Raises `SandboxError` when branching is switched off."""
        self._check()
        if not self._sandbox.capabilities.can_branch:
            raise SandboxError("this TableSandbox was made with can_branch=False")
        return self._sandbox.adopt(TableSession(self._sandbox, self.history, self.files))

    async def put(self, path: str, content: bytes) -> None:
        """Keep `content`."""
        self._check()
        self.files[path] = bytes(content)

    async def fetch(self, path: str) -> bytes:
        """What was put. Raises `SandboxError` for any other path."""
        self._check()
        if path not in self.files:
            raise SandboxError(f"cannot read {path!r} in the session: no regular file {path!r} in the working directory")
        return self.files[path]

    async def close(self) -> None:
        """Mark closed; idempotent."""
        self.closed = True

    def _check(self) -> None:
        if self.closed or self._sandbox.closed:
            raise SandboxError("the session is closed; open a new one")


class TableSandbox:
    """Answers cells from a mapping (code to result, or to a function of the code) or from one function of the code.

    `ran` lists every cell in the order of arrival, `sessions` every session ever opened or branched.
    """

    def __init__(self, table: Table, *, can_branch: bool = True) -> None:
        """Keys of a mapping are compared without outer whitespace; `can_branch` False makes `branch` fail."""
        self._table: Table = table if callable(table) else {code.strip(): answer for code, answer in table.items()}
        self.ran: list[str] = []
        self.sessions: list[TableSession] = []
        self.closed = False
        self.capabilities = SandboxCapabilities(backend="table", rung=1, can_branch=can_branch, exact=True, layers=("double",))

    def look_up(self, code: str) -> ExecResult:
        """The result for one cell."""
        if callable(self._table):
            return self._table(code)
        answer = self._table.get(code.strip())
        if answer is None:
            text = f"TableSandbox has no result for this cell: {code.strip()!r}"
            return ExecResult(failure=ExecFailure.ERROR, error_name="KeyError", error_text=text, layers=("double",))
        result = answer(code) if callable(answer) else answer
        return result if result.layers else dataclasses.replace(result, layers=("double",))

    def adopt(self, session: TableSession) -> TableSession:
        """Register a session."""
        self.sessions.append(session)
        return session

    async def open(self) -> TableSession:
        """A fresh session. Raises `SandboxError` after `close`."""
        if self.closed:
            raise SandboxError("the sandbox is closed; open a new one")
        return self.adopt(TableSession(self))

    async def close(self) -> None:
        """Close for good; idempotent."""
        self.closed = True

    async def __aenter__(self) -> Self:
        """Nothing to start."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        await self.close()
