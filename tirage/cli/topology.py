"""`tirage topology`: teams of agents, who speaks to whom."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tirage.agents.teams.pictures import Form, draw
from tirage.agents.teams.spec import TopologySpec
from tirage.agents.teams.stock import SHAPES
from tirage.cli.files import write_picture
from tirage.cli.shapes import open_topology

topology_app = typer.Typer(help="Teams of agents: who speaks to whom, in how many rounds, and who decides.", no_args_is_help=True)

_SHAPES = "\n\n".join(["Stock topologies:", *(f"{name}: {shape.what}" for name, shape in SHAPES.items())])


@topology_app.command("show", epilog=f"Example: tirage topology show debate --members 3 --format html --out debate.html\n\n{_SHAPES}")
def show(
    source: Annotated[str | None, typer.Argument(metavar="NAME|FILE", help="A stock topology or a YAML file.", show_default=False)] = None,
    form: Annotated[
        Form, typer.Option("--format", "-f", help="ascii to read here, html to look at, the others for other tools.")
    ] = "ascii",
    members: Annotated[int | None, typer.Option(min=1, help="Of a stock topology.", show_default="the shape's own")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Of a stock topology.", show_default="the shape's own")] = None,
    seed: Annotated[int, typer.Option(help="Of the stock topology `random`.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write.", show_default="standard output")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the YAML file and exit.")] = False,
) -> None:
    """Draw a topology."""
    if schema:
        print(json.dumps(TopologySpec.model_json_schema(), indent=1))
        return
    if source is None:
        raise typer.BadParameter(f"name a file or one of: {', '.join(SHAPES)}")
    picture = draw(open_topology(source, members, rounds, seed), form)
    if out is None:
        sys.stdout.write(picture)
        return
    write_picture(picture, out, force=force)
    typer.echo(f"topology: {out}")
