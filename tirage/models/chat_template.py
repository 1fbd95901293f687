"""Chat templates: the Jinja text that turns messages into the prompt a model was trained on.

The environment gives templates what Hugging Face gives them (sandbox, loop controls, `tojson`, `raise_exception`,
the `generation` block), except the clock: `strftime_now` tells a fixed date, so that a prompt is a function of
its messages. What a template can do is found out by rendering small conversations with it, never by its name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import Any, Literal

from jinja2 import Template, TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tirage.core.errors import ConfigError, ModelRequestError
from tirage.core.message import Message

PROMPT_DATE = date(2024, 7, 26)
"""The day that `strftime_now` tells: the one that Llama 3's template falls back to. The switch `date_string` tells another."""
_CUT = "\u2063tirage-cut\u2063"
"""Marks the end of a message that stays open; invisible separators make a clash with real text unlikely."""
_DATE_SWITCH = "date_string"
_GIVEN = {"messages", "tools", "documents", "add_generation_prompt", "strftime_now", "bos_token", "eos_token", "pad_token", "unk_token"}
"""Variables that are no switches: the conversation and what belongs to it."""
_REMEDY = "give another one with --set model_options.chat_template=FILE"


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
def _compile(source: str) -> tuple[Template, frozenset[str]]:
    """The template, and the names of the variables that it reads."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    tree = environment.parse(source)
    asked = {node.node.name for kind in (nodes.Test, nodes.Filter) for node in tree.find_all(kind) if isinstance(node.node, nodes.Name)}
    made = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"} - asked
    read = meta.find_undeclared_variables(tree) - set(environment.globals) - made
    return environment.from_string(source), frozenset(read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What a template does, as seen by rendering with it."""

    broken: str | None = None
    """Why it cannot render one plain user message; None where it can."""
    system: Literal["native", "folded"] = "native"
    """`folded`: it refuses or drops a system message, which therefore goes in front of the first user message."""
    alternation: bool = False
    """It refuses, or drops one of, two user messages in a row; neighbours of one role are joined by an empty line."""
    tools: bool = False
    """It shows tool schemas."""
    default_system: str | None = None
    """The system message that it puts in front where none is given."""
    opening: str = ""
    """The generation prompt: what it opens the assistant's turn with."""


