"""Functions of the host as a cell sees them: `tools.NAME(...)`, asked for on the session's own channel while the cell runs."""

import _thread
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from . import wire

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ToolError(Exception):
    """A call that the host refused, or that went wrong there."""


class Line:
    """The way to the host for the length of one cell; one call at a time."""

    def __init__(self, channel: socket.socket, run: str, functions: Mapping[str, Sequence[str]]) -> None:
        """`run` is the id of the request that the cell answers, `functions` maps names to their parameters in order."""
        self.functions = functions
        self.is_open = True
        self._channel = channel
        self._run = run
        self._number = 0
        self._lock = _thread.allocate_lock()
        self._pid = os.getpid()

    def ask(self, name: str, arguments: str) -> Any:
        """The function's result. Raises `ToolError`."""
        if os.getpid() != self._pid:
            raise ToolError("functions of the host can be called by the cell's own process only, not by one that it started")
        with self._lock:
            if not self.is_open:
                raise ToolError(f"{name} was called after its cell had ended")
            self._number += 1
            packet = {"id": self._run, "call": self._number, "name": name, "arguments": arguments}
            if len(_encode(packet).encode("utf-8", "replace")) > wire.MAX_PACKET:
                raise ToolError(f"the arguments of {name} take more than {wire.MAX_PACKET} bytes; give less at a time")
            wire.send(self._channel, packet)
            while True:
                reply, fds = wire.receive(self._channel)
                wire.close_all(fds)
                # An answer that an interrupt kept from being read may come first.
                if reply.get("call") == self._number:
                    break
        if reply["kind"] == "error":
            raise ToolError(reply["text"])
        return json.loads(reply["text"]) if reply["kind"] == "json" else reply["text"]

    def close(self) -> None:
        """Wait for a call under way in another thread: it must not read what the host sends next."""
        with self._lock:
            self.is_open = False


class Function:
    """One function of the host."""

    def __init__(self, tools: "Tools", name: str) -> None:
        """It may be kept over cells; it works in those that are served."""
        self._tools = tools
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the host. Raises `TypeError` for what is no call or no JSON, `ToolError` for what went wrong there."""
        line, name = self._tools._line, self.__name__
        if line is None or name not in line.functions:
            raise ToolError(f"{name} cannot be called in this cell")
        parameters = line.functions[name]
        if len(args) > len(parameters):
            raise TypeError(f"{name}() takes {len(parameters)} arguments ({', '.join(parameters)}), not {len(args)}")
        given = dict(zip(parameters, args, strict=False))
        for parameter, value in kwargs.items():
            if parameter in given:
                raise TypeError(f"{name}() got {parameter!r} twice")
            given[parameter] = value
        return line.ask(name, _encode(given))

    def __repr__(self) -> str:
        """As in a listing."""
        line = self._tools._line
        return f"<tools.{self.__name__}({', '.join(line.functions.get(self.__name__, ())) if line else ''})>"


class Tools:
    """What stands in a cell's namespace as `tools`."""

    ToolError = ToolError
    _line: Line | None = None

    def __getattr__(self, name: str) -> Function:
        """The function of that name."""
        functions = self._line.functions if self._line is not None else {}
        if name not in functions:
            raise AttributeError(f"there is no function tools.{name} in this cell; there are: {', '.join(functions) or 'none'}")
        return Function(self, name)

    def __dir__(self) -> list[str]:
        """The names of the functions."""
        return sorted(self._line.functions) if self._line is not None else []

    def __repr__(self) -> str:
        """With the names."""
        return f"<tools: {', '.join(dir(self)) or 'none'}>"
