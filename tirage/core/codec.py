"""Core types to JSON data and back. Strict: unknown keys, missing keys and wrong types are refused, with the path to them.

`encode` drops fields that equal their default, so stored spans stay small. Derived fields (`Problem.id`) are
never read back but checked. A field that was renamed is read under its former name too (`formerly`). Encoder and decoder of a record
(dataclass or named tuple) are compiled from its annotations on first use.
"""

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from tirage.core.errors import DataError

SCHEMA_VERSION = 1
"""Version written into every stored record; readers refuse a newer one."""

T = TypeVar("T")
_Coder = Callable[[Any], Any]
_SCALARS = frozenset({str, int, float, bool})
_NONE = type(None)
_FORMERLY = "formerly"


def formerly(*names: str) -> Mapping[str, tuple[str, ...]]:
    """Metadata of a dataclass field that had other `names` in data written earlier: they are still read, and the present one is written.

    Example: `ephemeral: str = field(default="", metadata=formerly("aside"))`.
    """
    return {_FORMERLY: names}


class _Refused(Exception):
    """Data that does not fit; gathers the path from the inside out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def inside(self, step: str) -> "_Refused":
        self.path = f"{step}{self.path}"
        return self


def encode(value: Any) -> Any:
    """Turn a core object (or a container of them) into plain JSON data. Raises `TypeError` for what JSON cannot hold."""
    kind: Any = type(value)
    if value is None or kind in _SCALARS:
        return value
    if _is_record(kind):
        return _encoder(kind)(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return list(value) if _SCALARS.issuperset(map(type, value)) else [encode(item) for item in value]
    if isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"cannot encode a {kind.__name__} ({value!r:.80}); use text, numbers, lists and mappings")


def decode(kind: type[T], data: Any) -> T:
    """Build a `kind` from JSON data. Raises `DataError` with the path to what does not fit."""
    target: Any = kind
    try:
        result: T = _decoder(target)(data)
    except _Refused as refused:
        raise DataError(f"{getattr(kind, '__name__', kind)}{refused.path}: {refused.reason}") from refused.__cause__
    return result


class _Field(NamedTuple):
    name: str
    default: Any
    """An object that equals nothing when there is none."""
    derived: bool
    """Made by the record itself, no argument of it."""
    former: tuple[str, ...] = ()
    """Names that it had in data written earlier."""


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "_field_defaults"))


def _fields(kind: Any) -> list[_Field]:
    if not is_dataclass(kind):
        return [_Field(name, kind._field_defaults.get(name, MISSING), False) for name in kind._fields]
    return [
        _Field(
            item.name,
            item.default if item.default_factory is MISSING else item.default_factory(),
            not item.init,
            tuple(item.metadata.get(_FORMERLY, ())),
        )
        for item in fields(kind)
    ]


@cache
def _encoder(kind: type) -> _Coder:
    hints = get_type_hints(kind)
    plan = [(item.name, item.default, _field_encoder(hints[item.name])) for item in _fields(kind)]

    def run(value: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, default, write in plan:
            item = getattr(value, name)
            if item is not default and item != default:
                out[name] = item if write is None or item is None else write(item)
        return out

    return run


def _field_encoder(hint: Any) -> _Coder | None:
    """How a field of type `hint` is written; None when it is JSON data as it is. Optional fields skip it for None."""
    members = _members(hint)
    if _SCALARS.issuperset(members):
        return None
    if len(members) != 1:
        return encode
    kind = members[0]
    if _is_record(kind):
        return _encoder(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (tuple, list):
        # Only whole fields skip their coder for None; an item that may be None goes the general way.
        item = encode if _NONE in get_args(arguments[0]) else _field_encoder(arguments[0])
        if item is None:
            return list
        write = item
        return lambda values: [write(value) for value in values]
    return encode


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union, None left out; the hint itself otherwise."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(member for member in get_args(hint) if member is not _NONE)
    return (hint,)


@cache
def _decoder(kind: Any) -> _Coder:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda data: data
    if kind is float:
        return _read_float
    if kind in _SCALARS:
        return _scalar_decoder(frozenset({kind}))
    if origin in (Union, types.UnionType):
        return _union_decoder(kind)
    if origin is Literal:
        return _literal_decoder(arguments)
    if origin in (tuple, list):
        return _sequence_decoder(origin, arguments)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_decoder(kind)
    if _is_record(kind):
        return _record_decoder(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_decoder(*arguments)
    raise TypeError(f"the codec has no decoder for {kind!r}")


def _scalar_decoder(kinds: frozenset[type]) -> _Coder:
    expected = " or ".join(sorted(kind.__name__ for kind in kinds))

    def run(data: Any) -> Any:
        if type(data) not in kinds:
            raise _Refused(f"expected {expected}, found {_shown(data)}")
        return data

    return run


def _read_float(data: Any) -> float:
    """Whole numbers and the strings "NaN", "Infinity", "-Infinity" (JSON has no such numbers) are floats too."""
    if type(data) is float:
        return data
    if type(data) is int or data in ("NaN", "Infinity", "-Infinity"):
        try:
            return float(data)
        except OverflowError:
            raise _Refused(f"a number of {data.bit_length()} bits is too large") from None
    raise _Refused(f"expected a number, found {_shown(data)}")


def _union_decoder(kind: Any) -> _Coder:
    members = _members(kind)
    if len(members) == 1:
        inner = _decoder(members[0])
    elif _SCALARS.issuperset(members):
        inner = _scalar_decoder(frozenset(members))
    else:
        raise TypeError(f"the codec cannot tell the members of {kind!r} apart")
    if _NONE not in get_args(kind):
        return inner
    return lambda data: None if data is None else inner(data)


def _literal_decoder(choices: tuple[Any, ...]) -> _Coder:
    def run(data: Any) -> Any:
        if data not in choices:
            raise _Refused(f"{_shown(data)} is not one of {', '.join(map(str, choices))}")
        return data

    return run


def _enum_decoder(kind: type[Enum]) -> _Coder:
    table = {member.value: member for member in kind}

    def run(data: Any) -> Any:
        try:
            return table[data]
        except (KeyError, TypeError):
            raise _Refused(f"{_shown(data)} is not one of {', '.join(map(str, table))}") from None

    return run


def _sequence_decoder(make: Callable[[Iterable[Any]], Any], arguments: tuple[Any, ...]) -> _Coder:
    read = _decoder(arguments[0])
    width = None if len(arguments) == 1 or arguments[-1] is Ellipsis else len(arguments)
    if width is not None and len(set(arguments)) != 1:
        raise TypeError("the codec reads tuples of one item type only")
    alike = {arguments[0]} if arguments[0] in _SCALARS else set()

    def run(data: Any) -> Any:
        if type(data) is not list or (width is not None and len(data) != width):
            raise _Refused(f"expected a list{'' if width is None else f' of {width}'}, found {_shown(data)}")
        if alike.issuperset(map(type, data)):
            return make(data)
        place = 0
        out = []
        try:
            for place, entry in enumerate(data):  # noqa: B007
                out.append(read(entry))
        except _Refused as refused:
            raise refused.inside(f"[{place}]") from refused.__cause__
        return make(out)

    return run


def _mapping_decoder(key_kind: Any, value_kind: Any) -> _Coder:
    read_key, read = (int if key_kind is int else str), _decoder(value_kind)

    def run(data: Any) -> dict[Any, Any]:
        if type(data) is not dict:
            raise _Refused(f"expected an object, found {_shown(data)}")
        out = {}
        for key, entry in data.items():
            try:
                out[read_key(key)] = read(entry)
            except _Refused as refused:
                raise refused.inside(f"[{key!r}]") from refused.__cause__
            except ValueError:
                raise _Refused(f"key {key!r} is not a whole number") from None
        return out

    return run


def _record_decoder(kind: type) -> _Coder:
    hints = get_type_hints(kind)
    known = _fields(kind)
    settable = {item.name: _decoder(hints[item.name]) for item in known if not item.derived}
    # Most values are texts and numbers of the annotated type: looking at the type costs less than calling a decoder.
    plain = {name: members[0] for name in settable if (members := _members(hints[name]))[0] in _SCALARS and len(members) == 1}
    derived = {item.name for item in known if item.derived}
    required = {item.name for item in known if not item.derived and item.default is MISSING}
    renamed = {former: item.name for item in known for former in item.former}

    def run(data: Any) -> Any:
        if type(data) is not dict:
            raise _Refused(f"expected an object, found {_shown(data)}")
        values = {}
        entries = data if renamed.keys().isdisjoint(data) else _renamed(data, renamed)
        for name, entry in entries.items():
            if plain.get(name) is type(entry):
                values[name] = entry
            elif name in settable:
                try:
                    values[name] = settable[name](entry)
                except _Refused as refused:
                    raise refused.inside(f".{name}") from refused.__cause__
            elif name not in derived:
                raise _Refused(f"unknown key {name!r}; known: {', '.join(sorted(settable))}")
        if not required <= values.keys():
            raise _Refused(f"key {min(required - values.keys())!r} is missing")
        try:
            value = kind(**values)
        except (TypeError, ValueError) as error:
            raise _Refused(str(error)) from error
        for name in derived & data.keys():
            if getattr(value, name) != data[name]:
                raise _Refused(f"{name} is {data[name]!r} but the content gives {getattr(value, name)!r}")
        return value

    return run


def _renamed(data: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """The same with present names in place of former ones."""
    for former, present in renamed.items():
        if former in data and present in data:
            raise _Refused(f"key {former!r} is the former name of {present!r}, which is there too; keep one of them")
    return {renamed.get(name, name): entry for name, entry in data.items()}


def _shown(data: Any) -> str:
    """A value in an error message, kept short."""
    if data is None or isinstance(data, bool):
        return {None: "null", True: "true", False: "false"}[data]
    if isinstance(data, (dict, list)):
        return f"{'an object' if isinstance(data, dict) else 'a list'} of {len(data)}"
    return f"{data!r:.60}"
