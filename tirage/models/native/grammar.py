"""How a chat template writes tool calls, derived from the template itself by rendering probes.

Four shapes cover most templates: a JSON object between two markers (Hermes, Qwen2.5; Llama 3 without markers), a list of them behind a
marker (Mistral), a name followed by its arguments (Mistral's later ones, DeepSeek V3, GPT-OSS), and calls in Python's syntax (LFM2).
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tirage.core.errors import ModelRequestError
from tirage.core.message import Message
from tirage.models.native.turn import PROBE, PROBE_SCHEMA, QUESTION, Attempt, ParsedTurn, attempt, probe_calls, shared_start

Render = Callable[[Sequence[Message], Sequence[dict[str, Any]]], str]
"""Messages and tool schemas as the template writes them, with the opening of the next turn."""
_DECODER = json.JSONDecoder(strict=False)
"""Line breaks inside strings, which models write in code, mean only one thing."""
_CONTENT = "tirage probe content"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Where calls stand in a turn, and under which keys."""

    shape: Literal["object", "named", "python"]
    opening: str
    """Written before a call; empty where the whole turn is the call."""
    middle: str = ""
    """What ends the way from the name to the arguments, for calls that are not one object."""
    closing: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"

    def read(self, text: str) -> Iterator[Attempt]:
        """The calls of `text`, in order."""
        if self.shape == "named":
            yield from self._named(text)
        elif self.shape == "python":
            yield from self._python(text)
        elif self.opening:
            yield from self._marked(text)
        else:
            yield from self._bare(text)

    def content(self, text: str) -> str:
        """What stands before the first call."""
        if self.opening:
            return text.partition(self.opening)[0]
        return "" if any(True for _ in self.read(text)) else text

    def _marked(self, text: str) -> Iterator[Attempt]:
        place = text.find(self.opening)
        while place >= 0:
            start = place + len(self.opening)
            start += len(text[start:]) - len(text[start:].lstrip())
            try:
                value, end = _DECODER.raw_decode(text, start)
            except ValueError as error:
                yield Attempt(problem=f"what follows {self.opening} is not valid JSON ({error})")
                end = start
            else:
                yield from self._calls(value)
            place = text.find(self.opening, end)

    def _bare(self, text: str) -> Iterator[Attempt]:
        """A turn that is nothing but JSON; several objects may follow each other."""
        rest = text.strip()
        if not rest.startswith(("{", "[")) or f'"{self.name_key}"' not in rest:
            return
        while rest.startswith(("{", "[")):
            try:
                value, end = _DECODER.raw_decode(rest)
            except ValueError as error:
                yield Attempt(problem=f"the call is not valid JSON ({error})")
                return
            yield from self._calls(value)
            rest = rest[end:].lstrip("; \n,")

    def _named(self, text: str) -> Iterator[Attempt]:
        # Headers may say more between name and arguments than the template's own do.
        pattern = re.compile(re.escape(self.opening) + r"\s*([^\s{}<\[]+)[^{}]*?" + re.escape(self.middle) + r"\s*")
        marked = self.opening.startswith(("<", "["))
        place = text.find(self.opening)
        while place >= 0:
            found = pattern.match(text, place)
            end = place + len(self.opening)
            if found is not None:
                try:
                    value, end = _DECODER.raw_decode(text, found.end())
                except ValueError as error:
                    yield Attempt(name=found[1], problem=f"the arguments of {found[1]} are not valid JSON ({error})")
                else:
                    yield attempt(found[1], value)
            elif marked:
                yield Attempt(problem=f"{self.opening} is not followed by a tool's name and {self.middle}")
            place = text.find(self.opening, end)

    def _python(self, text: str) -> Iterator[Attempt]:
        for part in text.split(self.opening)[1:]:
            try:
                value = ast.parse(part.partition(self.closing)[0].strip(), mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                yield Attempt(problem=f"what follows {self.opening} is no call ({error})")
                continue
            for call in value.elts if isinstance(value, ast.List) else [value]:
                yield _python_call(call)

    def _calls(self, value: object) -> Iterator[Attempt]:
        for item in value if isinstance(value, list) else [value]:
            call = item.get("function", item) if isinstance(item, dict) else None
            if not isinstance(item, dict) or not isinstance(call, dict):
                yield Attempt(problem=f"a call is a JSON object with {self.name_key} and {self.arguments_key}")
            else:
                yield attempt(call.get(self.name_key), call.get(self.arguments_key), item.get("id", ""))


@dataclass(frozen=True, slots=True)
class GrammarReader:
    """Reads turns by a derived grammar."""

    grammar: Grammar
    decode: Callable[[Sequence[int]], str]
    """Text of ids, special tokens kept."""
    markers: tuple[str, str]
    """Around the reasoning."""
    opened: bool
    """The template has opened the reasoning."""
    special: tuple[str, ...] = ()
    """Texts of special tokens: a turn that is nothing but JSON may begin with one."""

    def read(self, ids: Sequence[int], schemas: Sequence[dict[str, Any]]) -> ParsedTurn:
        """Calls inside the reasoning are drafts, not calls."""
        reasoning, body = split_reasoning(self.decode(ids), self.markers, opened=self.opened, call=self.grammar.opening)
        if not self.grammar.opening:
            for token in self.special:
                body = body.lstrip().removeprefix(token)
        return ParsedTurn(content=self.grammar.content(body), reasoning=reasoning, attempts=tuple(self.grammar.read(body)))


def split_reasoning(text: str, markers: tuple[str, str], *, opened: bool, call: str) -> tuple[str, str]:
    """`(reasoning, rest)`. Reasoning that never closes is ended by a call that begins in it (`call`: how one begins), else it is all."""
    start, end = markers
    begins = text.lstrip().startswith(start)
    if not opened and not begins:
        return "", text
    inner = text.lstrip().removeprefix(start) if begins else text
    reasoning, closed, rest = inner.partition(end)
    if closed:
        return reasoning, rest
    if call and call in inner:
        place = inner.index(call)
        return inner[:place], inner[place:]
    return inner, ""


def derive_grammar(render: Render, ends: Sequence[str]) -> Grammar | None:
    """How the template behind `render` writes a call; None when it drops calls or writes them in no form that can be read back.

    `ends`: texts of the tokens that end a turn.
    """
    one = _written(render, 1, ends)
    if one is None:
        return None
    found = _outermost(one)
    if f"{PROBE}(" in one:
        return _python_grammar(one)
    if found is None:
        return None
    start, end, value = found
    two = _written(render, 2, ends)
    before, after = one[:start], one[end:]
    if two is not None and (second := _outermost(two, "value1")) is not None and (first := _outermost(two)) is not None:
        if first[0] != second[0]:
            # Marks around each call are those that stand between two calls as well.
            between = two[first[1] : second[0]]
            before, after = _common_end(before, between), after[: shared_start(after, between)]
    if isinstance(value, dict) and PROBE not in json.dumps(value):
        return _named_grammar(before, after)
    item = value[0] if isinstance(value, list) else value
    call = item.get("function", item) if isinstance(item, dict) else {}
    names = [key for key, told in call.items() if told == PROBE]
    arguments = [key for key, told in call.items() if "value0" in json.dumps(told) and key not in names]
    if not names or not arguments:
        return None
    return Grammar(shape="object", opening=before.strip(), closing=after.strip(), name_key=names[0], arguments_key=arguments[0])


def _named_grammar(before: str, after: str) -> Grammar | None:
    head, name, middle = before.rpartition(PROBE)
    if not name or not head.strip() or not middle.strip():
        return None
    return Grammar(shape="named", opening=head.split()[-1], middle=middle.split()[-1], closing=after.strip())


def _python_grammar(written: str) -> Grammar | None:
    head, _, tail = written.partition(f"{PROBE}(")
    opening, closing = head.strip().removesuffix("["), tail.rpartition(")")[2].strip().removeprefix("]")
    return Grammar(shape="python", opening=opening, closing=closing) if opening and closing else None


def _python_call(call: ast.expr) -> Attempt:
    """A call with keyword arguments that are literals; JSON's words are taken too."""
    words = {"true": True, "false": False, "null": None}
    if not isinstance(call, ast.Call) or not isinstance(call.func, (ast.Name, ast.Attribute)):
        return Attempt(problem="a call is written as name(argument=value)")
    name = ast.unparse(call.func)
    if call.args or any(item.arg is None for item in call.keywords):
        return Attempt(name=name, problem=f"the arguments of {name} are given by name, as name(argument=value)")
    try:
        told = {
            str(item.arg): words[item.value.id]
            if isinstance(item.value, ast.Name) and item.value.id in words
            else ast.literal_eval(item.value)
            for item in call.keywords
        }
        return attempt(name, json.loads(json.dumps(told)))
    except (ValueError, TypeError, RecursionError) as error:
        return Attempt(name=name, problem=f"the arguments of {name} are not literal values ({error})")


def _written(render: Render, count: int, ends: Sequence[str]) -> str | None:
    """What the template writes for a turn of `count` calls, from the end of its content to the end of the turn."""
    follows = [Message(role="tool", content="done", tool_call_id=call.id) for call in probe_calls(count).tool_calls]
    try:
        opened = render([QUESTION], [PROBE_SCHEMA])
        text = render([QUESTION, probe_calls(count, content=_CONTENT), *follows], [PROBE_SCHEMA])
        empty = render([QUESTION, probe_calls(count), *follows], [PROBE_SCHEMA])
    except ModelRequestError:
        return None
    if _CONTENT in text:
        region = text[text.rindex(_CONTENT) + len(_CONTENT) :]
    else:
        region = empty[shared_start(opened, empty) :]
    cuts = [place for end in ends if (place := region.find(end)) >= 0]
    region = region[: min(cuts)] if cuts else region
    return region if "value0" in region else None


def _outermost(text: str, holding: str = "value0") -> tuple[int, int, Any] | None:
    """The first JSON object or list in `text` that holds `holding`: where it stands and what it is."""
    for found in re.finditer(r"[{\[]", text):
        try:
            value, end = _DECODER.raw_decode(text, found.start())
        except ValueError:
            continue
        if value and holding in text[found.start() : end]:
            return found.start(), end, value
    return None


def _common_end(first: str, second: str) -> str:
    count = shared_start(first[::-1], second[::-1])
    return first[len(first) - count :]
