"""Options of a configuration, checked by the types of a play's fields or of a builder's parameters."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from tirage.core.errors import ConfigError

P = TypeVar("P")


def play_of(kind: type[P], options: Mapping[str, Any] | None, *, name: str = "") -> P:
    """`kind`, a dataclass, with `options` by the names of its fields. Raises `ConfigError` naming the one that it does not have or take.

    `name`: what users call it; empty for that of the class in small letters.
    """
    known = [item.name for item in fields(kind) if item.init]  # type: ignore[arg-type]
    name = name or kind.__name__.lower()
    for option in options or {}:
        if option not in known:
            raise ConfigError(f"{name} has no option {option!r}; its options: {', '.join(known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(options or {}))
    except ValidationError as error:
        raise _refused(name, error) from None


def taken_by(function: Callable[..., Any], options: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """`options` as the types of `function`'s parameters want them; the types that only Python can give are left to it.

    Raises `ConfigError` naming the option of `name` that has another type.
    """
    hints = get_type_hints(function)
    taken = dict(options)
    for option, value in options.items():
        try:
            taken[option] = TypeAdapter(hints.get(option, Any)).validate_python(value)
        except PydanticSchemaGenerationError:
            continue
        except ValidationError as error:
            raise _refused(name, error, option) from None
    return taken


def _refused(name: str, error: ValidationError, option: str = "") -> ConfigError:
    first = error.errors()[0]
    place = option or ".".join(str(part) for part in first["loc"])
    return ConfigError(f"{name}: option {place!r} cannot be {first['input']!r}: {first['msg']}")
