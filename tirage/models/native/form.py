"""NativeForm: prompts with tool schemas, reading of sampled turns, and the glue that shows results, for one model's template.

The sampled stream is never rendered again: results are appended to it, so what is sent next begins with everything sent and sampled so
far, whatever the template would make of earlier turns.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from tirage.core.errors import CapabilityError, ModelRequestError
from tirage.core.message import Message, ToolCall
from tirage.core.step import Source, Span
from tirage.models.native.grammar import GrammarReader, derive_grammar
from tirage.models.native.library import LibraryForm, TokenizerView, find_library_form, library_parsers
from tirage.models.native.turn import PROBE, PROBE_SCHEMA, QUESTION, ParsedTurn, Reader, probe_call, probe_calls, shared_start
from tirage.models.template import HFRenderer

_MARK = 'TIRAGE_RESULT_{}_"_END'
"""Stands for a result while the glue is rendered; the quotation mark shows whether the template writes results as JSON strings."""
_THINK = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Placed:
    """A turn of calls with its results, as the template writes them."""

    turn: str
    """From the opening of the turn to its end."""
    end: str
    """The token that ends the turn."""
    pieces: tuple[tuple[str, bool], ...]
    """Glue before each result, with whether that result is written as a JSON string, and the glue behind the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeForm:
    """How one model is shown tools, writes calls and is shown results."""

    renderer: HFRenderer
    reader: Reader
    library: LibraryForm | None = None
    notes: tuple[str, ...] = ()
    """What is known about it and from where, one line each."""
    _special: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        """Prepare to find special tokens in glue."""
        texts = [token.content for token in self.renderer.backend.get_added_tokens_decoder().values()]
        pattern = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
        object.__setattr__(self, "_special", re.compile(f"({pattern})" if pattern else r"(?!)"))

    def render(self, messages: Sequence[Message], schemas: Sequence[dict[str, Any]]) -> tuple[Span, ...]:
        """Messages and tool schemas as one PROMPT span, with the opening of the assistant's turn."""
        text, ids = self.renderer.prompt(messages, continue_final=False, tools=schemas)
        return (Span(Source.PROMPT, text, ids),)

    def parse(self, before: str, ids: Sequence[int], schemas: Sequence[dict[str, Any]] = ()) -> ParsedTurn:
        """A sampled turn; `before` is text that stood in the turn already, e.g. a hint."""
        sampled = [token for token in ids if token not in self.renderer.eos_ids]
        return self.reader.read([*self.renderer.encode(before), *sampled] if before else sampled, schemas)

    def answer(
        self,
        messages: Sequence[Message],
        schemas: Sequence[dict[str, Any]],
        sent: Sequence[int],
        turn: Sequence[int],
        calls: Sequence[ToolCall],
        texts: Sequence[str],
    ) -> tuple[Span, ...]:
        """The spans behind a turn of `calls`: results in TOOL spans, what the template puts around them in SCAFFOLD spans.

        `sent`: all ids before the turn; `turn`: its ids. Empty `calls` answer a turn whose calls could not be read, with one text.
        """
        named = [
            ToolCall(name=call.name, arguments=_as_object(call.arguments), id=call.id or f"call{number:05d}")
            for number, call in enumerate(calls)
        ] or [ToolCall(name=_first_name(schemas), arguments="{}", id="call00000")]
        ended = bool(turn) and turn[-1] in self.renderer.eos_ids
        pieces = self._library_pieces(sent, turn, named) or self._template_pieces(messages, schemas, named, ended=ended)
        spans: list[Span] = []
        for number, (glue, escaped) in enumerate(pieces):
            if glue:
                spans.append(Span(Source.SCAFFOLD, glue, self.encode(glue)))
            if number < len(texts):
                text = json.dumps(texts[number], ensure_ascii=False)[1:-1] if escaped else texts[number]
                if text:
                    spans.append(Span(Source.TOOL, text, self._as_text(text)))
        return tuple(spans)

    def _as_text(self, result: str) -> tuple[int, ...]:
        """Ids of a result in which no marker of the template is that marker's token."""
        places, start = [], 0
        for found in self._special.finditer(result):
            if any(letter.isalnum() for letter in found[0]):
                places.append(result[start : found.start() + 1])
                start = found.start() + 1
        return tuple(token for part in (*places, result[start:]) if part for token in self.renderer.encode(part))

    def encode(self, glue: str) -> tuple[int, ...]:
        """Ids of template text in the middle of a stream: special tokens are found, nothing is added at the beginning."""
        ids: list[int] = []
        for number, part in enumerate(self._special.split(glue)):
            if number % 2:
                ids.append(int(self.renderer.backend.token_to_id(part)))
            elif part:
                ids.extend(self.renderer.encode(part))
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens kept."""
        return str(self.renderer.backend.decode(list(ids), skip_special_tokens=False))

    def _library_pieces(self, sent: Sequence[int], turn: Sequence[int], calls: Sequence[ToolCall]) -> list[tuple[str, bool]] | None:
        if self.library is None:
            return None
        marks = [_MARK.format(number) for number in range(len(calls))]
        found = self.library.follow(sent, turn, calls, marks)
        return None if found is None else _split(self.decode(found), len(calls))

    def _template_pieces(
        self, messages: Sequence[Message], schemas: Sequence[dict[str, Any]], calls: Sequence[ToolCall], *, ended: bool
    ) -> list[tuple[str, bool]]:
        placed = self.place(messages, schemas, Message(role="assistant", content="", tool_calls=tuple(calls)))
        (glue, escaped), *others = placed.pieces
        return [(("" if ended else placed.end) + glue, escaped), *others]

    def place(self, messages: Sequence[Message], schemas: Sequence[dict[str, Any]], turn: Message) -> "Placed":
        """Where the template puts results of the calls of `turn`, behind `messages`.

        Raises `ModelRequestError` when it refuses such a turn (e.g. several calls at once) or drops results.
        """
        prompt = self.renderer.render_text(messages, continue_final=False, tools=schemas)
        results = [Message(role="tool", content=_MARK.format(number), tool_call_id=call.id) for number, call in enumerate(turn.tool_calls)]
        text = self.renderer.render_text((*messages, turn, *results), continue_final=False, tools=schemas)
        pieces = _split(text, len(results))
        if pieces is not None:
            (before, escaped), *others = pieces
            start = shared_start(prompt, text)
            ends = [(place + len(end), end) for end in self._ends() if (place := before.rfind(end, start)) >= 0]
            if ends:
                place, end = max(ends)
                return Placed(text[start : place - len(end)], end, ((before[place:], escaped), *others))
        raise ModelRequestError("the chat template does not show results of tool calls behind the end of their turn")

    def _ends(self) -> list[str]:
        return [text for token in sorted(self.renderer.eos_ids) if (text := self.renderer.backend.id_to_token(token))]


_FORMS: WeakKeyDictionary[HFRenderer, NativeForm | str] = WeakKeyDictionary()
"""What was found out about a template, or why it has no native calls."""


def open_form(renderer: HFRenderer) -> NativeForm:
    """The native form of a model's template, found once per renderer.

    Raises:
        CapabilityError: The template shows no tools, or writes calls in no form that can be read back.
        MissingExtra: `renderers` is not installed.
    """
    if renderer not in _FORMS:
        try:
            _FORMS[renderer] = _find_form(renderer)
        except CapabilityError as error:
            _FORMS[renderer] = str(error)
    form = _FORMS[renderer]
    if isinstance(form, str):
        raise CapabilityError(form)
    return form


def _find_form(renderer: HFRenderer) -> NativeForm:
    def render(messages: Sequence[Message], schemas: Sequence[dict[str, Any]]) -> str:
        return renderer.render_text(messages, continue_final=False, tools=schemas)

    try:
        opened = render([QUESTION], [PROBE_SCHEMA])
    except ModelRequestError as error:
        raise CapabilityError(f"its chat template takes no tools ({error})") from error
    if PROBE not in opened:
        raise CapabilityError("its chat template does not show tool schemas to the model")
    opening = renderer.encode_prompt(opened)
    view = TokenizerView(renderer.backend, renderer.eos_ids)
    ends = [text for token in sorted(renderer.eos_ids) if (text := renderer.backend.id_to_token(token))]
    library = find_library_form(view, render, opening)
    form: NativeForm | None = None
    if library is not None:
        note = f"calls read and results placed as the library's {library.name!r} does, which writes turns as this template does"
        form = _trial(NativeForm(renderer=renderer, reader=library.reader, library=library, notes=(note,)))
    if form is None:
        for name, parser in library_parsers(view, opening):
            note = (
                f"calls read by the library's parser {name!r}, which reads this template's own calls; results placed as the template does"
            )
            form = form or _trial(NativeForm(renderer=renderer, reader=parser, notes=(note,)))
    if form is None and (grammar := derive_grammar(render, ends)) is not None:
        specials = tuple(view.all_special_tokens)
        thinking = renderer.thinking
        markers = _THINK if thinking is None else (thinking.open, thinking.close)
        reader = GrammarReader(grammar, view.decode, markers, thinking is not None and thinking.begun == "prompt", specials)
        note = f"calls and their results derived from the template (a call opens with {grammar.opening or 'the turn'!r})"
        form = _trial(NativeForm(renderer=renderer, reader=reader, notes=(note,)))
    if form is None:
        raise CapabilityError("its chat template drops tool calls or their results, or writes them in no form that can be read back")
    return NativeForm(renderer=renderer, reader=form.reader, library=form.library, notes=(*form.notes, *_history(form, render)))


def _trial(form: NativeForm) -> NativeForm | None:
    """The form, if it reads the template's own calls back and places results."""
    call = probe_call()
    try:
        written = form.place([QUESTION], [PROBE_SCHEMA], probe_calls()).turn
        prompt = form.render([QUESTION], [PROBE_SCHEMA])[0].ids or ()
        found = form.parse("", form.encode(written), [PROBE_SCHEMA]).attempts
        form.answer([QUESTION], [PROBE_SCHEMA], prompt, form.encode(written), [call], ["result"])
    except ModelRequestError:
        return None
    same = len(found) == 1 and not found[0].problem and found[0].name == call.name
    return form if same and json.loads(found[0].arguments) == json.loads(call.arguments) else None


