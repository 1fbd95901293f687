"""The forms that the library `renderers` knows, chosen by what it writes and reads, not by a model's name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tirage.core.errors import MissingExtra, ModelRequestError
from tirage.core.message import Message, ToolCall
from tirage.models.native.grammar import Render
from tirage.models.native.turn import PROBE, PROBE_SCHEMA, QUESTION, Attempt, ParsedTurn, Reader, attempt, probe_call, probe_calls

_RESULT = "tirage probe result"


class TokenizerView:
    """A `tokenizers.Tokenizer` as `renderers` expects one: the little of transformers' interface that it uses."""

    def __init__(self, backend: Any, eos_ids: frozenset[int]) -> None:
        """`backend`: the tokenizer; `eos_ids`: what ends a turn."""
        self._backend = backend
        self.name_or_path = ""
        self.unk_token_id: int | None = None
        self.eos_token_id: int | None = min(eos_ids, default=None)
        self.all_special_tokens = [token.content for token in backend.get_added_tokens_decoder().values() if token.special]

    def encode(self, text: str, **_: Any) -> list[int]:
        """Ids, none added."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False, **_: Any) -> str:
        """Text of the ids."""
        return str(self._backend.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, None when there is none; a list of them for several."""
        if isinstance(tokens, str):
            return self._backend.token_to_id(tokens)
        return [self._backend.token_to_id(token) for token in tokens]

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        """Ids with the characters that each stands for."""
        found = self._backend.encode(text, add_special_tokens=False)
        return {"input_ids": list(found.ids), "offset_mapping": list(found.offsets)}


@dataclass(frozen=True, slots=True)
class LibraryReader:
    """Reads turns by a renderer of the library."""

    renderer: Any
    prompt_ids: tuple[int, ...]
    """A prompt whose end tells whether the reasoning has begun."""
    untyped: bool = False
    """Arguments are written as plain text, and the renderer does not look at schemas."""

    def read(self, ids: Sequence[int], schemas: Sequence[dict[str, Any]]) -> ParsedTurn:
        """The library's parse; a call that it refuses only for line breaks inside strings is read."""
        found = self.renderer.parse_response(list(ids), prompt_ids=list(self.prompt_ids), tools=list(schemas) or None)
        attempts = tuple(map(_attempt, found.tool_calls))
        return ParsedTurn(
            content=found.content or "",
            reasoning=found.reasoning_content or "",
            attempts=tuple(_with_texts(item, schemas) for item in attempts) if self.untyped else attempts,
        )


@dataclass(frozen=True, slots=True)
class LibraryForm:
    """A renderer of the library that writes turns as a model's template does."""

    name: str
    renderer: Any
    reader: LibraryReader

    def follow(self, prompt: Sequence[int], turn: Sequence[int], calls: Sequence[ToolCall], texts: Sequence[str]) -> tuple[int, ...] | None:
        """The ids behind `prompt` and `turn` that show results `texts` of `calls` and open the next turn; None when it cannot tell."""
        told = [
            {"role": "tool", "content": text, "name": call.name, "tool_call_id": call.id} for call, text in zip(calls, texts, strict=True)
        ]
        try:
            found = self.renderer.bridge_to_next_turn(list(prompt), list(turn), told, tools=[PROBE_SCHEMA])
        except Exception:  # a renderer refuses in many ways; the template's own form is the other way
            return None
        before = [*prompt, *turn]
        if found is None or list(found.token_ids[: len(before)]) != before:
            return None
        return tuple(found.token_ids[len(before) :])


def find_library_form(view: TokenizerView, render: Render, opening: tuple[int, ...]) -> LibraryForm | None:
    """The renderer that writes a call, its result and what surrounds them exactly as `render` does, and reads the call back; else None.

    What stands before the question (system text, date, list of tools) is always the template's own and is not compared. `opening`: ids of
    a prompt.
    """
    registry, make = _registry()
    try:
        written = _after_question(render([QUESTION, probe_calls(), _result()], [PROBE_SCHEMA]))
    except ModelRequestError:
        return None
    for name in registry:
        if name in ("default", "deepseek-r1"):
            continue
        for thinking in (None, True, False):
            try:
                candidate = make(view, name, thinking)
                said = view.decode(candidate.render_ids(_as_dicts(), tools=[PROBE_SCHEMA], add_generation_prompt=True))
            except Exception:  # a renderer refuses a foreign vocabulary in many ways
                break
            if _after_question(said) == written:
                return LibraryForm(name, candidate, LibraryReader(candidate, opening))
    return None


