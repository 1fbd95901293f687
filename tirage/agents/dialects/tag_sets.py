"""Sets of tags as data: how a policy marks its thinking, its queries, what it is shown, and its answer."""

import difflib
import re
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Any

import yaml

from tirage.core.errors import ConfigError

Tag = tuple[str, str]
"""Opening and closing."""


@dataclass(frozen=True)
class TagSet:
    """The tags of one form. None may be part of another, else a text would read in two ways."""

    name: str
    think: Tag
    query: Tag
    result: Tag
    answer: Tag
    tool: str = "search"
    """What a call between the query tags is of; empty: it is a JSON object that names its tool."""
    argument: str = "query"
    """The tool's argument that the text between the tags is."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for tags that are empty, given twice or part of each other."""
        if not all(self.all):
            raise ConfigError(f"tags {self.name!r}: a tag is empty; write each as [opening, closing]")
        for one, other in permutations(self.all, 2):
            if one in other:
                raise ConfigError(f"tags {self.name!r}: {one!r} and {other!r} overlap; choose tags of which none is part of another")

    @property
    def all(self) -> tuple[str, ...]:
        """All eight."""
        return (*self.think, *self.query, *self.result, *self.answer)

    @cached_property
    def queries(self) -> re.Pattern[str]:
        """Finds queries, each from the last opening before its closing."""
        opening, closing = map(re.escape, self.query)
        return re.compile(f"{opening}((?:(?!{opening}).)*?){closing}", re.DOTALL)

    @cached_property
    def answers(self) -> re.Pattern[str]:
        """Finds answers."""
        opening, closing = map(re.escape, self.answer)
        return re.compile(f"{opening}(.*?){closing}", re.DOTALL)

    @cached_property
    def any(self) -> re.Pattern[str]:
        """Finds any tag."""
        return re.compile("|".join(map(re.escape, self.all)))

    @cached_property
    def own(self) -> re.Pattern[str]:
        """Finds the tags that the policy writes itself."""
        return re.compile("|".join(map(re.escape, (*self.think, *self.query, *self.answer))))

    def fields(self) -> dict[str, Any]:
        """What a prompt's template is filled with: `{query[0]}` opens a query."""
        return asdict(self)


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(resources.files(__package__).joinpath("tag_sets.yaml").read_text("utf-8"))
    return found


def tag_set(name: str) -> TagSet:
    """A shipped set by name, or the one of a YAML file: think, query, result, answer, and `tool` and `argument` of other calls.

    Raises `ConfigError` for an unknown name, naming the known ones, and for a file that holds no such set.
    """
    known = _shipped()
    if name in known:
        return _read(name, known[name])
    if Path(name).suffix not in (".yaml", ".yml"):
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"tags {name!r} are not known; {guess}known: {', '.join(known)}, or a YAML file")
    try:
        return _read(name, yaml.safe_load(Path(name).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"tags {name} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _read(name: str, data: Any) -> TagSet:
    kinds = ("think", "query", "result", "answer")
    try:
        think, query, result, answer = ((str(opening), str(closing)) for kind in kinds for opening, closing in (data[kind],))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"tags {name}: each of {', '.join(kinds)} has to be [opening, closing]") from None
    tool, argument = (str(data.get(key, default) or "") for key, default in (("tool", "search"), ("argument", "query")))
    return TagSet(name=name, think=think, query=query, result=result, answer=answer, tool=tool, argument=argument)
