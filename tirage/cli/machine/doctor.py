"""`tirage doctor`: what this machine has, what is missing, and how to install it."""

from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.runtime.machine import look_at_machine


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine has and what to install for the rest.

    Example: tirage doctor
    """
    findings = look_at_machine()
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    table = Table("part", "here", "detail", "remedy", title="tirage doctor")
    for finding in findings:
        table.add_row(finding.what, Text("yes", "green") if finding.here else Text("no", "yellow"), finding.detail, finding.remedy)
    SafeConsole().print(table)
