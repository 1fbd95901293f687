"""What a sampled turn says: reasoning, content and calls; and the probes by which a template shows how it writes them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tirage.core.message import Message, ToolCall

PROBE = "tirage_probe"
"""Name of the tool that templates and readers are tried with."""
PROBE_SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": PROBE,
        "description": "Looks something up.",
        "parameters": {"type": "object", "properties": {"alpha": {"type": "string", "description": "What."}}, "required": ["alpha"]},
    },
}
QUESTION = Message(role="user", content="Which one is it?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A call as it was written, readable or not."""

    name: str = ""
    arguments: str = "{}"
    """A JSON object in text."""
    id: str = ""
    problem: str = ""
    """What is wrong with it, in words its author can act on; empty when it can be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTurn:
    """A sampled turn, taken apart."""

    content: str
    reasoning: str = ""
    attempts: tuple[Attempt, ...] = ()
    """Every call that was tried, in order."""


class Reader(Protocol):
    """Takes a sampled turn apart."""

    def read(self, ids: Sequence[int], schemas: Sequence[dict[str, Any]]) -> ParsedTurn:
        """`ids`: the turn without the end-of-turn token; `schemas` of the tools tell which parameters are texts where a call does not."""
        ...


def probe_call(number: int = 0) -> ToolCall:
    """A call of the probe tool; `number` tells several apart. Nine letters and digits are an id that every known template takes."""
    return ToolCall(name=PROBE, arguments=json.dumps({"alpha": f"value{number}"}), id=f"probe{number:04d}")


def probe_calls(count: int = 1, *, content: str = "") -> Message:
    """An assistant turn of `count` calls."""
    return Message(role="assistant", content=content, tool_calls=tuple(probe_call(number) for number in range(count)))


def attempt(name: object, arguments: object, call_id: object = "") -> Attempt:
    """A call from foreign values: the name has to be a text, the arguments an object or the text of one; None stands for no arguments."""
    if not isinstance(name, str) or not name:
        return Attempt(problem="it names no tool")
    told = call_id if isinstance(call_id, str) else ""
    text = arguments if isinstance(arguments, str) else None
    if text is not None:
        try:
            arguments = json.loads(text, strict=False)
        except ValueError as error:
            return Attempt(name=name, id=told, problem=f"the arguments of {name} are not valid JSON ({error})")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return Attempt(name=name, id=told, problem=f"the arguments of {name} are no JSON object")
    return Attempt(name=name, arguments=json.dumps(arguments, ensure_ascii=False), id=told)


def shared_start(first: str, second: str) -> int:
    """How many characters two texts have in common from the beginning."""
    shorter = min(len(first), len(second))
    return next((place for place in range(shorter) if first[place] != second[place]), shorter)