class ChatTemplate:
    """A compiled chat template with the special tokens it may name and the switches that are set."""

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        switches: Mapping[str, Any] | None = None,
        habits: Mapping[str, Any] | None = None,
    ) -> None:
        """Compile.

        Args:
            source: Jinja text.
            special_tokens: E.g. `{"bos_token": "<s>"}`.
            switches: Variables of the template, such as `enable_thinking`. `date_string` ("2025-01-31" or "31 Jan 2025") is also the
                date of `strftime_now`.
            habits: Fields of `Habits` that are known better than rendering tells.

        Raises:
            ConfigError: The template does not compile, or has no such switch.
        """
        self.source = source
        self._special = dict(special_tokens)
        self.date, told = _date(switches or {})
        self.dated = bool(told)
        """A date was given."""
        self._known = dict(habits or {})
        self._set = {**(switches or {}), **told}
        try:
            template, read = _compile(source)
        except (TemplateError, RecursionError) as error:
            raise ConfigError(f"the chat template does not compile: {_line(error)}; {_REMEDY}") from error
        self._render: Callable[..., str] = template.render
        self._parts = False
        """It takes a message's content as a list of parts only, as templates of models that see pictures may."""
        self.switches = tuple(sorted(read - _GIVEN))
        """The variables that the template reads beside the conversation."""
        unknown = next((name for name in self._set if name not in self.switches and name != _DATE_SWITCH), None)
        if unknown is not None:
            known = ", ".join(sorted({*self.switches, _DATE_SWITCH}))
            raise ConfigError(f"model_options.template: the chat template has no switch {unknown!r}; its switches: {known}")

    def render(self, messages: Sequence[Message], *, continue_final: bool, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt text: messages, then the opening of the assistant's turn, or the final message left open.

        Raises:
            ModelRequestError: The template refuses these messages, or drops the final one, so that it cannot be continued.
        """
        turns = [_as_dict(message) for message in self.adapt(messages)]
        if continue_final:
            turns[-1]["content"] += _CUT
        try:
            text = self._text(turns, tools, opened=not continue_final)
        except Exception as error:  # a template raises whatever Python does
            roles = ", ".join(message.role for message in messages)
            raise ModelRequestError(f"the chat template refuses messages with roles [{roles}]: {_line(error)}") from error
        if not continue_final:
            return text
        head, cut, _ = text.rpartition(_CUT)
        if not cut:
            raise ModelRequestError(
                "the chat template drops the final assistant message, so it cannot be continued; send token ids instead"
            )
        return head

    def adapt(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as the template takes them: without a system role, and in turns, where it wants that."""
        folded, turns = self.habits.system == "folded", list[Message]()
        for message in messages:
            role = "user" if folded and message.role == "system" else message.role
            last = turns[-1] if turns else None
            joined = (self.habits.alternation or folded) and role in ("user", "assistant") and last is not None and last.role == role
            if joined and last is not None and not last.tool_calls and not message.tool_calls:
                turns[-1] = replace(last, content=f"{last.content}\n\n{message.content}")
            else:
                turns.append(replace(message, role=role))
        return turns

    @cached_property
    def habits(self) -> Habits:
        """What the template does with a few conversations."""
        user, more, system = "What is 6 times 7?", "And 8 times 9?", "Answer in words."
        asked = [{"role": "user", "content": user}]
        try:
            self._parts = user not in self._text(asked)
            plain, closed = self._text(asked), self._text(asked, opened=False)
        except Exception as error:  # a template raises whatever Python does
            return Habits(broken=_line(error))
        if user not in plain:
            self._parts = False
            return Habits(broken="it drops the user's message")
        told = self._try([{"role": "system", "content": system}, *asked], system, user)
        twice = self._try([*asked, {"role": "user", "content": more}], user, more)
        shown = self._try(asked, user, _TOOL["function"]["name"], tools=[_TOOL])
        seen = Habits(
            system="folded" if told is None else "native",
            alternation=twice is None,
            tools=shown is not None,
            default_system=None if told is None else _default_system(plain, told, system),
            opening=plain[len(closed) :] if plain.startswith(closed) else "",
        )
        return replace(seen, **self._known)

    def check(self, where: str) -> None:
        """Raise `ConfigError` for a template that cannot render one plain user message; `where` says whose it is."""
        if self.habits.broken is not None:
            raise ConfigError(f"the chat template of {where} cannot render a plain user message: {self.habits.broken}; {_REMEDY}")

    def _try(self, turns: list[dict[str, Any]], *parts: str, tools: Sequence[Mapping[str, Any]] = ()) -> str | None:
        """The text, None where the template raises or drops one of `parts`."""
        try:
            text = self._text(turns, tools)
        except Exception:  # a template raises whatever Python does
            return None
        return text if all(part in text for part in parts) else None

    def _text(self, turns: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, opened: bool = True) -> str:
        if self._parts:
            turns = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
        given = {"messages": turns, "tools": list(tools) or None, "add_generation_prompt": opened, "strftime_now": self.date.strftime}
        return self._render(**{**self._special, **self._set, **given})


_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "tirage_probe",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number", "description": "A number."}}, "required": ["a"]},
    },
}


def _default_system(plain: str, told: str, system: str) -> str | None:
    """What stands in `plain` at the place where `told` has the system message."""
    head, _, tail = told.partition(system)
    fits = plain.startswith(head) and plain.endswith(tail) and len(plain) > len(head) + len(tail)
    return (plain[len(head) : len(plain) - len(tail)].strip() or None) if fits else None


def _date(switches: Mapping[str, Any]) -> tuple[date, dict[str, str]]:
    """The day that templates are told, and the switch that tells it as text."""
    given = switches.get(_DATE_SWITCH)
    if given is None:
        return PROMPT_DATE, {}
    if isinstance(given, date):
        return given, {_DATE_SWITCH: given.strftime("%d %b %Y")}
    for form in ("%Y-%m-%d", "%d %b %Y", "%d %B %Y"):
        try:
            return datetime.strptime(str(given), form).date(), {_DATE_SWITCH: str(given)}
        except ValueError:
            continue
    raise ConfigError(f"model_options.template.date_string: {given!r} is no date; write it as 2025-01-31 or 31 Jan 2025")


def _line(error: Exception) -> str:
    """An error of a template in one line."""
    number = getattr(error, "lineno", None)
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text} (line {number})" if number else text


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
