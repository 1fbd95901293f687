"""What `tirage mcp` serves: tools and agents, opened from their names and handed to a server."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from io import FileIO
from pathlib import Path
from typing import Annotated, Any, TextIO

from pydantic import Field

from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.runtime.config import AgentConfig, RunConfig
from tirage.runtime.config_files import build_config
from tirage.runtime.opening.sandboxes import open_interpreter
from tirage.runtime.opening.toolbox import own_tools, search_tools
from tirage.runtime.runtime import Runtime
from tirage.runtime.solving import as_data, solve_hints, solve_with
from tirage.sandbox.base import Limits, Sandbox
from tirage.search.strategies import names
from tirage.serving.mcp import serve_http, serve_stdio, wire
from tirage.tools.base import Tool
from tirage.tools.discovery import OWN as own_tool
from tirage.tools.discovery import from_attribute
from tirage.tools.function import Refuse, tool
from tirage.tools.python import clip
from tirage.tools.toolset import toolset

__all__ = ["OWN", "load_tools", "offer_http", "offer_stdio", "wire"]
OWN = ("python", "shell")
_SOLVE_S = 3600.0
_RESPONSE = 4000


@asynccontextmanager
async def _offered(
    wanted: Sequence[str], collections: Sequence[Path], config: RunConfig
) -> AsyncIterator[tuple[dict[str, Tool], Sandbox | None]]:
    """The tools by name, and the sandbox that they need, if any."""
    own = [name for name in wanted if name in OWN]
    functions = [item for word in wanted if word not in (*OWN, "solve") for item in load_tools(word)]
    async with AsyncExitStack() as held:
        offered = [*own_tools(own, Limits(wall_s=config.sandbox.timeout_s)).values(), *_searches(collections, held), *functions]
        sandbox: Sandbox | None = None
        if "solve" in wanted:
            runtime = await held.enter_async_context(Runtime(config))
            sandbox = runtime.sandbox
            offered.append(solve_tool(runtime))
        elif own or functions:
            sandbox = await held.enter_async_context(open_interpreter(config.sandbox))
        yield toolset(*offered), sandbox


def load_tools(word: str) -> list[Tool]:
    """What `module:attribute`, or a name that a package offers, stands for: a function, a tool, or several. Raises `ConfigError`."""
    if not own_tool.has(word):
        raise ConfigError(f"there is no tool {word!r}; tools: {', '.join([*OWN, 'solve', *own_tool.offers])}, or module:attribute")
    return list(from_attribute(word).values())


def _searches(paths: Sequence[Path], held: AsyncExitStack) -> Iterable[Tool]:
    """A search tool per collection."""
    if not paths:
        return
    from tirage.runtime.opening.collections import existing_collection
    from tirage.tools.retrieval import SearchTool

    for item in search_tools(paths):
        yield SearchTool(held.enter_context(closing(existing_collection(item.index))), name=item.name)


def solve_tool(runtime: Runtime) -> Tool:
    """The tool `solve`: an agent over open parts, on a question."""
    config = runtime.config

    @tool(timeout_s=_SOLVE_S, clip_chars=4 * _RESPONSE)
    async def solve(
        question: str,
        best_of: Annotated[int, Field(ge=1, le=64)] = 1,
        strategy: str | None = None,
        nodes: Annotated[int, Field(ge=1, le=10_000)] = 64,
    ) -> dict[str, object]:
        """Let an agent solve a problem step by step, with code in a sandbox, and return its answer, its response and what it cost.

        Args:
            question: The problem, complete in itself.
            best_of: Chains to sample; the answer is the majority.
            strategy: Grow a tree of attempts instead, e.g. mcts, beam, best-first.
            nodes: Steps of the tree at most.
        """
        if not question.strip():
            raise Refuse("the question is empty; give the text of a problem")
        try:
            driven = _agent(config.agent, best_of, strategy, nodes)
            agent = runtime.agent(driven, hints=solve_hints(runtime.model, None))
        except ConfigError as error:
            raise Refuse(str(error)) from error
        found = as_data(await solve_with(agent, Problem(prompt=question)))
        return {**found, "response": clip(str(found["response"]), _RESPONSE)[0]}

    return solve


def _agent(base: AgentConfig, best_of: int, strategy: str | None, nodes: int) -> AgentConfig:
    """The server's agent, as one call asks for it."""
    asked: dict[str, Any] = base.model_dump()
    if best_of > 1:
        asked["best_of"] = best_of
    if strategy is not None:
        # A client names strategies, never code: what is installed is all that it can choose from.
        if strategy not in names():
            raise ConfigError(f"there is no strategy {strategy!r}; strategies: {', '.join(names())}")
        asked["search"] = {**(asked["search"] or {}), "strategy": strategy, "options": {}, "budget": {"nodes": nodes}}
    return build_config(AgentConfig, asked, "solve")


async def offer_stdio(wanted: Sequence[str], collections: Sequence[Path], config: RunConfig, files: tuple[FileIO, TextIO]) -> None:
    """Serve what the words in `wanted` name at the other end of `files` (see `wire`). Raises the `TirageError` family."""
    async with _offered(wanted, collections, config) as (tools, sandbox):
        await serve_stdio(tools, sandbox, files)


async def offer_http(
    wanted: Sequence[str], collections: Sequence[Path], config: RunConfig, *, port: int, token: str, ready: Callable[[str, list[str]], None]
) -> None:
    """The same over HTTP on loopback; `ready` is called with the URL and the tools' names."""
    async with _offered(wanted, collections, config) as (tools, sandbox):
        await serve_http(tools, sandbox, port=port, token=token, ready=lambda url: ready(url, list(tools)))
