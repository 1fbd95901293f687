"""A stored path as chat messages, in the shapes that other tools train on."""

import json
from collections.abc import Mapping
from typing import Any

from tirage.core.rollout import Rollout
from tirage.core.step import Source, Step


def to_messages(rollout: Rollout, node: int) -> list[dict[str, Any]]:
    """The conversation that ends at `node` in OpenAI's chat form: the problem or a role's own prompt, then what followed.

    Structured tool calls become `tool_calls` and `tool` messages. In a text dialect calls and outputs are part of
    the assistant's own text, exactly as it was written and read. A hint that was sent as a user turn is one here.
    The policy's system message is not part of it: a trace keeps that prompt as it was rendered.
    """
    steps = rollout.tree.trajectory(node).steps
    opening = steps[0].opening
    messages: list[dict[str, Any]] = [{"role": "user", "content": rollout.problem.prompt}]
    if opening is not None:
        messages = [{"role": message.role, "content": message.content} for message in opening.messages]
    open_turn: list[str] = []

    def close_turn() -> None:
        if text := "".join(open_turn):
            messages.append({"role": "assistant", "content": text})
        open_turn.clear()

    for step in steps:
        if step.hint is not None and step.hint.as_user_turn:
            close_turn()
            messages.append({"role": "user", "content": _text(step, {Source.HINT})})
            open_turn.append(_text(step, set(Source) - {Source.HINT, Source.TOOL} if _structured(step) else set(Source) - {Source.HINT}))
        else:
            open_turn.append(_text(step, set(Source) - {Source.TOOL} if _structured(step) else set(Source)))
        if _structured(step):
            calls = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in step.calls
            ]
            messages.append({"role": "assistant", "content": "".join(open_turn), "tool_calls": calls})
            open_turn.clear()
            messages.extend({"role": "tool", "tool_call_id": item.call_id, "content": item.text} for item in step.observations)
    close_turn()
    return messages


def to_sharegpt(rollout: Rollout, node: int) -> list[dict[str, str]]:
    """The same conversation in ShareGPT's `from` / `value` form, tool turns as `function_call` and `observation`."""
    turns: list[dict[str, str]] = []
    names = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
    for message in to_messages(rollout, node):
        if message["content"] or "tool_calls" not in message:
            turns.append({"from": names[message["role"]], "value": message["content"]})
        turns.extend({"from": "function_call", "value": _call_text(call["function"])} for call in message.get("tool_calls", ()))
    return turns


def _call_text(function: Mapping[str, str]) -> str:
    """A call as one JSON object; arguments that are no JSON stay the text they were."""
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        arguments = function["arguments"]
    return json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)


def _structured(step: Step) -> bool:
    """Calls of chat APIs carry ids, calls written in text do not."""
    return any(call.id for call in step.calls)


def _text(step: Step, sources: set[Source]) -> str:
    return "".join(span.text for span in step.spans if span.source in sources)
