"""The configuration reference, read from the schema of `tirage improve`."""

from typing import Any

from scripts.pages.tables import table, written
from tirage.runtime.config import ImproveConfig

HEAD = """\
# Configuration

Every key of the YAML file of `tirage improve`. The keys below `agent`, `sampling`, `hints`, `sandbox`, `model_options` and `problems` mean
the same in every command that takes `--set`: `--set agent.max_calls=8`. Unknown keys are errors that name the nearest known one.
`tirage improve --schema` prints this as JSON Schema, for editors.
"""


def configuration_reference() -> dict[str, str]:
    """One page: a table for each object of the schema, in the order in which they are met."""
    schema = ImproveConfig.model_json_schema()
    known = schema.get("$defs", {})
    parts, queue, seen = [HEAD], [("the file", schema)], {"the file"}
    while queue:
        title, node = queue.pop(0)
        rows = []
        for name, part in node.get("properties", {}).items():
            rows.append((f"`{name}`", kind(part, known), default_of(part), part.get("description", "")))
            for other in references(part):
                if other not in seen and "properties" in known.get(other, {}):
                    seen.add(other)
                    queue.append((other, known[other]))
        heading = "The file" if title == "the file" else title
        about = (node.get("description") or "").split("\n\n")[0]
        parts.append(f"## {heading}\n\n{' '.join(about.split())}\n\n{table(('key', 'type', 'default', ''), rows)}")
    return {"reference/configuration.md": "\n".join(parts)}


def references(part: dict[str, Any]) -> list[str]:
    """The objects that a part of the schema refers to."""
    found = [part["$ref"].rpartition("/")[2]] if "$ref" in part else []
    for value in part.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                found += references(item)
    return found


def kind(part: dict[str, Any], known: dict[str, Any]) -> str:
    """The type of a key in words; `known`: the definitions of the schema."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "properties" in known.get(name, {}) else kind(known[name], known)
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    for word in ("anyOf", "oneOf", "allOf"):
        if word in part:
            return " or ".join(dict.fromkeys(kind(item, known) for item in part[word]))
    if part.get("type") == "array":
        inner = part.get("items")
        return f"list of {kind(inner, known)}" if isinstance(inner, dict) and inner else "list"
    return str(part.get("type", "any"))


def default_of(part: dict[str, Any]) -> str:
    """The default; *required* where there is none, a dash for null and for objects, whose own tables have theirs."""
    if "default" not in part:
        return "*required*"
    value = part["default"]
    return "-" if isinstance(value, dict) else written(value)
