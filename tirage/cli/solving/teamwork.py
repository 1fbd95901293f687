"""A team at work on one question, with a person between its turns where one is wanted."""

import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from tirage.agents.driver import StepEvent
from tirage.cli.files import check_place, write_picture
from tirage.cli.solving.solve import check_answered, show_end, show_step
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.errors import ConfigError
from tirage.runtime.event_loop import run_sync
from tirage.runtime.solving import Solution, as_data
from tirage.runtime.team_runs import TeamRun, Waiting
from tirage.teams.pictures import TopologyForm, draw
from tirage.teams.team import tokens_per_edge
from tirage.workflows.approval import Action, ApprovalDecision, ApprovalRequest, Paused

WAITS = 7
"""Exit code of a run that waits for a decision."""
_FORMS: dict[str, TopologyForm] = {".html": "html", ".dot": "dot", ".mmd": "mermaid", ".json": "json", ".txt": "ascii"}


class Terminal:
    """Asks whoever sits at the terminal; nobody does where standard input is none."""

    def __init__(self, console: Console) -> None:
        """`console`: where the turn is shown."""
        self._console = console

    async def decide(self, request: ApprovalRequest) -> ApprovalDecision | None:
        """The answer typed in; None for `pause` and without a terminal."""
        if not sys.stdin.isatty():
            return None
        self._console.print(Text.assemble("\n", (request.role, "bold"), " wrote:"))
        self._console.print(request.text)
        words = {"a": Action.APPROVE, "m": Action.MODIFY, "r": Action.REJECT, "e": Action.ESCALATE, "t": Action.TERMINATE}
        word = ""
        while word not in (*words, "p"):
            word = typer.prompt("[a]pprove, [m]odify, [r]eject, [e]scalate, [t]erminate, [p]ause")[:1].lower()
        if word == "p":
            return None
        text = typer.prompt("its new text" if word == "m" else "why") if word in "mr" else ""
        return ApprovalDecision(action=words[word], text=text, by="the person at the terminal")


def perform(waiting: Waiting, *, out: Path | None, force: bool, as_json: bool) -> None:
    """Run the team to its end, or until a turn waits: then the exit code is `WAITS`. Where the picture goes is checked before."""
    if out is not None:
        if out.suffix not in _FORMS:
            raise ConfigError(f"{out}: pictures end in {', '.join(_FORMS)}")
        check_place(out, force=force)
    run, console = waiting.run, SafeConsole(soft_wrap=True)
    if not as_json:
        waiting.gate.approvers = [Terminal(console)]

    def show(event: StepEvent) -> None:
        console.print(f"── {event.node.move}", style="bold")
        show_step(console, event, several=False)

    try:
        solution = run_sync(waiting.perform(None if as_json else show))
    except Paused as paused:
        _tell_paused(waiting, paused, as_json=as_json)
        raise typer.Exit(WAITS) from None
    _tell_end(console, run, solution, out=out, force=force, as_json=as_json)
    check_answered(solution)


def _tell_paused(waiting: Waiting, paused: Paused, *, as_json: bool) -> None:
    request = paused.request
    if as_json:
        file = None if waiting.file is None else str(waiting.file)
        print_json({"waits": {"role": request.role, "text": request.text, "level": request.level}, "file": file})
        return
    how = "it was not kept: give --pause FILE" if waiting.file is None else f"go on with: tirage resume {waiting.file} --approve"
    SafeConsole(stderr=True, soft_wrap=True).print(f"\n{paused}; {how}")


def _tell_end(console: Console, run: TeamRun, solution: Solution, *, out: Path | None, force: bool, as_json: bool) -> None:
    ledger = tokens_per_edge(run.topology, solution.tree)
    if out is not None:
        write_picture(draw(run.topology, _FORMS[out.suffix], ledger), out, force=force)
    if as_json:
        edges = [{"from": speaker, "to": listener, "tokens": tokens} for (speaker, listener), tokens in ledger.items()]
        print_json({**as_data(solution), "edges": edges})
        return
    show_end(console, solution)
    for (speaker, listener), tokens in ledger.items():
        console.print(f"{speaker} -> {listener}: {tokens} tokens", style="dim")
    if out is not None:
        console.print(f"who spoke to whom: {out}")
