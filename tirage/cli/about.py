"""`tirage doctor`, `tirage models`, `tirage problems`: what is here, what is missing, what to do about it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tirage.cli.words import model_options
from tirage.core.errors import DataError
from tirage.problems import load_problems
from tirage.runtime.event_loop import run_sync
from tirage.runtime.machine import look_at_machine
from tirage.runtime.opening.models import FORMS, describe_model
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.verification.selfcheck import check_problems

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

problems_app = typer.Typer(help="Look at and check problem sets.", no_args_is_help=True)


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine has and what to install for the rest.

    Example: tirage doctor
    """
    findings = look_at_machine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
        return
    table = Table("part", "here", "detail", "remedy", title="tirage doctor")
    for finding in findings:
        table.add_row(finding.what, "[green]yes[/green]" if finding.here else "[yellow]no[/yellow]", finding.detail, finding.remedy)
    Console(highlight=False).print(table)


def models(
    model: Annotated[str | None, typer.Argument(help="Model string to open and probe; none lists the forms.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A key of model_options, such as model_options.chat_template=FILE; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the forms of model strings, or print what is known of one: its profile, and where each fact comes from.

    Of a folder neither weights are loaded nor a server is started; other models are opened and probed.

    Example: tirage models nano
    """
    if model is None:
        if as_json:
            print(json.dumps(FORMS))
            return
        table = Table("form", "what it is", title="model strings")
        for form, meaning in FORMS.items():
            table.add_row(form, meaning)
        Console(highlight=False).print(table)
        return
    options = model_options(settings)
    known = run_sync(describe_model(model, options))
    name, able, rows = known.name, known.capabilities, known.profile.rows()
    if as_json:
        told = {fact: {"value": value, "source": source} for fact, value, source in rows}
        print(json.dumps({"name": name, "profile": told, "capabilities": able}, ensure_ascii=False))
        return
    table = Table("fact", "value", "source", title=name)
    for fact, value, source in rows:
        table.add_row(fact, escape(_told(value, source)), source)
    Console(highlight=False).print(table)
    if able is not None:
        able_table = Table("capability", "declared")
        for key, value in able.items():
            able_table.add_row(key, str(value))
        Console(highlight=False).print(able_table)


def _told(value: object, source: str) -> str:
    """A fact in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        value = ", ".join(value) or None
    return ("?" if source == "unknown" else "none") if value is None else str(value)


@problems_app.command("show")
def show(
    problems: Annotated[str, typer.Argument(help="A problem file, nano:SPLIT or gym:FAMILY[,FAMILY].")],
    limit: Annotated[int, typer.Option(min=1, help="How many to print.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Print problems and their reference answers.

    Example: tirage problems show nano:heldout --limit 3
    """
    chosen = load_problems(parse_problems(problems, limit))
    for problem in chosen:
        if as_json:
            row = {"id": problem.id, "prompt": problem.prompt, "answer": problem.answer, "family": problem.family, "tier": problem.tier}
            print(json.dumps(row, ensure_ascii=False))
        else:
            Console(highlight=False).print(f"[bold]{problem.id}[/bold] {problem.family} {problem.tier}")
            print(f"{problem.prompt}\n-> {problem.answer}\n")


@problems_app.command("check")
def check(
    problems: Annotated[str, typer.Argument(help="A problem file, nano:SPLIT or gym:FAMILY[,FAMILY].")],
    limit: Annotated[int | None, typer.Option(min=1, help="Check only the first problems.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let every reference answer pass its own verifier, and a damaged one fail; exit 3 when some do not.

    Example: tirage problems check nano:heldout --limit 100
    """
    rows = run_sync(check_problems(load_problems(parse_problems(problems, limit))))
    if as_json:
        print(json.dumps([asdict(row) | {"ok": row.ok} for row in rows], ensure_ascii=False))
    else:
        table = Table("family", "verifier", "problems", "no reference", "reference passes", "damage caught")
        for row in rows:
            table.add_row(row.family, row.verifier, *map(str, (row.problems, row.without_reference, row.passed, row.caught)))
        Console(highlight=False).print(table)
        for row in rows:
            for fault in row.faults:
                print(f"{row.family}: {fault}")
    bad = [row.family for row in rows if not row.ok]
    if bad:
        raise DataError(f"the references of {', '.join(bad)} do not agree with their verifier; drop these problems or fix their answers")