def _history(form: NativeForm, render: Any) -> tuple[str, ...]:
    """What the template would do to earlier turns if they were rendered again."""
    notes = []
    try:
        several = "value1" in form.place([QUESTION], [PROBE_SCHEMA], probe_calls(2)).turn
    except ModelRequestError:
        several = False
    if not several:
        notes.append("the template takes one call a turn")
    opened = render([QUESTION], [PROBE_SCHEMA])
    again = render(
        [QUESTION, probe_calls(), Message(role="tool", content="result", tool_call_id=probe_call().id)],
        [PROBE_SCHEMA],
    )
    thought = f"{_THINK[0]}\nLet me see.\n{_THINK[1]}\n\n"
    later = render([QUESTION, Message(role="assistant", content=thought + "This one."), QUESTION], [PROBE_SCHEMA])
    if not again.startswith(opened) or "Let me see." not in later:
        notes.append(
            "the template writes earlier turns otherwise than they were sampled; the sampled stream is kept and results are appended"
        )
    return tuple(notes)


def _split(text: str, count: int) -> list[tuple[str, bool]] | None:
    """`text` around the marks of `count` results, in order, with how each is written; None when one is missing or out of order."""
    pieces: list[tuple[str, bool]] = []
    rest = text
    for number in range(count):
        mark = _MARK.format(number)
        written = json.dumps(mark)[1:-1]
        used = mark if mark in rest else written
        glue, found, rest = rest.partition(used)
        if not found:
            return None
        pieces.append((glue, used is written))
    return [*pieces, (rest, False)]


def _as_object(arguments: str) -> str:
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except ValueError:
        return "{}"


def _first_name(schemas: Sequence[dict[str, Any]]) -> str:
    function = schemas[0].get("function", {}) if schemas else {}
    return str(function.get("name", "tool"))
