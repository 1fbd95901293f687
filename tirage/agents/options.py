"""A play from the options of a configuration, checked by its fields."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tirage.core.errors import ConfigError

P = TypeVar("P")


def play_of(kind: type[P], options: Mapping[str, Any] | None, name: str = "") -> P:
    """`kind`, a dataclass, with `options` by the names of its fields. Raises `ConfigError` naming the one that it does not have or take.

    `name`: what the play is called in messages; by default its class in lower case.
    """
    known = [item.name for item in fields(kind) if item.init]  # type: ignore[arg-type]
    name = name or kind.__name__.lower()
    for option in options or {}:
        if option not in known:
            raise ConfigError(f"{name} has no option {option!r}; its options: {', '.join(known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{name}: option {place!r} cannot be {first['input']!r}: {first['msg']}") from None
