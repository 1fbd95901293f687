"""Demonstrations: worked problems that a policy is shown before its own. They are part of the prompt, so they are never trained.

A file is YAML: `demonstrations`, a list of `problem` and `response`, each response written as the dialect writes a turn.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from tirage.core.errors import ConfigError, DataError
from tirage.core.message import Message
from tirage.tools.retrieval.embedders import HashingEmbedder
from tirage.verification.fences import fenced_blocks

DemonstrationPlace = Literal["turns", "system"]
"""Where they stand: as earlier turns of the conversation, or written out in the system message."""
SHIPPED = {"tool-integrated-reasoning": "tir_demonstrations.yaml"}
"""Sets that come with the package, by name, and their files."""
_INTRODUCTION = "Here are examples of problems and how they are solved."


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One worked problem."""

    problem: str
    response: str
    """The whole turn: text, calls, observations, the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """Worked problems and where they are shown."""

    items: tuple[Demonstration, ...]
    place: DemonstrationPlace = "system"
    nearest: int | None = None
    """Show only so many, >= 1: those whose problems are most like the one at hand, the most similar last; None shows all in their order."""

    def messages(self, system: str | None, problem: str) -> tuple[Message, ...]:
        """What stands before `problem`, with the system message `system` if any."""
        own = (Message(role="system", content=system),) if system is not None else ()
        shown = self.items if self.nearest is None else self._nearest(problem, self.nearest)
        if self.place == "turns":
            pairs = ((Message(role="user", content=item.problem), Message(role="assistant", content=item.response)) for item in shown)
            return (*own, *(message for pair in pairs for message in pair))
        worked = [f"Problem: {item.problem}\n\n{item.response}" for item in shown]
        return (Message(role="system", content="\n\n".join([*([system] if system else []), _INTRODUCTION, *worked])),)

    def _nearest(self, problem: str, count: int) -> list[Demonstration]:
        """KNN prompting (Liu et al. 2021, arXiv 2101.06804, section 3): by cosine similarity, of hashed words here."""
        (wanted,) = HashingEmbedder().embed([problem])
        scores = _vectors(tuple(item.problem for item in self.items)) @ wanted
        return [self.items[place] for place in sorted(range(len(self.items)), key=lambda place: (scores[place], -place))[-count:]]


@cache
def _vectors(problems: tuple[str, ...]) -> Any:
    """[problems, dimension]."""
    return HashingEmbedder().embed(problems)


def load_demonstrations(source: str | Path, *, place: DemonstrationPlace = "system", nearest: int | None = None) -> Demonstrations:
    """A shipped set by name, or the YAML file at `source`.

    Raises:
        ConfigError: There is neither; the message names the shipped ones.
        DataError: The file does not hold demonstrations; the message names the entry.
    """
    if str(source) in SHIPPED:
        text = resources.files("tirage.agents").joinpath(SHIPPED[str(source)]).read_text(encoding="utf-8")
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except OSError as error:
            known = ", ".join(SHIPPED)
            raise ConfigError(f"demonstrations {source} cannot be read ({error.strerror}); shipped sets: {known}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"demonstrations {source} are not UTF-8 text; save the file as UTF-8") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"demonstrations {source} are not YAML: {' '.join(str(error).split())}") from error
    entries = data.get("demonstrations") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries:
        raise DataError(f"demonstrations {source}: expected `demonstrations:` with a list of problem and response")
    items = tuple(_read(entry, f"{source}, entry {number}") for number, entry in enumerate(entries, 1))
    return Demonstrations(items=items, place=place, nearest=nearest)


def _read(entry: Any, name: str) -> Demonstration:
    if not isinstance(entry, dict) or set(entry) != {"problem", "response"} or not all(isinstance(text, str) for text in entry.values()):
        raise DataError(f"demonstrations {name}: expected the keys problem and response, with texts")
    problem, response = entry["problem"].strip(), entry["response"].strip()
    if not problem or not response:
        raise DataError(f"demonstrations {name}: problem or response is empty")
    if any(not block.closed for block in fenced_blocks(response)):
        raise DataError(f"demonstrations {name}: a code block of the response is not closed; end it with a line of ```")
    return Demonstration(problem=problem, response=response)
