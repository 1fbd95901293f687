"""The forking box at the far end of a pipe: runs inside a container and does there what the host asks over stdio.

Frames in both directions are four bytes of length and a JSON object. Requests are served side by side; each answer carries the id
of its request. Imports only the standard library and this package, so that a copy of the sources is all a container needs.
"""

import asyncio
import base64
import dataclasses
import functools
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox.base import ExecResult, Limits, Session
from tirage.sandbox.config import SandboxConfig
from tirage.sandbox.fork import ForkSandbox

MAX_FRAME = 128 << 20


def pack(message: Mapping[str, Any]) -> bytes:
    """One frame."""
    data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return len(data).to_bytes(4, "big") + data


async def read_frame(reader: asyncio.StreamReader) -> Any:
    """The next frame's JSON. Raises `EOFError` at the end, `ValueError` for anything that is no frame."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > MAX_FRAME:
            raise ValueError(f"a frame of {size} bytes")
        return json.loads(await reader.readexactly(size))
    except asyncio.IncompleteReadError:
        raise EOFError from None
    except RecursionError:
        raise ValueError("a frame nested too deeply") from None


def result_fields(result: ExecResult) -> dict[str, Any]:
    """A result as JSON-like fields."""
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}


class Relay:
    """Sessions of one sandbox by number, and the requests under way."""

    def __init__(self, sandbox: ForkSandbox, out: int) -> None:
        """`out` is the descriptor on which frames go to the host."""
        self._sandbox = sandbox
        self._out = out
        self._sessions: dict[int, Session] = {}
        self._opened = 0
        self._tasks: dict[Any, asyncio.Task[None]] = {}

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer until the host lets go."""
        while True:
            try:
                request = await read_frame(reader)
            except (EOFError, ValueError):
                break
            if request["op"] == "cancel":
                task = self._tasks.get(request["target"])
                if task is not None:
                    task.cancel()
                continue
            task = asyncio.ensure_future(self._answer(request))
            self._tasks[request["id"]] = task
            task.add_done_callback(functools.partial(self._forget, request["id"]))
        for task in list(self._tasks.values()):
            task.cancel()

    def _forget(self, key: Any, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(key, None)

    async def _answer(self, request: dict[str, Any]) -> None:
        try:
            reply = await self._do(request)
        except (SandboxError, ConfigError, TypeError, ValueError) as error:
            reply = {"error": str(error)}
        except asyncio.CancelledError:
            reply = {"error": "cancelled"}
        self.send({"id": request["id"], **reply})

    async def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        op = request["op"]
        if op == "open":
            return self._keep(await self._sandbox.open())
        session = self._sessions[request["session"]]
        if op == "run":
            return {"result": result_fields(await session.run(request["code"], Limits(**request["limits"])))}
        if op == "branch":
            return self._keep(await session.branch(reseed=request["reseed"]))
        if op == "put":
            await session.put(request["path"], base64.b64decode(request["data"]))
        elif op == "fetch":
            return {"data": base64.b64encode(await session.fetch(request["path"])).decode()}
        elif op == "close":
            await self._sessions.pop(request["session"]).close()
        return {}

    def _keep(self, session: Session) -> dict[str, Any]:
        self._opened += 1
        self._sessions[self._opened] = session
        return {"session": self._opened}

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a frame whole. The host reads all the time, so this waits for nothing but the pipe."""
        view = memoryview(pack(message))
        while view:
            view = view[os.write(self._out, view) :]


async def _live(order: dict[str, Any], out: int) -> None:
    # The container shows only its own processes, and its engine may forbid the ways to look at oneself that need no /proc.
    config = SandboxConfig(first_rung=2, min_rung=2, unsafe=True, readable=("/proc",), **order)
    async with ForkSandbox(config) as sandbox:
        relay = Relay(sandbox, out)
        able = sandbox.capabilities
        relay.send({"ready": True, "rung": able.rung, "layers": able.layers, "notes": able.notes, "python": sys.version.split()[0]})
        reader = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await relay.serve(reader)


def main(order: str) -> None:
    """Serve on stdin and stdout. What anything else prints goes to stderr."""
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        asyncio.run(_live({**json.loads(order), "preload": tuple(json.loads(order)["preload"])}, out))
    except SandboxError as error:
        sys.exit(str(error))