def library_parsers(view: TokenizerView, opening: tuple[int, ...]) -> list[tuple[str, Reader]]:
    """The library's parsers of call formats, each with its name, for templates that it does not write itself."""
    _registry()
    from renderers.configs import DefaultRendererConfig
    from renderers.default import DefaultRenderer
    from renderers.parsers import TOOL_PARSERS

    made: list[tuple[str, Reader]] = []
    for name in TOOL_PARSERS:
        renderer = DefaultRenderer(view, DefaultRendererConfig(tool_parser=name, reasoning_parser="think"))
        made.append((name, LibraryReader(renderer, opening, untyped=name in ("qwen3.5", "glm"))))
    return made


def _registry() -> tuple[list[str], Any]:
    try:
        from renderers import config_from_name, create_renderer
        from renderers.base import RENDERER_REGISTRY, _populate_registry
    except ImportError as error:
        raise MissingExtra("renderers", "local") from error
    _populate_registry()

    def make(view: TokenizerView, name: str, thinking: bool | None) -> Any:
        config = config_from_name(name)
        # A renderer without the switch raises here, and its only form was tried before.
        return create_renderer(view, config if thinking is None else type(config)(enable_thinking=thinking))

    return list(RENDERER_REGISTRY), make


def _attempt(found: Any) -> Attempt:
    status = str(found.status)
    if status in ("ok", "unknown_tool"):
        return attempt(found.name, found.arguments, found.id or "")
    if status == "invalid_json":
        try:
            value = json.loads(found.raw, strict=False)
        except ValueError as error:
            if isinstance(found.arguments, Mapping) and found.name:
                # Parameters written as plain text, one by one: what is no JSON is a string.
                return attempt(found.name, dict(found.arguments), found.id or "")
            return Attempt(name=found.name or "", problem=f"{_whose(found)} is not valid JSON ({error})")
        if isinstance(value, dict) and "name" in value:
            return attempt(value.get("name"), value.get("arguments", value.get("parameters")), found.id or "")
        return attempt(found.name, value, found.id or "")
    reasons = {
        "unclosed_block": "is not closed",
        "missing_name": "names no tool",
        "malformed_structure": "does not have the form of a call",
    }
    return Attempt(name=found.name or "", problem=f"{_whose(found)} {reasons.get(status, 'cannot be read')}")


def _with_texts(found: Attempt, schemas: Sequence[dict[str, Any]]) -> Attempt:
    """A call whose arguments were read as JSON where they happened to be some, with texts where the tool's schema asks for texts."""
    told: dict[str, Any] = next((tool["function"] for tool in schemas if tool["function"]["name"] == found.name), {})
    known = told.get("parameters", {}).get("properties", {})
    values = json.loads(found.arguments)
    for name, value in values.items():
        if known.get(name, {}).get("type") == "string" and not isinstance(value, str):
            values[name] = json.dumps(value, ensure_ascii=False)
    return replace(found, arguments=json.dumps(values, ensure_ascii=False))


def _whose(found: Any) -> str:
    return f"the call of {found.name}" if found.name else "the call"


def _result() -> Message:
    return Message(role="tool", content=_RESULT, tool_call_id=probe_call().id)


def _after_question(text: str) -> str:
    return text.rpartition(QUESTION.content)[2]


def _as_dicts() -> list[dict[str, Any]]:
    call = probe_call()
    function = {"name": call.name, "arguments": json.loads(call.arguments)}
    return [
        {"role": "user", "content": QUESTION.content},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": call.id, "function": function}]},
        {"role": "tool", "content": _RESULT, "name": PROBE, "tool_call_id": call.id},
    ]
