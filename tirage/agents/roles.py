"""Roles: how a part is prompted, how its reply is read, and what is taken where the reply cannot be read."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tirage.core.message import Message

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Unreadable(ValueError):
    """A reply without what its role owes; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role(Generic[T]):
    """One part in a team or a published system."""

    name: str
    """Of the role: the move of its nodes, and the tag of its requests."""
    template: str
    """The user message, a `str.format` template over what it is asked with; `{problem}` is always known, `{key}` only to a role that
    sees the reference answer."""
    system: str = ""
    """System message; empty for none."""
    read: Callable[[str], T]
    """Reads a reply; raises `Unreadable`."""
    default: T
    """Taken, and noted, where the reply cannot be read or the call failed."""
    tools: tuple[str, ...] = ()
    """Names of the tools it may use."""
    answers: bool = False
    """Whether its reply is an answer to the problem, to be judged like one."""
    approve: bool = False
    """Whether a person decides on its turns before they are handed on, where the workflow has a desk."""
    sees_key: bool = False
    """Whether it is shown the reference answer: for evaluation and data only."""
    temperature: float | None = None
    """None: as the cast samples."""
    max_tokens: int | None = None
    """Of one turn; None: as the cast samples."""

    def messages(self, fields: Mapping[str, object]) -> tuple[Message, ...]:
        """System message if any, then the filled template. Raises ValueError when a field is missing."""
        try:
            user = Message(role="user", content=self.template.format_map(fields))
        except KeyError as error:
            raise ValueError(f"role {self.name!r} is asked without {error.args[0]!r}; known: {', '.join(sorted(fields))}") from None
        return (user,) if not self.system else (Message(role="system", content=self.system), user)


def whole(text: str) -> str:
    """The reply itself. Raises `Unreadable` for an empty one."""
    if not text.strip():
        raise Unreadable("the reply is empty")
    return text.strip()


def as_json(kind: type[M]) -> Callable[[str], M]:
    """Reads the last JSON object of a reply, in a fence or bare, as a `kind`."""

    def read(text: str) -> M:
        found = None
        for data in _objects(text):
            found = data
        if found is None:
            raise Unreadable("there is no JSON object")
        try:
            return kind.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            raise Unreadable(f"{'.'.join(str(place) for place in first['loc']) or 'object'}: {first['msg']}") from None

    return read


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


def _objects(text: str) -> "list[dict[str, Any]]":
    """The outermost JSON objects of a text, in order. What looks like one and is none is passed over."""
    decoder, place, found = json.JSONDecoder(), 0, []
    while (place := text.find("{", place)) >= 0:
        try:
            data, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        if isinstance(data, dict):
            found.append(data)
    return found
