"""Tool cards: what a planner is told of a tool, made from its schema and completed by its author.

OctoTools (Lu et al. 2025, arXiv 2502.11271) describes every tool by such a card. Here a card is checked against the tool's signature, and
what was measured of the tool (`toolset.measured`) stands in it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tirage.core.errors import ConfigError
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.card_notes import CardNotes, CardSource, DemoNotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One parameter."""

    type: str
    meaning: str
    default: str | None = None
    """As JSON; None when there is none."""
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A call that shows the use of a tool."""

    arguments: Mapping[str, Any]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCard:
    """All that a planner is told of a tool."""

    name: str
    description: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    output: str = "text"
    demos: tuple[Demo, ...] = ()
    limitations: tuple[str, ...] = ()
    best_practices: tuple[str, ...] = ()
    version: str = ""
    measured: str = ""
    """What its calls came to so far, in one line; empty when nothing was measured."""


def notes_of(name: str, source: CardSource) -> CardNotes:
    """The notes of the tool `name`. Raises `ConfigError` when they are no notes, or there is no such file."""
    if isinstance(source, CardNotes):
        return source
    if isinstance(source, Path):
        return _read(name, source)
    return _parse(name, source, "its card")


def _read(name: str, path: Path) -> CardNotes:
    try:
        return _written(name, path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"tool {name!r}: the card {path} cannot be read ({error.strerror}); write it, or leave it out") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"tool {name!r}: the card {path} is no YAML ({' '.join(str(error).split())}); correct it there") from None


@cache
def _written(name: str, text: str, where: str) -> CardNotes:
    return _parse(name, yaml.safe_load(text), where)


def _parse(name: str, data: object, where: str) -> CardNotes:
    try:
        return CardNotes.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        words = {"extra_forbidden": "unknown key", "missing": "it is missing", "model_type": "no keys with values"}
        wrong = words.get(first["type"], first["msg"])
        known = DemoNotes.model_fields if first["loc"][:1] == ("demos",) else CardNotes.model_fields
        raise ConfigError(f"tool {name!r}: {place} of {where}: {wrong}; keys: {', '.join(known)}") from None


def card_of(tool: Tool) -> ToolCard:
    """The card of a tool, with what was measured of it. Raises `ConfigError` when its author's notes do not fit it."""
    figures = tool.figures
    return make_card(tool.spec, tool.card or CardNotes(), measured=figures.told() if figures is not None else "")


def make_card(spec: ToolSpec, source: CardSource, *, measured: str = "") -> ToolCard:
    """A card from a signature and its author's notes.

    Raises `ConfigError`, naming tool, field and remedy: a parameter that the tool has not, a demo that it would refuse, no description.
    """
    notes = notes_of(spec.name, source)
    properties: Mapping[str, Any] = spec.parameters.get("properties", {})
    for name in notes.inputs:
        if name not in properties:
            known = ", ".join(properties) or "none"
            raise ConfigError(f"tool {spec.name!r}: its card describes {name!r}, which is no parameter; parameters: {known}")
    description = notes.description or spec.description
    if not description.strip():
        raise ConfigError(f"tool {spec.name!r} has no description; write `description` in its card, or a docstring")
    for number, demo in enumerate(notes.demos, start=1):
        if (wrong := refused(spec, demo.arguments)) is not None:
            raise ConfigError(f"tool {spec.name!r}: demo {number} of its card does not fit ({wrong}); correct its arguments")
    kind = "text" if spec.returns is None else type_text(spec.returns, spec.returns.get("$defs", {}))
    return ToolCard(
        name=spec.name,
        description=description,
        inputs={name: _input(spec, name, schema, notes.inputs.get(name)) for name, schema in properties.items()},
        output=f"{kind}: {notes.output}" if notes.output else kind,
        demos=tuple(Demo(arguments=demo.arguments, description=demo.description) for demo in notes.demos),
        limitations=notes.limitations,
        best_practices=notes.best_practices,
        version=notes.version,
        measured=measured,
    )


def _input(spec: ToolSpec, name: str, schema: Mapping[str, Any], meaning: str | None) -> Input:
    return Input(
        type=type_text(schema, spec.parameters.get("$defs", {})),
        meaning=meaning or schema.get("description", ""),
        default=json.dumps(schema["default"], ensure_ascii=False) if "default" in schema else None,
        required=name in spec.parameters.get("required", ()),
    )


def refused(spec: ToolSpec, arguments: Mapping[str, Any]) -> str | None:
    """Why the schema refuses `arguments`; None when it does not."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(dict(spec.parameters)).iter_errors(arguments))
    if error is None:
        return None
    place = ".".join(map(str, error.absolute_path))
    return f"{place}: {error.message}" if place else str(error.message)


def type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words, such as "list of integer from 1 to 7"."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        inner = definitions.get(name, {})
        return type_text(inner, definitions) if "enum" in inner else name
    if "const" in schema or "enum" in schema:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in schema.get("enum", [schema.get("const")]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(type_text(item, definitions) for item in schema[several])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {type_text(schema.get('items', {}), definitions)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_text(schema['additionalProperties'], definitions)}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    return f"{kind}, at least {low}" if low is not None else f"{kind}, at most {high}" if high is not None else str(kind)


def render(card: ToolCard) -> str:
    """The text that a planner reads: the same for the same card, one fact a line, without lines for what is not known."""
    lines = [f"{card.name}{f' {card.version}' if card.version else ''}: {card.description}"]
    for name, item in card.inputs.items():
        rest = "" if item.required else ", optional" if item.default is None else f", default {item.default}"
        lines.append(f"  input {name} ({item.type}{rest}){f': {item.meaning}' if item.meaning else ''}")
    lines.append(f"  output: {card.output}")
    for demo in card.demos:
        lines.append(f"  demo {json.dumps(dict(demo.arguments), ensure_ascii=False)}: {demo.description}")
    lines += [f"  limitation: {text}" for text in card.limitations]
    lines += [f"  best practice: {text}" for text in card.best_practices]
    if card.measured:
        lines.append(f"  measured: {card.measured}")
    return "\n".join(lines)


def render_all(tools: Mapping[str, Tool]) -> str:
    """The cards of a toolset, in its order, an empty line between. Raises as `card_of`."""
    return "\n\n".join(render(card_of(item)) for item in tools.values())
