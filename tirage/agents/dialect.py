"""Dialects: how a policy writes a tool call in text, and how it is shown the observation.

Reading tells four ends apart: a call, the end of the turn, a length stop, and a call that cannot be read.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tirage.core.message import Observation, ToolCall
from tirage.core.step import Finish, Source
from tirage.models.base import Completion

OUTPUT_FENCE = "```output"
_FENCE = re.compile(r"^[ \t]*```([A-Za-z0-9_+-]*)[ \t]*$", re.MULTILINE)
_PYTHON = {"python", "py", "python3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a completion asks for."""

    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    problem: str = ""
    """For MALFORMED: what is wrong, in words the policy can act on."""


class Dialect(Protocol):
    """A way to write tool calls."""

    @property
    def name(self) -> str:
        """Identifier, part of the policy's identity."""
        ...

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings at which the policy waits for an observation."""
        ...

    @property
    def uses_schemas(self) -> bool:
        """True when tool schemas go into the request (chat only)."""
        ...

    def read(self, step_text: str, completion: Completion) -> Reading:
        """Interpret a completion. `step_text` is the step's whole text including a hint before it."""
        ...

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """The text that goes after a call, by source. `tail` is the text just before it."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: language tag, content, and whether its fence is closed."""

    language: str
    code: str
    closed: bool
    end: int
    """Offset just behind the block."""


def fenced_blocks(text: str) -> list[Block]:
    """All fenced blocks of `text`, in order; the last one may be open. Linear in the length."""
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence.group(1):
            # A new opener inside an open block: the model forgot to close, the older block stays unclosed.
            blocks.append(Block(opened.group(1).lower(), text[opened.end() + 1 : fence.start()], False, fence.start()))
            opened = fence
        else:
            blocks.append(Block(opened.group(1).lower(), text[opened.end() + 1 : fence.start()], True, fence.end()))
            opened = None
    if opened is not None:
        blocks.append(Block(opened.group(1).lower(), text[opened.end() + 1 :], False, len(text)))
    return blocks


def _python_call(code: str) -> ToolCall:
    return ToolCall(name="python", arguments=json.dumps({"code": code.removesuffix("\n")}, ensure_ascii=False))


class FencedPython:
    """Python in a fence, output in a fence, one assistant turn: ToRA, Qwen2.5-Math TIR and START."""

    name = "fenced-python"
    stops = (OUTPUT_FENCE,)
    uses_schemas = False

    def read(self, step_text: str, completion: Completion) -> Reading:
        """A call is a closed python block followed by an output fence, or standing at the very end of a turn."""
        if completion.finish == "length":
            return Reading(finish=Finish.LENGTH)
        body, at_fence = step_text, False
        if completion.finish == "stop_string" and completion.stop_string == OUTPUT_FENCE:
            body, at_fence = step_text[: step_text.rindex(OUTPUT_FENCE)], True
        blocks = fenced_blocks(body)
        last = blocks[-1] if blocks else None
        if at_fence:
            if last is not None and last.closed and last.language in _PYTHON:
                return Reading(finish=Finish.CALL, calls=(_python_call(last.code),))
            return Reading(finish=Finish.MALFORMED, problem="no closed ```python block before the output fence")
        if last is None or last.language not in _PYTHON:
            return Reading(finish=Finish.STOP)
        if not last.closed:
            return Reading(finish=Finish.MALFORMED, problem="the ```python block is not closed")
        if not body[last.end :].strip():
            return Reading(finish=Finish.CALL, calls=(_python_call(last.code),))
        return Reading(finish=Finish.STOP)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """Output fence (unless the policy wrote it), the text, the closing fence."""
        text = "\n".join(observation.text for observation in observations).rstrip("\n") + "\n"
        if tail.endswith(OUTPUT_FENCE):
            opening = "\n"
        elif tail.endswith(OUTPUT_FENCE + "\n"):
            opening = ""
        else:
            opening = ("" if tail.endswith("\n") else "\n") + OUTPUT_FENCE + "\n"
        shown = [(Source.SCAFFOLD, opening)] if opening else []
        return [*shown, (Source.TOOL, text), (Source.SCAFFOLD, "```\n")]


class Plain:
    """No calls at all: a turn is text."""

    name = "plain"
    stops: tuple[str, ...] = ()
    uses_schemas = False

    def read(self, step_text: str, completion: Completion) -> Reading:
        """The end of the turn, or of its tokens."""
        return Reading(finish=Finish.LENGTH if completion.finish == "length" else Finish.STOP)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """Nothing was called."""
        return []


class NativeTools:
    """Structured tool calls of chat APIs."""

    name = "native-tools"
    stops: tuple[str, ...] = ()
    uses_schemas = True

    def read(self, step_text: str, completion: Completion) -> Reading:
        """Calls come parsed; arguments that are not a JSON object are left to the tool to refuse."""
        if completion.tool_calls:
            return Reading(finish=Finish.CALL, calls=completion.tool_calls)
        return Reading(finish=Finish.LENGTH if completion.finish == "length" else Finish.STOP)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """Each observation as it goes into its tool message."""
        return [(Source.TOOL, observation.text) for observation in observations]
