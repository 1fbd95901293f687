"""Reading calls out of text: a call, the end, a length stop and a broken call are four different things."""

import json

import pytest

from tirage.agents.dialects.base import OUTPUT_FENCE, FencedPython, NativeTools
from tirage.core import Finish, Observation, Source, ToolCall
from tirage.models.base import Completion

DIALECT = FencedPython()


def at_fence(text: str) -> Completion:
    return Completion(text=text, finish="stop_string", stop_string=OUTPUT_FENCE)


def code_of(text: str, completion: Completion) -> str:
    reading = DIALECT.read(text, completion)
    assert reading.finish is Finish.CALL, reading
    (call,) = reading.calls
    assert call.name == "python"
    return str(json.loads(call.arguments)["code"])


def test_code_before_the_output_fence_is_a_call() -> None:
    text = "Let me compute.\n```python\nx = 1\nprint(x)\n```\n```output"
    assert code_of(text, at_fence(text)) == "x = 1\nprint(x)"


def test_a_turn_that_ends_with_code_is_a_call() -> None:
    text = "```python\nprint(2)\n```\n"
    assert code_of(text, Completion(text=text, finish="stop")) == "print(2)"


def test_all_closed_blocks_are_calls_in_order() -> None:
    text = "```python\nprint(1)\n```\nNo, rather:\n```py\nprint(2)\n```\n```output"
    reading = DIALECT.read(text, at_fence(text))
    assert [json.loads(call.arguments)["code"] for call in reading.calls] == ["print(1)", "print(2)"]
    assert [text[:end].splitlines()[-2] for end in reading.ends] == ["print(1)", "print(2)"]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_closed_block_is_a_call_whatever_stands_behind_it(finish: str) -> None:
    text = "```python\nprint(2)\n```\nSo the answer is \\boxed{3}."
    completion = Completion(text=text, finish=finish)  # type: ignore[arg-type]
    assert code_of(text, completion) == "print(2)"
    assert text[DIALECT.read(text, completion).ends[0] :].startswith("\nSo the answer")


def test_a_length_stop_inside_a_block_is_no_call() -> None:
    text = "```python\nprint(2)\n"
    assert DIALECT.read(text, Completion(text=text, finish="length")).finish is Finish.LENGTH


@pytest.mark.parametrize(
    ("text", "completion"),
    [
        ("thinking\n```output", at_fence("thinking\n```output")),
        ("```python\nprint(1)\n```output", at_fence("```python\nprint(1)\n```output")),
        ("```json\n{}\n```\n```output", at_fence("```json\n{}\n```\n```output")),
        ("```python\nprint(1)\n", Completion(text="```python\nprint(1)\n", finish="stop")),
    ],
    ids=["no block", "fence not closed", "other language", "turn ends inside a block"],
)
def test_calls_that_cannot_be_read_say_why(text: str, completion: Completion) -> None:
    reading = DIALECT.read(text, completion)
    assert reading.finish is Finish.MALFORMED
    assert "```python" in reading.problem


def test_a_hint_that_opens_the_fence_belongs_to_the_block() -> None:
    step = "Let me use Python.\n```python\nprint(5)\n```\n```output"
    assert code_of(step, at_fence("print(5)\n```\n```output")) == "print(5)"


@pytest.mark.parametrize(
    ("tail", "glue"),
    [("```output", "\n"), ("```output\n", ""), ("```\n", "```output\n"), ("```", "\n```output\n")],
)
def test_the_observation_always_stands_in_an_output_fence(tail: str, glue: str) -> None:
    shown = DIALECT.show(tail, [Observation(text="42\n")])
    assert "".join(text for _, text in shown) == f"{glue}42\n```\n"
    assert [text for source, text in shown if source is Source.TOOL] == ["42\n"]


def test_native_calls_come_parsed() -> None:
    call = ToolCall(name="python", arguments='{"code": "1"}', id="c1")
    reading = NativeTools().read("", Completion(text="", finish="tool_calls", tool_calls=(call,)))
    assert (reading.finish, reading.calls) == (Finish.CALL, (call,))
    assert NativeTools().read("done", Completion(text="done", finish="stop")).finish is Finish.STOP
