"""`tirage problems`: look at problem sets and check their reference answers."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.errors import DataError
from tirage.problems import load_problems
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.verification.selfcheck import check_problems

problems_app = typer.Typer(help="Look at and check problem sets.", no_args_is_help=True)


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
    console = SafeConsole(soft_wrap=True)
    for problem in chosen:
        if as_json:
            row = {"id": problem.id, "prompt": problem.prompt, "answer": problem.answer, "family": problem.family, "tier": problem.tier}
            print_json(row)
        else:
            console.print(Text(problem.id, "bold"), problem.family, problem.tier)
            console.print(f"{problem.prompt}\n-> {problem.answer}\n")


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
        print_json([asdict(row) | {"ok": row.ok} for row in rows])
    else:
        table = Table("family", "verifier", "problems", "no reference", "reference passes", "damage caught")
        for row in rows:
            table.add_row(row.family, row.verifier, *map(str, (row.problems, row.without_reference, row.passed, row.caught)))
        SafeConsole().print(table)
        for row in rows:
            for fault in row.faults:
                SafeConsole(soft_wrap=True).print(f"{row.family}: {fault}")
    bad = [row.family for row in rows if not row.ok]
    if bad:
        raise DataError(f"the references of {', '.join(bad)} do not agree with their verifier; drop these problems or fix their answers")
