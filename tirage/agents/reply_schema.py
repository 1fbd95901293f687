"""JSON Schemas in the form to which servers hold replies."""

from typing import Any

from pydantic import BaseModel

_DROPPED = frozenset({"title", "default", "minLength", "maxLength"})
"""Words that say nothing about the form, or that few servers take: lengths are left to whoever reads the reply."""
_NAMED = frozenset({"properties", "$defs"})
"""Words below which names stand, not further words."""


class _Free(Exception):
    """A part that may be anything, or an object of any keys."""


def strict_schema(kind: type[BaseModel]) -> dict[str, Any] | None:
    """The schema of `kind`, every field required and no others allowed; None where some part of it may be anything."""
    try:
        return _strict(kind.model_json_schema())
    except _Free:
        return None


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A part of a schema, made strict. Raises `_Free`."""
    if schema.get("type") == "object" and "properties" not in schema:
        raise _Free
    out = {word: _below(word, value) for word, value in schema.items() if word not in _DROPPED}
    if not out:
        raise _Free
    if "properties" in out:
        out |= {"required": list(out["properties"]), "additionalProperties": False}
    return out


def _below(word: str, value: Any) -> Any:
    """What stands behind a word of a schema."""
    if isinstance(value, list):
        return [_strict(item) if isinstance(item, dict) else item for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _strict(part) for name, part in value.items()} if word in _NAMED else _strict(value)
