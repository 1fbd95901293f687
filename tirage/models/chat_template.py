"""Chat templates: the Jinja text that turns messages into the prompt a model was trained on.

The environment gives templates what Hugging Face gives them (sandbox, loop controls, `tojson`, `raise_exception`,
the `generation` block), except the clock: `strftime_now` is left undefined, so that a prompt is a function of
its messages. Templates that print a date fall back to a fixed one when it is missing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tirage.core.errors import ConfigError, ModelRequestError
from tirage.core.message import Message

_CUT = "\u2063tirage-cut\u2063"
"""Marks the end of a message that stays open; invisible separators make a clash with real text unlikely."""


class _Generation(Extension):
    """`{% generation %}` marks assistant text for training masks; for rendering it is transparent."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as a plain set

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


@lru_cache(maxsize=16)
def _compile(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment.from_string(source)


class ChatTemplate:
    """A compiled chat template with the special tokens it may name."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """`special_tokens`: e.g. `{"bos_token": "<s>"}`. Raises `ConfigError` when the template does not compile."""
        self.source = source
        self._special = dict(special_tokens)
        try:
            self._render: Callable[..., str] = _compile(source).render
        except TemplateError as error:
            raise ConfigError(f"the chat template does not compile: {error}") from error

    def render(self, messages: Sequence[Message], *, continue_final: bool, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt text: messages, then the opening of the assistant's turn, or the final message left open.

        Raises:
            ModelRequestError: The template refuses these messages, or drops the final one, so that it cannot be continued.
        """
        turns = [_as_dict(message) for message in messages]
        if continue_final:
            turns[-1]["content"] += _CUT
        try:
            text = self._render(messages=turns, tools=list(tools) or None, add_generation_prompt=not continue_final, **self._special)
        except TemplateError as error:
            roles = ", ".join(message.role for message in messages)
            raise ModelRequestError(f"the chat template refuses messages with roles [{roles}]: {error}") from error
        if not continue_final:
            return text
        head, cut, _ = text.rpartition(_CUT)
        if not cut:
            raise ModelRequestError(
                "the chat template drops the final assistant message, so it cannot be continued; send token ids instead"
            )
        return head


def _as_dict(message: Message) -> dict[str, Any]:
    """A message as templates expect it: OpenAI's form, with call arguments as objects where they are JSON objects."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": _arguments(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
