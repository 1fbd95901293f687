"""`tirage tools`: the tools there are, and the card of one as a planner reads it."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track
from rich.table import Table
from rich.text import Text

from tirage.cli.flags import AsJson
from tirage.cli.machine.mcp import mcp
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.errors import ConfigError
from tirage.core.message import ToolCall
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.toolbox import found_tools
from tirage.sandbox import Session, open_sandbox
from tirage.tools import discovery
from tirage.tools.base import Tool
from tirage.tools.cards import ToolCard, card_of, render
from tirage.tools.figures import Figures, load_figures, save_figures
from tirage.tools.python import PythonTool
from tirage.tools.shell import ShellTool
from tirage.tools.toolset import figures_of, joined, measured, only, toolset

tools_app = typer.Typer(help="The tools that a policy can be given, and their cards.", no_args_is_help=True)
tools_app.command("serve", help="The same as `tirage mcp`: serve tools and agents over the Model Context Protocol.")(mcp)

Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        help="module:attribute, a folder of modules, a collection's file, an mcpServers file (.json); default: what is installed.",
    ),
]


@asynccontextmanager
async def opened(sources: list[str]) -> AsyncIterator[dict[str, Tool]]:
    """The tools of several sources together; without any, tirage's own and those that installed packages offer."""
    async with AsyncExitStack() as stack:
        found = [await _servers(source, stack) if source.endswith(".json") else _open(source, stack) for source in sources]
        yield joined(*found or [toolset(PythonTool(), ShellTool()), discovery.from_packages()])


async def _servers(source: str, stack: AsyncExitStack) -> dict[str, Tool]:
    """The tools of an mcpServers file."""
    from tirage.tools.mcp import mcp_tools

    return dict(await stack.enter_async_context(mcp_tools(Path(source))))


def _open(source: str, stack: AsyncExitStack) -> dict[str, Tool]:
    """The tools of one source; what has to be closed again goes onto `stack`."""
    path = Path(source)
    if path.is_file() or path.suffix == ".lance":
        from tirage.runtime.opening.collections import existing_collection
        from tirage.tools.retrieval import SearchTool

        return toolset(SearchTool(stack.enter_context(closing(existing_collection(path)))))
    if not path.is_dir() and ":" not in source and not discovery.OWN.has(source):
        raise ConfigError(f"--from {source!r} is no folder or file here; give one, or module:attribute")
    return found_tools(source)


@tools_app.command("ls", epilog="Example: tirage tools ls --from tools/")
def ls(sources: Sources = None, as_json: AsJson = False) -> None:
    """List tools, a line each."""
    cards = run_sync(_cards(sources or []))
    if as_json:
        print_json([asdict(card) for card in cards])
        return
    table = Table("tool", "takes", "what it does")
    for card in cards:
        takes = Text(", ").join(Text(name, "" if item.required else "dim") for name, item in card.inputs.items())
        table.add_row(card.name, takes, card.description)
    SafeConsole().print(table)


@tools_app.command("card", epilog="Example: tirage tools card python --measure 5")
def card(
    name: Annotated[str, typer.Argument(help="The tool's name.", show_default=False)],
    sources: Sources = None,
    measure: Annotated[int, typer.Option("--measure", min=0, help="Run each of the card's demos so many times.")] = 0,
    figures: Annotated[Path | None, typer.Option("--figures", help="JSON with what was measured before; --measure adds to it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a tool's card, with what was measured of it. Demos are real calls: they run what the tool does."""
    known = load_figures(figures) if figures is not None and (figures.exists() or not measure) else {}
    made, counted = run_sync(_card(sources or [], name, measure, known))
    if measure and figures is not None:
        save_figures(known | {name: counted}, figures)
    if as_json:
        print_json({**asdict(made), "figures": counted.model_dump() if counted.calls else None})
    else:
        SafeConsole(soft_wrap=True).print(render(made))


async def _cards(sources: list[str]) -> list[ToolCard]:
    async with opened(sources) as tools:
        return [card_of(item) for item in tools.values()]


async def _card(sources: list[str], name: str, measure: int, known: dict[str, Figures]) -> tuple[ToolCard, Figures]:
    async with AsyncExitStack() as stack:
        tools = measured(only(await stack.enter_async_context(opened(sources)), [name]), known)
        if measure:
            demos = card_of(tools[name]).demos
            if not demos:
                raise ConfigError(f"tool {name!r} has no demos to measure; write `demos` in its card")
            session: Session | None = None
            if tools[name].needs_session:
                session = await (await stack.enter_async_context(open_sandbox())).open()
            bar = SafeConsole(stderr=True, quiet=not sys.stderr.isatty())
            for demo in track([*demos] * measure, "calls", console=bar, transient=True):
                await tools[name].call(ToolCall(name=name, arguments=json.dumps(dict(demo.arguments))), session)
        return card_of(tools[name]), figures_of(tools)[name]
