"""`tirage mcp`: tirage's tools and agents for other programs, by the Model Context Protocol."""

import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from tirage.cli.terminal import SafeConsole
from tirage.runtime.config import RunConfig
from tirage.runtime.config_files import build_config
from tirage.runtime.event_loop import run_sync
from tirage.serving.offer import OWN, offer_http, offer_stdio, wire

TOKEN = "TIRAGE_MCP_TOKEN"


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
        work = offer_http(wanted, collection or [], config, port=port, token=token, ready=lambda url, names: _tell(url, token, names))
        run_sync(work)
        return
    with wire() as files:
        run_sync(offer_stdio(wanted, collection or [], config, files))


def _tell(url: str, token: str, names: list[str]) -> None:
    """Print how to connect."""
    entry = {"mcpServers": {"tirage": {"url": url, "headers": {"Authorization": f"Bearer {token}"}}}}
    console = SafeConsole(stderr=True, soft_wrap=True)
    console.print(f"serving {', '.join(names)} at {url}; connect with:")
    console.print(json.dumps(entry))
