"""`tirage mcp`: tirage's tools and agents for other programs, by the Model Context Protocol."""

import importlib
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field
from rich.console import Console

from tirage.cli.names import make_agent, open_interpreter, open_models, open_servers, own_tools
from tirage.cli.solve import as_data
from tirage.config import AgentConfig, RunConfig, build_config
from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.doors import run_sync, solve_hints, solve_with
from tirage.models.base import Model
from tirage.sandbox.base import Limits, Sandbox
from tirage.search.strategies import STRATEGIES
from tirage.serving.mcp import serve_http, serve_stdio, wire
from tirage.tools.base import Tool
from tirage.tools.function import Refuse, tool
from tirage.tools.python import clip
from tirage.tools.toolset import renamed, toolset

OWN = ("python", "shell")
TOKEN = "TIRAGE_MCP_TOKEN"
Serve = Callable[[Mapping[str, Tool], Sandbox | None], Awaitable[None]]
_SOLVE_S = 3600.0
_RESPONSE = 4000


def mcp(
    tools: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOOL]...", help="python, shell, solve, MODULE:ATTRIBUTE; python and shell by default.", show_default=False
        ),
    ] = None,
    collection: Annotated[list[Path] | None, typer.Option("--collection", "-c", help="Search this collection; repeatable.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Of the tool solve; `tirage models` lists the forms.")] = "nano",
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP on loopback instead of standard input and output.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of HTTP; 0 takes any.")] = 8765,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any key of a run's configuration; repeatable.")] = None,
) -> None:
    """Serve tools and agents to programs that speak the Model Context Protocol: editors, chat hosts, other agents.

    MODULE:ATTRIBUTE is a function, a @tool, or a list of them; they run in this process, python and shell in a sandbox. Each client has an
    interpreter of its own. Over HTTP the token is TIRAGE_MCP_TOKEN of the environment, or a new one.

    Example: tirage mcp python solve --model nano
    """
    config = build_config(RunConfig, {"model": model}, "settings", settings or ())
    wanted = tools or ([] if collection else list(OWN))
    if http:
        token = os.environ.get(TOKEN) or secrets.token_urlsafe(24)

        def serve(offer: Mapping[str, Tool], sandbox: Sandbox | None) -> Awaitable[None]:
            return serve_http(offer, sandbox, port=port, token=token, ready=lambda url: _tell(url, token, offer))

        run_sync(_offer(wanted, collection or [], config, serve))
        return
    with wire() as files:
        run_sync(_offer(wanted, collection or [], config, lambda offer, sandbox: serve_stdio(offer, sandbox, files)))


async def _offer(wanted: list[str], collections: list[Path], config: RunConfig, serve: Serve) -> None:
    """Open what is offered, serve it, close it."""
    own = [name for name in wanted if name in OWN]
    functions = [item for word in wanted if word not in (*OWN, "solve") for item in load_tools(word)]
    async with AsyncExitStack() as held:
        offered = [*own_tools(own, Limits(wall_s=config.sandbox.timeout_s)).values(), *_searches(collections, held), *functions]
        sandbox: Sandbox | None = None
        if own or functions or "solve" in wanted:
            sandbox = await held.enter_async_context(open_interpreter(config.sandbox))
        if "solve" in wanted and sandbox is not None:
            model = await open_models(config.model, config.model_options, config.agent)
            held.push_async_callback(model.close)
            servers = await held.enter_async_context(open_servers(config.agent))
            offered.append(solve_tool(model, config, sandbox, servers))
        await serve(toolset(*offered), sandbox)


def load_tools(word: str) -> list[Tool]:
    """What `MODULE:ATTRIBUTE` names: a function, a tool, or several; modules are also looked for in the working directory."""
    module, _, attribute = word.partition(":")
    if not module or not attribute:
        raise ConfigError(f"there is no tool {word!r}; tools: {', '.join(OWN)}, solve, or a function's MODULE:ATTRIBUTE")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # a foreign module may raise anything
        raise ConfigError(f"tool {word!r}: {type(error).__name__}: {error}; give an importable MODULE:ATTRIBUTE") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    several = list(found.values()) if isinstance(found, Mapping) else found if isinstance(found, list | tuple) else [found]
    for item in several:
        if not hasattr(item, "spec") and not callable(item):
            raise ConfigError(f"tool {word!r} is a {type(item).__name__}; give a function, a @tool, or a list of them")
    return [item if hasattr(item, "spec") else tool(item) for item in several]


def _searches(paths: list[Path], held: AsyncExitStack) -> Iterable[Tool]:
    """A `search` tool per collection; `search_NAME` when there are several."""
    if not paths:
        return
    from tirage.tools.retrieval import Collection, SearchTool

    for path in paths:
        if not path.exists():
            raise DataError(f"there is no collection {path}; make one with: tirage index add {path} FOLDER")
        search = SearchTool(held.enter_context(Collection(path)))
        name = "search" if len(paths) == 1 else f"search_{path.stem}"
        yield from renamed({"search": search}, {"search": name}).values()


def solve_tool(model: Model, config: RunConfig, sandbox: Sandbox, servers: Mapping[str, Tool]) -> Tool:
    """The tool `solve`: an agent with these parts on a question."""

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
            agent = _agent(config.agent, best_of, strategy, nodes)
            sampling = (
                config.sampling if best_of > 1 or agent.search is not None else config.sampling.model_copy(update={"temperature": 0.0})
            )
            explorer = make_agent(
                model, agent, sampling, sandbox=sandbox, options=config.sandbox, hints=solve_hints(config.model, None), servers=servers
            )
        except ConfigError as error:
            raise Refuse(str(error)) from error
        found = as_data(await solve_with(explorer, Problem(prompt=question)))
        return {**found, "response": clip(str(found["response"]), _RESPONSE)[0]}

    return solve


def _agent(base: AgentConfig, best_of: int, strategy: str | None, nodes: int) -> AgentConfig:
    """The server's agent, as one call asks for it."""
    asked: dict[str, Any] = base.model_dump()
    if best_of > 1:
        asked["best_of"] = best_of
    if strategy is not None:
        if strategy not in STRATEGIES:
            raise ConfigError(f"there is no strategy {strategy!r}; strategies: {', '.join(STRATEGIES)}")
        asked["search"] = {**(asked["search"] or {}), "strategy": strategy, "options": {}, "budget": {"nodes": nodes}}
    return build_config(AgentConfig, asked, "solve")


def _tell(url: str, token: str, tools: Mapping[str, Tool]) -> None:
    """Print how to connect."""
    entry = {"mcpServers": {"tirage": {"url": url, "headers": {"Authorization": f"Bearer {token}"}}}}
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"serving {', '.join(tools)} at {url}; connect with:", markup=False)
    console.print(json.dumps(entry), markup=False)
