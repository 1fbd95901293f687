"""The tools that a configuration names, opened: its own ones, collections to search, functions, MCP servers."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

from tirage.core.errors import ConfigError
from tirage.models.base import Model
from tirage.models.several import Several
from tirage.runtime.config import AgentConfig, SearchToolConfig
from tirage.runtime.opening.dialects import names_tools, spoken
from tirage.sandbox.base import Limits
from tirage.systems.registry import find
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.discovery import OWN, from_attribute, from_folder
from tirage.tools.function import tool
from tirage.tools.mcp import mcp_tools
from tirage.tools.python import PythonTool
from tirage.tools.shell import ShellTool
from tirage.tools.toolset import joined, toolset

FOUND_CHARS = 4000
"""Longest observation of code that may print what functions have found."""


@asynccontextmanager
async def open_tools(config: AgentConfig, model: Model) -> AsyncIterator[dict[str, Tool]]:
    """The tools that need no session, while their servers run and their files are open; `model` with its others is what summarises.

    Raises `ConfigError` for tools that the dialect cannot call or whose name is taken, `DataError` for a file that is no collection.
    """
    config = spoken(config, model)
    async with AsyncExitStack() as held:
        searches = toolset(*[_open_search(item, model, held) for item in config.searches])
        functions = joined(searches, *[found_tools(source) for source in config.tools_from])
        if config.mcp is None:
            yield functions
            return
        if not names_tools(config) and not (config.name is not None and find(config.name).calls_own_tools):
            raise ConfigError("tools of MCP servers need --set agent.dialect=native; the fenced dialect calls Python only")
        servers = config.mcp
        found = await held.enter_async_context(mcp_tools(servers.servers, timeout_s=servers.timeout_s, prefix=servers.prefix))
        taken = sorted(set(found) & {*functions, *config.tools})
        if taken:
            raise ConfigError(f"{servers.servers}: a server's tool is named {taken[0]!r} too; set agent.mcp.prefix=true")
        yield joined(functions, found)


def found_tools(source: str) -> dict[str, Tool]:
    """The tools of a folder of modules, at `module:attribute`, or under the name by which a package offers them. Raises `ConfigError`."""
    if Path(source).is_dir():
        return from_folder(Path(source))
    if not OWN.has(source) and ":" not in source:
        raise ConfigError(f"agent.tools_from: there is no folder {source}; name one with modules of tools, or module:attribute")
    return from_attribute(source)


def as_tool(item: Tool | Callable[..., Any]) -> Tool:
    """A tool as it is; a plain function as a tool. Raises `ConfigError` for a function whose arguments have no schema."""
    if isinstance(getattr(item, "spec", None), ToolSpec):
        return cast(Tool, item)
    return tool(cast(Callable[..., Any], item))


def _open_search(config: SearchToolConfig, model: Model, held: AsyncExitStack) -> Tool:
    """A search tool whose file `held` closes."""
    from tirage.runtime.opening.collections import existing_collection, open_reranker
    from tirage.tools.retrieval import SearchTool
    from tirage.tools.retrieval.summaries import QueryRewriter, SummarisingSearch

    store = held.enter_context(closing(existing_collection(config.index, config.embedder)))
    search = SearchTool(
        store,
        name=config.name,
        about=config.about,
        k=config.k,
        mode=config.mode,
        rerank=open_reranker(config.rerank),
        clip_chars=config.clip_chars,
    )
    if config.summarise is None:
        return search
    teller = _summariser(config, model)
    return SummarisingSearch(search, teller, strict=config.strict, rewriter=QueryRewriter(teller) if config.rewrite else None)


def _summariser(config: SearchToolConfig, model: Model) -> Model:
    """The model that a search tool names."""
    if config.summarise == "own":
        return model
    others = model.others if isinstance(model, Several) else {}
    if config.summarise not in others:
        raise ConfigError(f"tool {config.name!r}: the model {config.summarise!r} is not open; name it among agent.models, or write own")
    return others[config.summarise]


def session_tools(config: AgentConfig, limits: Limits, functions: Mapping[str, Tool]) -> dict[str, Tool]:
    """The tools that run in a sandbox session; code in the fenced dialect calls `functions`.

    Raises `ConfigError` for what it cannot call.
    """
    native = names_tools(config)
    if "shell" in config.tools and not native:
        raise ConfigError("the tool 'shell' needs --set agent.dialect=native; the fenced dialect calls Python only")
    if functions and config.dialect == "fenced-python" and "python" not in config.tools and config.name is None:
        call = f"tools.{next(iter(functions))}(...)"
        raise ConfigError(f"the fenced dialect calls {call} from Python; add python to agent.tools, or set agent.dialect=native")
    return own_tools([item for item in config.tools if isinstance(item, str)], limits, {} if native else functions)


def own_tools(names: Iterable[str], limits: Limits, functions: Mapping[str, Tool] | None = None) -> dict[str, Tool]:
    """The named tools that run in a sandbox session; code calls `functions`."""
    python = PythonTool(limits=limits, tools=functions, clip_chars=FOUND_CHARS) if functions else PythonTool(limits=limits)
    made: dict[str, Tool] = {"python": python, "shell": ShellTool(limits=limits)}
    return {name: made[name] for name in names}


def search_tools(collections: Iterable[Path]) -> list[SearchToolConfig]:
    """A `search` tool for one collection, `search_NAME` for each of several."""
    paths = list(collections)
    names = ["search"] if len(paths) == 1 else [f"search_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}" for path in paths]
    return [SearchToolConfig(index=path, name=name) for path, name in zip(paths, names, strict=True)]
