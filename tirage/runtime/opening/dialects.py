"""The dialect that a configuration names, and the system message that explains it."""

from collections.abc import Mapping
from typing import get_args

from tirage.agents.dialects.base import Dialect, FencedPython, NativeTools, Plain
from tirage.agents.dialects.tag_sets import tag_set
from tirage.agents.dialects.tagged import Tagged
from tirage.agents.prompts import SHIPPED
from tirage.core.errors import ConfigError
from tirage.models.base import Model
from tirage.models.profile import profile_of
from tirage.runtime.config import AgentConfig, DialectWord
from tirage.tools.base import Tool
from tirage.tools.bridge import listing


def spoken(config: AgentConfig, model: Model) -> AgentConfig:
    """The configuration with the dialect of the model's profile, where it names none itself. Raises `ConfigError` for an unknown one."""
    if config.dialect is not None:
        return config
    dialect = profile_of(model).dialect
    if dialect not in get_args(DialectWord):
        raise ConfigError(f"the profile of {model.name} names the dialect {dialect!r}; known: {', '.join(get_args(DialectWord))}")
    return config.model_copy(update={"dialect": dialect})


def names_tools(config: AgentConfig) -> bool:
    """Whether a call in the dialect names its tool, so that all kinds can be called. Raises `ConfigError` for tags that are not known."""
    return config.dialect == "native" or (config.dialect == "tags" and not tag_set(config.tags).tool)


def open_dialect(config: AgentConfig, tools: Mapping[str, Tool]) -> Dialect:
    """The dialect. Raises `ConfigError` for tags that are not known, or that call a tool which is not among `tools`."""
    if config.dialect == "native":
        return NativeTools()
    if config.dialect == "plain":
        return Plain()
    if config.dialect in ("fenced-python", None):
        return FencedPython()
    tags = tag_set(config.tags)
    if tags.tool and tags.tool not in tools:
        there = ", ".join(sorted(tools)) or "none"
        raise ConfigError(f"tags {tags.name!r} call the tool {tags.tool!r}, which is not among agent.tools; tools: {there}")
    return Tagged(tags)


def system_message(
    config: AgentConfig, model: Model, tools: Mapping[str, Tool] | None = None, functions: Mapping[str, Tool] | None = None
) -> str | None:
    """The system message that a configuration means: `auto` tells of the `tools` and of the `functions` that code may call.

    Raises `ConfigError` for a single word that names no shipped one.
    """
    text = config.system
    if text == "auto":
        if profile_of(model).system != "auto":
            return profile_of(model).system
        return _explained(config, tools or {}, functions or {})
    if text is None or text in SHIPPED:
        return None if text is None else SHIPPED[text]
    if len(text.split()) < 2:
        known = ", ".join(SHIPPED)
        raise ConfigError(f"system {text!r} is no system message; give auto, the name of a shipped one ({known}), a sentence, or null")
    return text


def _explained(config: AgentConfig, tools: Mapping[str, Tool], functions: Mapping[str, Tool]) -> str:
    if config.dialect == "native":
        return SHIPPED["tool-calling"]
    if config.dialect == "plain":
        return SHIPPED["reasoning"]
    told = f"\n\nThe code may call these functions and print what they return:\n{listing(functions)}" if functions else ""
    if config.dialect == "tags":
        return Tagged(tag_set(config.tags)).told([tool.spec for tool in tools.values()]) + told
    return SHIPPED["tool-integrated-reasoning"] + told
