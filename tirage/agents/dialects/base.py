"""Dialects: how a policy writes a tool call in text, and how it is shown the observation.

Reading tells four ends apart: a call, the end of the turn, a length stop, and a call that cannot be read.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tirage.core.message import Observation, ToolCall
from tirage.core.step import Finish, Source
from tirage.models.base import Completion
from tirage.verification.fences import PYTHON, fenced_blocks

OUTPUT_FENCE = "```output"
CLOSING_FENCES = ("```\n", "~~~\n")
"""What ends most blocks of code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a completion asks for."""

    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    ends: tuple[int, ...] = ()
    """Offset in the step's text just behind each call that is written there: what comes after was written without knowing its result."""
    problem: str = ""
    """For MALFORMED: what is wrong, in words the policy can act on."""
    corrected: bool = False
    """For MALFORMED: it is told so at once, although its turn has ended, and the path goes on."""


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
    def closers(self) -> tuple[str, ...]:
        """Stop strings that may end a call, for back ends that continue a turn: where one fires in anything else, the policy goes on.

        They need not be complete: what stands behind a call is dropped. The most usual one comes first.
        """
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


def _python_call(code: str) -> ToolCall:
    return ToolCall(name="python", arguments=json.dumps({"code": code.removesuffix("\n")}, ensure_ascii=False))


class FencedPython:
    """Python in a fence, output in a fence, one assistant turn: ToRA, Qwen2.5-Math TIR and START."""

    name = "fenced-python"
    stops = (OUTPUT_FENCE,)
    closers = CLOSING_FENCES
    uses_schemas = False

    def read(self, step_text: str, completion: Completion) -> Reading:
        """Every closed block of Python is a call, in order, whatever stands behind it."""
        at_fence = completion.finish == "stop_string" and completion.stop_string == OUTPUT_FENCE
        body = step_text[: step_text.rindex(OUTPUT_FENCE)] if at_fence else step_text
        blocks = fenced_blocks(body)
        programs = [block for block in blocks if block.closed and block.runnable]
        if programs:
            calls = tuple(_python_call(block.code) for block in programs)
            return Reading(finish=Finish.CALL, calls=calls, ends=tuple(block.end for block in programs))
        if completion.finish == "length":
            return Reading(finish=Finish.LENGTH)
        if at_fence:
            return Reading(finish=Finish.MALFORMED, problem="no closed ```python block before the output fence")
        if blocks and blocks[-1].language in PYTHON and not blocks[-1].closed:
            return Reading(finish=Finish.MALFORMED, problem="the ```python block is not closed")
        return Reading(finish=Finish.STOP)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """Output fence (unless the policy wrote it), the text, the closing fence."""
        text = "\n".join(observation.text.rstrip("\n") for observation in observations) + "\n"
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
    closers: tuple[str, ...] = ()
    uses_schemas = False

    def read(self, step_text: str, completion: Completion) -> Reading:
        """The end of the turn, or of its tokens."""
        return Reading(finish=Finish.LENGTH if completion.finish == "length" else Finish.STOP)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """Nothing was called."""
        return []


class NativeTools:
    """Structured tool calls of chat APIs."""

    name = "native"
    stops: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    uses_schemas = True

    def read(self, step_text: str, completion: Completion) -> Reading:
        """Calls come parsed; arguments that are not a JSON object are left to the tool to refuse."""
        if completion.tool_calls:
            return Reading(finish=Finish.CALL, calls=completion.tool_calls)
        return Reading(finish=Finish.LENGTH if completion.finish == "length" else Finish.STOP)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """Each observation as it goes into its tool message."""
        return [(Source.TOOL, observation.text) for observation in observations]
