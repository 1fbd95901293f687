"""Readers of replies: JSON of a given form, one of several words, a number, a list. What cannot be read raises `Unreadable`."""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tirage.agents.reply_schema import strict_schema
from tirage.models.model_json import Found, find_objects

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


_EXAMPLE = re.compile(
    r"\b(?:examples?|e\.g\.|for instance|samples?|such as|would (?:be|look|read)|could (?:be|look)|if (?:it|the|this|one) (?:were|had)"
    r"|(?:format|form|schema|template|structure) (?:is|was|must|should|would))\b|\be\.g\.",
    re.IGNORECASE,
)
_IF = re.compile(r"\W{0,3}(?:would|could|might|is (?:an|the) (?:example|format))\b", re.IGNORECASE)


class Unreadable(ValueError):
    """A reply without what its role owes; the message says what is missing."""


def whole(text: str) -> str:
    """The reply itself. Raises `Unreadable` for an empty one."""
    if not text.strip():
        raise Unreadable("the reply is empty")
    return text.strip()


class JSONReader(Generic[M]):
    """Reads the JSON object of a reply, in a fence or bare, as a `kind`. JSON that is nearly right is repaired (`model_json`).

    Of several outermost objects those count that fit `kind`, and of these the ones that the words around them do not call an example.
    An object on lines of its own goes before one inside a sentence, JSON before what had to be repaired, a later one before an earlier:
    replies go from draft to result. Different examples and nothing else are no reply.
    """

    def __init__(self, kind: type[M]) -> None:
        """`kind`: what the object is checked and read by."""
        self.kind = kind

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """What a back end that can is asked to hold the reply to; None where that cannot be said strictly."""
        return strict_schema(self.kind)

    def __call__(self, text: str) -> M:
        """The object. Raises `Unreadable`."""
        objects = find_objects(text)
        if not objects:
            raise Unreadable("there is no JSON object")
        fitting: list[tuple[Found, M]] = []
        wrong = ""
        for item in objects:
            try:
                fitting.append((item, self.kind.model_validate(item.value)))
            except ValidationError as error:
                first = error.errors()[0]
                wrong = f"{'.'.join(str(place) for place in first['loc']) or 'object'}: {first['msg']}"
        if not fitting:
            raise Unreadable(wrong)
        meant = [(item, value) for item, value in fitting if not _is_example(item)]
        if not meant and any(value != fitting[0][1] for _, value in fitting):
            raise Unreadable("there are different examples and no reply")
        ranked = sorted(meant or fitting, key=lambda pair: (_stands_alone(pair[0]), pair[0].strict))
        return ranked[-1][1]


def as_json(kind: type[M]) -> JSONReader[M]:
    """Reads the JSON object of a reply as a `kind`; see `JSONReader`."""
    return JSONReader(kind)


def one_of(*words: str, label: str = "") -> Callable[[str], str]:
    """Reads the last of `words` that stands in a reply as a word of its own, whatever its case; behind `label` where one is given."""
    pattern = re.compile(rf"{re.escape(label)}\W*\b({'|'.join(map(re.escape, words))})\b", re.IGNORECASE)

    def read(text: str) -> str:
        found = pattern.findall(text)
        if not found:
            raise Unreadable(f"none of {', '.join(words)}{f' behind {label!r}' if label else ''}")
        return next(word for word in words if word.lower() == found[-1].lower())

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """Reads the last number of a reply, which has to lie in [low, high]."""

    def read(text: str) -> float:
        found = re.findall(r"-?\d+(?:\.\d+)?", text)
        if not found:
            raise Unreadable("there is no number")
        value = float(found[-1])
        if not low <= value <= high:
            raise Unreadable(f"{value:g} is not in [{low:g}, {high:g}]")
        return value

    return read


def numbered(most: int) -> Callable[[str], tuple[str, ...]]:
    """Reads up to `most` lines, their numbering and bullets stripped; empty lines do not count."""

    def read(text: str) -> tuple[str, ...]:
        lines = [re.sub(r"^\s*(?:[-*]|\(?\d+[.):])\s*", "", line).strip() for line in text.splitlines()]
        found = tuple(line for line in lines if line)[:most]
        if not found:
            raise Unreadable("there is no line")
        return found

    return read


def json_objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects of a text, in order, repaired where need be. What looks like one and is none is passed over."""
    return [item.value for item in find_objects(text)]


def unfenced(text: str) -> str:
    """The content of a text that is one fenced block; any other text as it is."""
    lines = text.strip().split("\n")
    return "\n".join(lines[1:-1]) if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```" else text


def _is_example(item: Found) -> bool:
    """Whether the sentence before an object, or the words behind it, say that it is one that could be written."""
    lines = [line for line in item.before.splitlines() if line.strip() and not line.lstrip().startswith("```")]
    sentence = re.split(r"(?i)(?<!e\.g)(?<!i\.e)[.!?]\s+", " ".join(lines[-2:]))[-1]
    return _EXAMPLE.search(sentence) is not None or _IF.match(item.after) is not None


def _stands_alone(item: Found) -> bool:
    """Whether an object has its lines for itself, or for itself and a fence."""
    ahead = item.before.rsplit("\n", 1)[-1].strip()
    return ahead in ("", "```", "```json") and item.after.strip() in ("", "```")
