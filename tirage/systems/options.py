"""Options of a configuration, checked by what takes them: the fields of a workflow, the arguments of a function."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tirage.core.errors import ConfigError

P = TypeVar("P")


def workflow_of(kind: type[P], options: Mapping[str, Any] | None, name: str = "") -> P:
    """`kind`, a dataclass, with `options` by the names of its fields. Raises `ConfigError` naming the one that it does not have or take.

    `name`: what the workflow is called in messages; by default its class in lower case.
    """
    known = [item.name for item in fields(kind) if item.init]  # type: ignore[arg-type]
    name = name or kind.__name__.lower()
    for option in options or {}:
        if option not in known:
            raise ConfigError(f"{name} has no option {option!r}; its options: {', '.join(known)}")
    kinds = get_type_hints(kind)
    try:
        return TypeAdapter(kind).validate_python({option: _listed(kinds[option], value) for option, value in (options or {}).items()})
    except ValidationError as error:
        raise _refused(name, error) from None


def arguments_for(build: Callable[..., Any], name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as the annotations of `build` say; what may be a name or an object is taken as it is.

    Raises `ConfigError` naming `name` and the option that cannot be read so.
    """
    kinds = get_type_hints(build, include_extras=True)
    found = dict(options)
    for option, value in options.items():
        if str in get_args(kinds[option]):
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(kinds[option], config=ConfigDict(arbitrary_types_allowed=True))
        try:
            found[option] = adapter.validate_python(_listed(kinds[option], value))
        except ValidationError as error:
            raise _refused(name, error, option) from None
    return found


def _listed(kind: object, value: object) -> object:
    """A text as the list that it is on a command line, `a,b`, where several are due."""
    return value.split(",") if get_origin(kind) is tuple and isinstance(value, str) else value


def _refused(name: str, error: ValidationError, *place: str) -> ConfigError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in (*place, *first["loc"]))
    return ConfigError(f"{name}: option {where!r} cannot be {first['input']!r}: {first['msg']}")
