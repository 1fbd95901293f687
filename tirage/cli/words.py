"""Words of a command line as configuration data."""

import json
from pathlib import Path
from typing import Any

from tirage.config import BudgetConfig
from tirage.core.errors import ConfigError


def pairs(words: list[str] | None, flag: str) -> dict[str, Any]:
    """`key=value` words; values are JSON where they read as such."""
    found: dict[str, Any] = {}
    for word in words or ():
        for part in word.split(",") if flag == "--budget" else (word,):
            key, separator, text = part.partition("=")
            if not separator or not key:
                raise ConfigError(
                    f"{flag} {word!r}: write it as key=value"
                    + (f"; keys: {', '.join(BudgetConfig.model_fields)}" if flag == "--budget" else "")
                )
            try:
                found[key] = json.loads(text)
            except ValueError:
                found[key] = text
    return found


def with_servers(mcp: Path | None) -> dict[str, object]:
    """What an agent's configuration says of MCP servers."""
    return {} if mcp is None else {"mcp": {"servers": mcp}, "dialect": "native-tools"}
