"""Words of a command line as configuration data."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.hint import HintPosition
from tirage.runtime.config import AgentConfig, BudgetConfig, HintsConfig, ModelConfig, Strict
from tirage.runtime.config_files import build_config
from tirage.runtime.opening.searching import tree_budget
from tirage.runtime.opening.toolbox import search_tools


class ModelSettings(Strict):
    """What `--set` may say of a model."""

    model_options: ModelConfig = Field(ModelConfig(), description="how the model is opened and called")


def model_options(settings: list[str] | None) -> ModelConfig:
    """What words such as `model_options.chat_template=FILE` set. Raises `ConfigError` for any other key."""
    return build_config(ModelSettings, {}, "settings", settings or ()).model_options


def hints_at(positions: list[HintPosition] | None, rounds: int = 1) -> HintsConfig | None:
    """Hints at these positions; None without any."""
    return HintsConfig(positions=tuple(positions), rounds=rounds) if positions else None


LIMITED = ("--budget", "--run-budget")


def limits(words: list[str] | None, **default: int) -> BudgetConfig:
    """What `--budget` says; `default` where it says nothing. Raises `ConfigError` for an unknown limit."""
    return build_config(BudgetConfig, pairs(words, "--budget") or dict(default), "--budget")


def run_limits(words: list[str] | None) -> Budget:
    """What `--run-budget` says. Raises `ConfigError` for an unknown limit, and for those that only a tree has."""
    found = build_config(BudgetConfig, pairs(words, "--run-budget"), "--run-budget")
    if found.nodes is not None or found.depth is not None:
        raise ConfigError("--run-budget: nodes and depth are limits of one tree; give them with --budget")
    return tree_budget(found)


def pairs(words: list[str] | None, flag: str) -> dict[str, Any]:
    """`key=value` words; values are JSON where they read as such."""
    found: dict[str, Any] = {}
    for word in words or ():
        for part in word.split(",") if flag in LIMITED else (word,):
            key, separator, text = part.partition("=")
            if not separator or not key:
                raise ConfigError(
                    f"{flag} {word!r}: write it as key=value"
                    + (f"; keys: {', '.join(BudgetConfig.model_fields)}" if flag in LIMITED else "")
                )
            try:
                found[key] = json.loads(text)
            except ValueError:
                found[key] = text
    return found


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
