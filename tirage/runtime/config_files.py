"""Configuration from YAML files, `--set` and Python data, checked by its schema; every error is one line with the key and the remedy."""

import difflib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tirage.core.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def load_config(kind: type[ConfigT], path: Path, overrides: Sequence[str] = ()) -> ConfigT:
    """Read a YAML file and apply `key.sub=value` overrides (values are YAML). Raises `ConfigError` naming key and remedy."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"configuration {path} must be a mapping of keys to values")
    return build_config(kind, data, str(path), overrides)


def build_config(kind: type[ConfigT], data: dict[str, Any], name: str, overrides: Sequence[str] = ()) -> ConfigT:
    """Apply `overrides` to `data` and validate it.

    Every error is one line with the key, what is wrong and, for unknown keys, the nearest known one.
    """
    for override in overrides:
        _override(data, override)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        found = error.errors()
        # A list of which no item is valid is then too short as well.
        told = [entry for entry in found if not any(entry["loc"] == other["loc"][: len(entry["loc"])] != other["loc"] for other in found)]
        raise ConfigError(f"{name}: " + "; ".join(_explain(kind, entry) for entry in told)) from None


def with_settings(config: ConfigT, settings: Sequence[str] | None) -> ConfigT:
    """The configuration with `--set` words applied. Raises as `build_config`."""
    return build_config(type(config), config.model_dump(mode="json"), "settings", settings or ())


def _explain(kind: type[BaseModel], entry: Any) -> str:
    where = ".".join(str(part) for part in entry["loc"])
    if entry["type"] != "extra_forbidden":
        return f"{where}: {entry['msg']}"
    known = _known_keys(kind.model_json_schema(), [str(part) for part in entry["loc"][:-1]])
    near = difflib.get_close_matches(str(entry["loc"][-1]), known, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}" if known else "remove it"
    return f"{where}: unknown key; {remedy}"


def _known_keys(schema: dict[str, Any], path: list[str]) -> list[str]:
    """Keys allowed at `path` of a JSON Schema; tags of a union in the path are followed by name, or mean its one mapping."""
    node: dict[str, Any] = schema
    for part in path:
        node = _resolve(schema, node)
        if part.isdigit():
            node = node.get("items", {})
            continue
        variants = node.get("discriminator", {}).get("mapping", {})
        if part in variants:
            node = {"$ref": variants[part]}
            continue
        node = node.get("properties", {}).get(part, node)
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", [] if "discriminator" in node else node.get("oneOf", [])):
        if "$ref" in option or "discriminator" in option:
            node = option
            break
    if "$ref" in node:
        return dict(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    return node


def _override(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override!r}: write it as key.sub=value")
    *parents, last = key.split(".")
    node = data
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override!r}: {parent!r} is a value, not a section")
        node = child
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not YAML; quote it") from error


def named(value: object) -> str:
    """How an object of Python's among the options of an agent is written down: by its name or its class."""
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}:{kind.__qualname__}"


def config_hash(*parts: Any) -> str:
    """12 hex digits over JSON-like `parts` (pydantic models included)."""
    plain = [part.model_dump(mode="json", fallback=named) if isinstance(part, BaseModel) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
