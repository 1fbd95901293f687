"""`tirage topology`: teams of agents, who speaks to whom."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tirage.cli.evaluation.evaluate import compare as compare_all
from tirage.cli.files import check_place, write_picture
from tirage.cli.flags import (
    Answer,
    AsJson,
    Force,
    Limit,
    Limits,
    MaxTokens,
    Members,
    ModelName,
    Rounds,
    RunPath,
    Seed,
    Settings,
    Temperature,
)
from tirage.cli.solving.teamwork import perform
from tirage.cli.terminal import print_json
from tirage.cli.words import limits
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.runtime.config import AgentConfig, SamplingConfig
from tirage.runtime.config_files import with_settings
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.runtime.opening.topologies import checked_models, open_topology, topology_for
from tirage.runtime.team_runs import TeamRun, Waiting
from tirage.runtime.team_training import LEARNERS, TeachConfig, check_learner, teach
from tirage.teams.pictures import TopologyForm, draw
from tirage.teams.spec import TopologySpec
from tirage.teams.stock import SHAPES
from tirage.teams.team import with_saboteur
from tirage.workflows.approval import PausedLog

topology_app = typer.Typer(help="Teams of agents: who speaks to whom, in how many rounds, and who decides.", no_args_is_help=True)

_SHAPES = "\n\n".join(["Stock topologies:", *(f"{name}: {shape.what}" for name, shape in SHAPES.items())])


@topology_app.command("show", epilog=f"Example: tirage topology show debate --members 3 --format html --out debate.html\n\n{_SHAPES}")
def show(
    source: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="A stock topology, a YAML file, or what was learned.", show_default=False)
    ] = None,
    form: Annotated[
        TopologyForm, typer.Option("--format", "-f", help="ascii to read here, html to look at, the others for other tools.")
    ] = "ascii",
    members: Members = None,
    rounds: Rounds = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="File to write.", show_default="standard output")] = None,
    force: Force = False,
    query: Annotated[str, typer.Option(help="For a learned topology: the problem that it is decoded for.")] = "",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the YAML file and exit.")] = False,
) -> None:
    """Draw a topology, or what was learned, decoded for a query."""
    if schema:
        print_json(TopologySpec.model_json_schema(), indent=1)
        return
    if source is None:
        raise typer.BadParameter(f"name a file or one of: {', '.join(SHAPES)}")
    picture = draw(topology_for(source, query, members, rounds, seed), form)
    if out is None:
        sys.stdout.write(picture)
        return
    write_picture(picture, out, force=force)
    typer.echo(f"topology: {out}")


@topology_app.command(
    "run", epilog=f"Example: tirage topology run planner-executor-critic 'What is 17 * 23 - 4?' --approve planner\n\n{_SHAPES}"
)
def run(
    source: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Stock topology, YAML file, or what was learned.", show_default=False)],
    question: Annotated[str, typer.Argument(help="The question.", show_default=False)],
    model: ModelName = "nano",
    answer: Answer = None,
    members: Members = None,
    rounds: Rounds = None,
    approve: Annotated[list[str] | None, typer.Option(help="Member whose turns wait for a person; repeatable.")] = None,
    pause: Annotated[Path | None, typer.Option(help="File that keeps the run while a turn waits; `tirage resume FILE` goes on.")] = None,
    saboteur: Annotated[str | None, typer.Option(help="Member who misleads the others, to see what the team withstands.")] = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    budget: Limits = None,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option("--out", help="Picture of who spoke to whom: .html, .dot, .mmd, .json, .txt.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Let a team work on one question."""
    team = topology_for(source, question, members, rounds)
    if saboteur is not None:
        team = with_saboteur(team, saboteur)
    if pause is not None and pause.exists() and not force:
        raise ConfigError(f"{pause} exists; go on with it (tirage resume {pause}), give another file, or replace it (--force)")
    made = TeamRun(
        topology=team,
        model=model,
        models=checked_models(team, source, (model,)),
        approve=tuple(approve or ()),
        temperature=temperature,
        max_tokens=max_tokens,
        budget=limits(budget),
        settings=tuple(settings or ()),
    )
    perform(Waiting(made, Problem(prompt=question, answer=answer), PausedLog(), pause), out=out, force=force, as_json=as_json)


@topology_app.command("train", epilog="Example: tirage topology train single --members 4 --problems nano:train --out who.safetensors")
def train(
    source: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The team whose edges are learned.", show_default=False)],
    problems: Annotated[str, typer.Option("--problems", "-p", help="A file, nano:SPLIT or gym:FAMILY[,FAMILY].", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Where it is kept: .safetensors for gdesigner, .json for edges.")],
    learner: Annotated[str, typer.Option(help=f"{' or '.join(LEARNERS)}: edges by the problem, or the same for all.")] = "gdesigner",
    model: ModelName = "nano",
    queries: Annotated[int, typer.Option(min=1, help="Problems to learn from.")] = 40,
    batch: Annotated[int, typer.Option(min=1, help="Problems between two steps.")] = 4,
    price: Annotated[float, typer.Option(min=0, help="Utility that 1,000 sampled tokens cost.")] = 0.1,
    members: Members = None,
    rounds: Rounds = None,
    temperature: Temperature = None,
    seed: Seed = 0,
    budget: Limits = None,
    settings: Settings = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder; the same folder resumes.", show_default="beside --out, ending in .run")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Learn who should speak to whom from what teams achieve; then `topology run FILE`, or `topology show FILE --query`."""
    check_learner(learner, out)
    check_place(out, force=force)
    team = open_topology(source, members, rounds)
    flags = TeachConfig(
        team=team.to_dict(),
        learner=learner,
        batch=batch,
        price=price,
        model=model,
        problems=parse_problems(problems, queries),
        agent=AgentConfig(name="team", models=tuple({m.model: None for m in team.members if m.model}), budget=limits(budget)),
        sampling=SamplingConfig(temperature=temperature),
        seed=seed,
    )
    config = with_settings(flags, settings)
    folder = out.with_suffix(".run") if run is None else run
    taught = run_sync(teach(config, out, folder, (lambda text: None) if as_json else typer.echo))
    if as_json:
        batches = [asdict(step) for step in taught.batches]
        print_json({"learned": str(out), "run": str(folder), "resumed": taught.resumed, "batches": batches})
        return
    typer.echo(f"learned: {out} (tirage topology show {out} --query ...); what the teams did: {folder}")


@topology_app.command("compare", epilog="Example: tirage topology compare single,chain,debate --problems nano:heldout --budget tokens=1000")
def compare(
    names: Annotated[str, typer.Argument(help="Stock topologies and files, with commas; strategies and agents too.", show_default=False)],
    problems: Annotated[str, typer.Option("--problems", "-p", help="A file, nano:SPLIT or gym:FAMILY[,FAMILY].", show_default=False)],
    model: ModelName = "nano",
    budget: Limits = None,
    limit: Limit = None,
    settings: Settings = None,
    run: RunPath = None,
    as_json: AsJson = False,
) -> None:
    """Topologies on the same problems at the same budget: `tirage compare --strategies` by another name."""
    compare_all(strategies=names, problems=problems, model=model, budget=budget, limit=limit, settings=settings, run=run, as_json=as_json)
