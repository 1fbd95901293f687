"""Words of a command line as configuration data."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from tirage.config import AgentConfig, BudgetConfig, ModelConfig, SearchToolConfig, Strict
from tirage.config_files import build_config
from tirage.core.errors import ConfigError


class ModelSettings(Strict):
    """What `--set` may say of a model."""

    model_options: ModelConfig = Field(ModelConfig(), description="how the model is opened and called")


def model_options(settings: list[str] | None) -> ModelConfig:
    """What words such as `model_options.chat_template=FILE` set. Raises `ConfigError` for any other key."""
    return build_config(ModelSettings, {}, "settings", settings or ()).model_options


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


def search_tools(collections: Iterable[Path]) -> list[SearchToolConfig]:
    """A `search` tool for one collection, `search_NAME` for each of several."""
    paths = list(collections)
    names = ["search"] if len(paths) == 1 else [f"search_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}" for path in paths]
    return [SearchToolConfig(index=path, name=name) for path, name in zip(paths, names, strict=True)]


def with_tools(
    sources: list[str] | None, mcp: Path | None, collections: list[Path] | None, base: AgentConfig | None = None
) -> dict[str, object]:
    """What an agent's configuration says of functions, MCP servers and collections, besides the tools of `base`."""
    told: dict[str, object] = {} if mcp is None else {"mcp": {"servers": mcp}, "dialect": "native"}
    base = base or AgentConfig()
    if sources:
        told["tools_from"] = [*base.tools_from, *sources]
    if collections:
        told["tools"] = [*base.tools, *search_tools(collections)]
    return told


def in_dialect(word: str | None) -> dict[str, object]:
    """Keys of the agent's configuration for a dialect on the command line; `tags:NAME` names the tags too."""
    if word is None:
        return {}
    name, _, tags = word.partition(":")
    return {"dialect": name, **({"tags": tags} if tags else {})}
