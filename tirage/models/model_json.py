r"""JSON as language models write it: found in a reply, read strictly where it is JSON, repaired (`json-repair`) where it nearly is.

Repaired are raw line breaks in strings, trailing and missing commas, single, typographic and unescaped quotes, `True` and `None`, comments,
keys without quotes, and what the token limit cut. A LaTeX command that was not escaped (`"\frac{1}{2}"`, which JSON reads as a form feed
and "rac") is a LaTeX command, in valid JSON too.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import json_repair

_COMMANDS = (
    r"nabla|notin|nonumber|neq(?!\w|\s*[=.,:(\[])|times|theta|tau|tanh?|triangle|therefore|tilde|tfrac|text(?:bf|it|rm|tt|sf)?(?=\{)"
    r"|rho|right\w*|rangle|rceil|rfloor|rvert"
)
"""LaTeX commands that begin like an escape for white space, without those that code could mean by a new line (`\\ni = 0`)."""
_BARE = re.compile(
    rf"\\(\\|[bf](?=[A-Za-z])|(?:{_COMMANDS})(?![A-Za-z])|u(?![0-9a-fA-F]{{4}})|[^\"'/bfnrtu\\])",
    re.DOTALL,
)
"""A backslash that begins no escape, or a LaTeX command; pairs of backslashes are passed over."""
_START = re.compile(r"""(?<!\\)\{(?=\s*["'“‘}])|(?<![\w\\}$])\{(?=\s*(?://|/\*|\#|[A-Za-z_]\w*\s*:))""")
"""Where an object may begin; not `\\frac{1}`, not `{x | x > 0}`."""
_TRIPLE = re.compile(r"""(?<=:)(\s*)("{3}|'{3})(.*?)\2""", re.DOTALL)
_WHOLE_WORDS = frozenset({"true", "false", "null", "True", "False", "None"})
_CLOSING = {'"': '"', "'": "'", "“": '”"', "‘": "’'"}
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_WORD = re.compile(r"[\w.+-]+")
_MOST_CHARS, _MOST_STARTS, _MOST_DEPTH = 1_000_000, 64, 100
"""Beyond these a text is taken for noise: every place where an object may begin can cost a look at all that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An outermost object of a text."""

    value: dict[str, Any]
    strict: bool
    """False where it had to be repaired."""
    closed: bool
    """False where the text ended before it."""
    before: str
    """What stands between the object before it, or the start, and it."""
    after: str
    """What stands between it and the end of its line."""


class _Broken(Exception):
    """An object that the end of the text cuts in a name or a number, or that is nested too deeply: what it would have said is unknown."""


def find_objects(text: str) -> list[Found]:
    """The outermost JSON objects of a text, in order; what looks like one and cannot be repaired to one is passed over.

    An object may lack its closing brackets and the end of a text in it, but not the end of a name or a number: it counts for none then.
    """
    text = _TRIPLE.sub(lambda match: match[1] + json.dumps(match[3], ensure_ascii=False), text[:_MOST_CHARS])
    found: list[Found] = []
    place = behind = 0
    for _ in range(_MOST_STARTS):
        start = _START.search(text, place)
        if start is None:
            break
        place = start.start() + 1
        try:
            item = _object(text, start.start())
        except _Broken:
            # What stands inside it is no object of its own.
            break
        if item is not None:
            value, strict, end, closed = item
            after = text[end:].split("\n", 1)[0]
            found.append(Found(value=value, strict=strict, closed=closed, before=text[behind : start.start()], after=after))
            place = behind = end
    return found


def read_object(text: str) -> dict[str, Any]:
    """A text that is one JSON object, or nearly, or such a text as a JSON string (encoded twice). An empty text is the empty object.

    What the text's end cuts is none: a call with half its arguments is not what was meant.

    Raises:
        ValueError: It is no object.
    """
    for _ in range(3):
        if not text.strip():
            return {}
        value = _value(text)
        if isinstance(value, dict):
            return value
        if not isinstance(value, str) or value == text:
            break
        text = value
    raise ValueError("it must be a JSON object")


def _value(text: str) -> Any:
    try:
        return json.loads(_latex(text))
    except (ValueError, RecursionError):
        pass
    match find_objects(text):
        case [Found(closed=True, before=before, after=after, value=value)] if not re.sub(r"```(?:json)?", "", before + after).strip():
            return value
    raise ValueError("it is no JSON object")


def _latex(text: str) -> str:
    """The text with the backslashes escaped that are meant as such."""
    return _BARE.sub(lambda match: match[0] if match[1] == "\\" else f"\\\\{match[1]}", text) if "\\" in text else text


def _object(text: str, start: int) -> tuple[dict[str, Any], bool, int, bool] | None:
    """The object that begins at `start`, whether it is JSON as it stands, where it ends, and whether it is closed. Raises `_Broken`."""
    closed, sound = _end(text, start, len(text))
    end = closed if closed is not None else len(text)
    if closed is None and (fence := text.find("\n```", start)) >= 0:
        (_, sound), end = _end(text, start, fence), fence
    if not sound:
        raise _Broken
    part = _latex(text[start:end])
    try:
        if closed is not None:
            return _plain(json.loads(part)), True, end, True
    except (ValueError, RecursionError):
        pass
    try:
        value = json_repair.loads(part, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    return (_plain(value), False, end, closed is not None) if isinstance(value, dict) and value else None


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Without the backslashes of Markdown in the names."""
    return {name.replace("\\_", "_"): part for name, part in value.items()}


def _end(text: str, start: int, stop: int) -> tuple[int | None, bool]:
    """Behind the bracket that closes the one at `start`; None where none does before `stop`, and whether no name or number is cut there.

    Brackets in strings and comments do not count.
    """
    opened, place, last, in_name = "", start, "", False
    while place < stop:
        char = text[place]
        if char in _CLOSING and (char not in "'‘" or last in ("{", "[", ",", ":")):
            in_name, last = last in ("{", ",") and opened[-1:] == "{", char
            place = _behind_string(text, place, stop)
        elif (comment := _COMMENT.match(text, place)) is not None:
            place = comment.end()
        elif char in "}]" and len(opened) == 1:
            return place + 1, True
        else:
            opened = opened + char if char in "{[" else opened[:-1] if char in "}]" else opened
            word = _WORD.match(text, place)
            place = word.end() if word is not None else place + 1
            last = last if char.isspace() else char if word is None else word[0]
            if len(opened) > _MOST_DEPTH:
                return None, False
    cut = last == ":" or (in_name and last in _CLOSING) or (last[-1:].isalnum() and last not in _WHOLE_WORDS)
    return None, not cut


def _behind_string(text: str, start: int, stop: int) -> int:
    """Behind the quote that ends the string which begins at `start`; `stop` where none does."""
    place = start + 1
    while place < stop:
        if text[place] == "\\":
            place += 1
        elif text[place] in _CLOSING[text[start]] and _ends_string(text, place + 1):
            return place + 1
        place += 1
    return stop


def _ends_string(text: str, place: int) -> bool:
    """Whether a quote before `place` ends its string: something of the structure follows."""
    rest = text[place : place + 200].lstrip()
    return not rest or rest[0] in ",:}]\"'“#/"
