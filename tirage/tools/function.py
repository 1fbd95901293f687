"""Tools from plain functions: the schema from type hints and docstring, arguments checked, time limited, output clipped.

    @tool
    async def weather(city: str, days: int = 1) -> str:
        '''Forecast for a city.'''

What the policy does wrong (bad arguments, `Refuse`, a timeout) is an observation it can learn from; any other exception is a bug of the
tool and raises `ToolError`.
"""

import asyncio
import inspect
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import to_jsonable_python

from tirage.core.errors import ConfigError, TirageError, ToolError
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.models.model_json import read_object
from tirage.sandbox.base import Session
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.card_notes import CardSource
from tirage.tools.cards import make_card
from tirage.tools.python import clip

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ARGUMENT = re.compile(r"^(\w+)(?: ?\([^)]*\))?:\s*(.*)$")
_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Examples?|Notes?):\s*$")


class Refuse(Exception):
    """Raised by a tool to tell the policy what it did wrong; the message is what it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may know of the call; a parameter of this type is filled in and hidden from the policy."""

    call: ToolCall
    session: Session | None
    """The node's interpreter; None where the agent has no sandbox."""


Approve = Callable[[ToolCall], bool | Awaitable[bool]]


async def refusal(call: ToolCall, approve: Approve) -> Observation | None:
    """Ask for approval; what the policy reads when it is not given, None when it is."""
    allowed = approve(call)
    if await allowed if inspect.isawaitable(allowed) else allowed:
        return None
    return Observation(text=f"The call of {call.name} was not approved.", status=ObservationStatus.ERROR, call_id=call.id)


class FunctionTool(Tool):
    """A function behind the tool port. Make it with `tool`."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        timeout_s: float = 30.0,
        parallel: bool = True,
        approve: Approve | None = None,
        clip_chars: int = 4000,
        card: CardSource | None = None,
    ) -> None:
        """See `tool`."""
        self.function = function
        self.timeout_s = timeout_s
        self.parallel = parallel
        self.approve = approve
        self.clip_chars = clip_chars
        self.card = card
        label = name or function.__name__
        if not NAME.fullmatch(label):
            raise ConfigError(f"tool name {label!r} must be letters, digits, _ or -, at most 64; give another with @tool(name=...)")
        if timeout_s <= 0 or clip_chars < 1:
            raise ConfigError(f"tool {label!r}: timeout_s={timeout_s} and clip_chars={clip_chars} must be above 0")
        description, told = _read_docstring(inspect.getdoc(function) or "")
        if not description:
            raise ConfigError(f"tool {label!r} has no docstring; write one, its first paragraph is what a policy knows of it")
        hints = _hints(function, label)
        self._arguments, self._context = _arguments(function, hints, label, told)
        parameters = _schema(self._arguments)
        self.spec = ToolSpec(name=label, description=description, parameters=parameters, returns=_returns(hints))
        if card is not None:
            make_card(self.spec, card)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself."""
        return self.function(*args, **kwargs)

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Check the arguments, ask for approval, run within the time limit, clip. Raises `ToolError` when the function has a bug."""
        began = time.monotonic()
        try:
            given = self._read(call.arguments or "{}")
        except ValidationError as error:
            return Observation(text=f"InvalidCall: {_explain(error)}", status=ObservationStatus.INVALID, call_id=call.id)
        if self.approve is not None and (refused := await refusal(call, self.approve)) is not None:
            return refused
        values = {item.alias: getattr(given, name) for name, item in self._arguments.model_fields.items() if item.alias}
        if self._context is not None:
            values[self._context] = ToolContext(call=call, session=session)
        status = ObservationStatus.OK
        try:
            text = as_text(await asyncio.wait_for(self._run(values), self.timeout_s))
        except Refuse as said:
            text, status = str(said) or "The call was refused.", ObservationStatus.ERROR
        except TimeoutError:
            text, status = f"TimeoutError: {self.spec.name} took longer than {self.timeout_s:g} s", ObservationStatus.TIMEOUT
        except TirageError:
            raise
        except Exception as error:
            raise ToolError(f"tool {self.spec.name!r} broke: {type(error).__name__}: {error}", boundary="tool") from error
        shown, clipped = clip(text or "(no output)", self.clip_chars)
        return Observation(text=shown, status=status, call_id=call.id, duration_s=time.monotonic() - began, truncated=clipped)

    def _read(self, arguments: str) -> BaseModel:
        """The checked arguments, repaired where they are not JSON as they stand. Raises `ValidationError`."""
        try:
            return self._arguments.model_validate_json(arguments)
        except ValidationError:
            try:
                repaired = json.dumps(read_object(arguments))
            except ValueError:
                repaired = arguments
            return self._arguments.model_validate_json(repaired)

    async def _run(self, values: dict[str, Any]) -> Any:
        """A plain function runs in a thread, which a timeout leaves behind but does not stop."""
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**values)
        return await asyncio.to_thread(self.function, **values)


@overload
def tool(function: Callable[..., Any], /) -> FunctionTool: ...


@overload
def tool(
    *,
    name: str | None = None,
    timeout_s: float = 30.0,
    parallel: bool = True,
    approve: Approve | None = None,
    clip_chars: int = 4000,
    card: CardSource | None = None,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a typed function, sync or async; bare, or with options.

    Args:
        function: Every parameter has a type hint; its docstring's first paragraph describes the tool, a Google-style `Args:` section the
            parameters. A parameter annotated `ToolContext` is filled in and hidden.
        options: `name`: the function's by default. `timeout_s`: of one call. `parallel`: may run beside other calls of the same step.
            `approve`: asked before each call, may be async. `clip_chars`: longest observation, head and tail kept. `card`: what its
            card has beyond the signature, as fields or as a YAML file.

    Raises:
        ConfigError: No docstring, a missing or unsupported type, variable arguments, a bad name, a card that does not fit.
    """
    return FunctionTool(function, **options) if function is not None else lambda target: FunctionTool(target, **options)


