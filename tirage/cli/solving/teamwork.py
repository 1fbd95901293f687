"""A team at work on one question, with a person between its turns where one is wanted."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from tirage.agents.driver import StepEvent
from tirage.cli.files import check_place, write_picture
from tirage.cli.solving.solve import show_end, show_step
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.runtime.config import AgentConfig, SamplingConfig
from tirage.runtime.solving import Solution, as_data, run_sync, solve_async
from tirage.teams.pictures import Form, draw
from tirage.teams.team import tokens_per_edge
from tirage.teams.topology import Topology
from tirage.workflows.approval import Action, ApprovalGate, Decision, Paused, PausedRun, Record, Request

WAITS = 7
"""Exit code of a run that waits for a decision."""
_FORMS: dict[str, Form] = {".html": "html", ".dot": "dot", ".mmd": "mermaid", ".json": "json", ".txt": "ascii"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRun:
    """What makes a run, in a form that a paused one keeps."""

    topology: Topology
    model: str = "nano"
    models: tuple[str, ...] = ()
    approve: tuple[str, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    tokens: int | None = None

    def as_data(self) -> dict[str, Any]:
        """JSON data."""
        data = {name: getattr(self, name) for name in ("model", "models", "approve", "temperature", "max_tokens", "tokens")}
        return {**data, "models": list(self.models), "approve": list(self.approve), "topology": self.topology.to_dict()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "TeamRun":
        """Back from `as_data`. Raises `DataError` for other data."""
        try:
            given = dict(data)
            topology = Topology.from_dict(given.pop("topology"))
            return cls(topology=topology, **{**given, "models": tuple(given["models"]), "approve": tuple(given["approve"])})
        except (KeyError, TypeError) as error:
            raise DataError(f"the paused run is of no team that this version knows ({error})") from error


@dataclass(slots=True)
class Waiting:
    """Writes a run down whenever a turn waits."""

    run: TeamRun
    problem: Problem
    record: Record
    file: Path | None
    gate: ApprovalGate = field(init=False)

    def __post_init__(self) -> None:
        """The gate has nobody in charge until the caller puts somebody there."""
        self.gate = ApprovalGate(on_wait=self.keep)

    def keep(self, request: Request | None) -> None:
        """Write the run as it stands."""
        if self.file is not None:
            decided = {str(number): decision for number, decision in self.gate.decided.items()}
            settled = tuple(self.record.settled)
            run = self.run.as_data()
            PausedRun(problem=self.problem, seed=0, agent=run, settled=settled, decided=decided, waiting=request).save(self.file)


class Terminal:
    """Asks whoever sits at the terminal; nobody does where standard input is none."""

    def __init__(self, console: Console) -> None:
        """`console`: where the turn is shown."""
        self._console = console

    async def decide(self, request: Request) -> Decision | None:
        """The answer typed in; None for `pause` and without a terminal."""
        if not sys.stdin.isatty():
            return None
        self._console.print(f"\n[bold]{request.role}[/bold] wrote:", highlight=False)
        self._console.print(request.text, markup=False, highlight=False)
        words = {"a": Action.APPROVE, "m": Action.MODIFY, "r": Action.REJECT, "e": Action.ESCALATE, "t": Action.TERMINATE}
        word = ""
        while word not in (*words, "p"):
            word = typer.prompt("[a]pprove, [m]odify, [r]eject, [e]scalate, [t]erminate, [p]ause")[:1].lower()
        if word == "p":
            return None
        text = typer.prompt("its new text" if word == "m" else "why") if word in "mr" else ""
        return Decision(action=words[word], text=text, by="the person at the terminal")


def perform(waiting: Waiting, *, out: Path | None, force: bool, as_json: bool) -> None:
    """Run the team to its end, or until a turn waits: then the exit code is `WAITS`. Where the picture goes is checked before."""
    if out is not None:
        if out.suffix not in _FORMS:
            raise ConfigError(f"{out}: pictures end in {', '.join(_FORMS)}")
        check_place(out, force=force)
    run, console = waiting.run, Console(highlight=False, soft_wrap=True)
    if not as_json:
        waiting.gate.approvers = [Terminal(console)]

    def show(event: StepEvent) -> None:
        console.print(f"── {event.node.move}", style="bold")
        show_step(console, event, several=False)

    options = {"topology": run.topology, "gate": waiting.gate, "approve": run.approve}
    try:
        solution = run_sync(
            solve_async(
                waiting.problem,
                model=run.model,
                agent=AgentConfig(name="team", options=options, models=run.models),
                sampling=SamplingConfig(temperature=run.temperature, max_tokens=run.max_tokens),
                budget=Budget(tokens_out=run.tokens),
                on_step=None if as_json else show,
                log=waiting.record,
            )
        )
    except Paused as paused:
        _tell_paused(waiting, paused, as_json=as_json)
        raise typer.Exit(WAITS) from None
    waiting.keep(None)
    _tell_end(console, run, solution, out=out, force=force, as_json=as_json)


def _tell_paused(waiting: Waiting, paused: Paused, *, as_json: bool) -> None:
    request = paused.request
    if as_json:
        file = None if waiting.file is None else str(waiting.file)
        print(json.dumps({"waits": {"role": request.role, "text": request.text, "level": request.level}, "file": file}, ensure_ascii=False))
        return
    how = "it was not kept: give --pause FILE" if waiting.file is None else f"go on with: tirage resume {waiting.file} --approve"
    typer.echo(f"\n{paused}; {how}", err=True)


def _tell_end(console: Console, run: TeamRun, solution: Solution, *, out: Path | None, force: bool, as_json: bool) -> None:
    ledger = tokens_per_edge(run.topology, solution.tree)
    if out is not None:
        write_picture(draw(run.topology, _FORMS[out.suffix], ledger), out, force=force)
    if as_json:
        edges = [{"from": speaker, "to": listener, "tokens": tokens} for (speaker, listener), tokens in ledger.items()]
        print(json.dumps({**as_data(solution), "edges": edges}, ensure_ascii=False))
        return
    show_end(console, solution)
    for (speaker, listener), tokens in ledger.items():
        console.print(f"{speaker} -> {listener}: {tokens} tokens", style="dim", markup=False)
    if out is not None:
        console.print(f"who spoke to whom: {out}", markup=False)
