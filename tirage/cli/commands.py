"""The commands by name. A command's module is imported when the command runs, so that help and a slip of the finger are quick."""

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is."""

    module: str
    attribute: str
    """A function, or a `Typer` with commands of its own."""
    help: str
    """The first sentence of its help, for the list of commands."""
    command_class: str | None = None
    """`module:attribute` of the class that reads its words, if that is not Typer's."""


COMMANDS = {
    "solve": Place("solving.solve", "solve", "Solve one question: thinking, code, output and answer as they come."),
    "search": Place(
        "solving.search", "search", "Search for a solution on a tree: watched live, kept whole, resumed after an interruption."
    ),
    "rollout": Place(
        "evaluation.evaluate",
        "rollout",
        "Roll out problems into a run folder; interrupted runs resume, finished rollouts are never redone.",
    ),
    "resume": Place("solving.resume", "resume", "Resume a paused run; nothing that is recorded is asked again."),
    "eval": Place(
        "evaluation.evaluate",
        "evaluate",
        "Measure a model: accuracy with intervals, pass@k, maj@k, tool use, tokens, per family and tier; writes report.html.",
        "tirage.cli.evaluation.forms:EvalCommand",
    ),
    "compare": Place(
        "evaluation.evaluate",
        "compare",
        "Compare two runs on their common problems, or strategies at the same budget: difference, interval, paired test.",
    ),
    "improve": Place(
        "training.improve",
        "improve",
        "Run or resume one improvement round: measure, sample with hints, build rows, fine-tune, measure again.",
    ),
    "train": Place("training.train", "train", "Fine-tune a model on a dataset of token rows."),
    "mcp": Place(
        "machine.mcp", "mcp", "Serve tools and agents to programs that speak the Model Context Protocol: editors, chat hosts, other agents."
    ),
    "doctor": Place("machine.doctor", "doctor", "Say what this machine has and what to install for the rest."),
    "models": Place(
        "machine.models",
        "models",
        "List the forms of model strings, or print what is known of one: its profile, and where each fact comes from.",
    ),
    "trace": Place("traces.trace", "trace_app", "Look at stored rollouts, export them, and follow a checkpoint back to them."),
    "data": Place("data.datasets", "data_app", "Build training rows from stored rollouts, look at them, check them."),
    "index": Place("data.index", "index_app", "Collections of documents to retrieve from: one SQLite file each, no server."),
    "jobs": Place("training.train", "jobs_app", "Look at training jobs, follow and resume them."),
    "sandbox": Place("machine.sandbox", "sandbox_app", "Check the sandbox of this machine."),
    "tools": Place("machine.tools", "tools_app", "The tools that a policy can be given, and their cards."),
    "topology": Place("solving.topology", "topology_app", "Teams of agents: who speaks to whom, in how many rounds, and who decides."),
    "problems": Place("data.problems", "problems_app", "Look at and check problem sets."),
}


def load_command(name: str) -> Any:
    """The command `name` of `COMMANDS`, with its options; imports its module."""
    place = COMMANDS[name]
    target = getattr(importlib.import_module(f"tirage.cli.{place.module}"), place.attribute)
    command: Any
    if isinstance(target, typer.Typer):
        command = typer.main.get_group(target)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
        reader: type[TyperCommand] = TyperCommand
        if place.command_class is not None:
            module, _, attribute = place.command_class.partition(":")
            reader = getattr(importlib.import_module(module), attribute)
        alone.command(name, cls=reader)(target)
        command = typer.main.get_command(alone)
    command.name = name
    return command


class Commands(TyperGroup):
    """The group of all commands: lists them without importing them, and imports the one that runs."""

    def __init__(self, **settings: Any) -> None:
        """As Typer calls it."""
        super().__init__(**{**settings, "commands": {name: TyperCommand(name, help=place.help) for name, place in COMMANDS.items()}})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names, whole."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load_command(name), rest