def _hints(function: Callable[..., Any], label: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise ConfigError(f"tool {label!r}: its type hints cannot be read ({error})") from error


def _arguments(function: Callable[..., Any], hints: dict[str, Any], label: str, told: dict[str, str]) -> tuple[type[BaseModel], str | None]:
    """The model of the arguments, and the name of the context's parameter."""
    fields: dict[str, Any] = {}
    context: str | None = None
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(f"tool {label!r}: parameter {name!r} cannot be given by name; a tool takes named parameters only")
        if name not in hints:
            raise ConfigError(f"tool {label!r}: parameter {name!r} has no type hint; write one, its schema comes from it")
        if hints[name] is ToolContext:
            context = name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        # Under a name of its own: a model has attributes such as `json` and `schema` already.
        fields[f"given_{name}"] = (hints[name], Field(default, alias=name, description=told.get(name)))
        _check_type(label, name, hints[name])
    unknown = sorted(name for name in told if f"given_{name}" not in fields and name != context)
    if unknown:
        raise ConfigError(f"tool {label!r}: its docstring describes {unknown[0]!r}, which is no parameter")
    return create_model(label, __config__=ConfigDict(extra="forbid"), **fields), context


def _check_type(label: str, name: str, hint: Any) -> None:
    try:
        TypeAdapter(hint).json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError):
        kind = hint.__qualname__ if isinstance(hint, type) else str(hint)
        remedy = "give it one that JSON has, an Enum, a Literal, a dataclass or a pydantic model of such"
        raise ConfigError(f"tool {label!r}: parameter {name!r} has the type {kind}, which JSON cannot carry; {remedy}") from None


def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return {"type": "object", "properties": {}, **schema}


def _returns(hints: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of what `_text` writes as JSON; None for a hint that also allows text or nothing, and without one."""
    try:
        schema = TypeAdapter(hints["return"]).json_schema(mode="serialization")
    except (KeyError, PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError):
        return None
    kinds = {item.get("type", "object" if "$ref" in item else None) for item in schema.get("anyOf", [schema])}
    return schema if kinds <= {"object", "array", "integer", "number", "boolean"} else None


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """First paragraph, and the `Args:` section by name."""
    lines = text.splitlines()
    first: list[str] = []
    for line in lines:
        if not line.strip() or _SECTION.match(line):
            break
        first.append(line.strip())
    told: dict[str, str] = {}
    inside, indent, current = False, 0, ""
    for line in lines:
        section = _SECTION.match(line)
        if section:
            inside, indent = section[1] in ("Args", "Arguments"), 0
            continue
        if not inside or not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        indent = indent or depth
        found = _ARGUMENT.match(line.strip())
        if depth <= indent and found:
            current = found[1]
            told[current] = found[2]
        elif current:
            told[current] = f"{told[current]} {line.strip()}"
    return " ".join(first), told


def _explain(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        where = ".".join(str(place) for place in item["loc"])
        parts.append(f"{where}: {item['msg']}" if where else item["msg"])
    return "; ".join(parts)


def as_text(value: Any) -> str:
    """What a tool returned, as the policy reads it: text as it is, nothing as nothing, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)
