"""`tirage doctor`: what this machine has, what is missing, and how to install it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tirage.runtime.machine import look_at_machine


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
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
