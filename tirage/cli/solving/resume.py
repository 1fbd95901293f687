"""`tirage resume`: a run that waits for a decision goes on."""

from pathlib import Path
from typing import Annotated

import typer

from tirage.cli.flags import AsJson
from tirage.cli.solving.teamwork import perform
from tirage.core.errors import ConfigError
from tirage.core.extension import refuse_foreign
from tirage.runtime.team_runs import TeamRun, Waiting
from tirage.workflows.approval import Action, ApprovalDecision, PausedLog, PausedRun


def resume(
    file: Annotated[Path, typer.Argument(help="What `tirage topology run --pause FILE` wrote.")],
    approve: Annotated[bool, typer.Option("--approve", help="Go on with the turn as it stands.")] = False,
    modify: Annotated[str | None, typer.Option(metavar="TEXT", help="Go on with this text instead.")] = None,
    reject: Annotated[str | None, typer.Option(metavar="WHY", help="Have the turn taken again; the role is told why.")] = None,
    escalate: Annotated[bool, typer.Option("--escalate", help="Leave it to the next in charge: the file then waits for them.")] = False,
    terminate: Annotated[bool, typer.Option("--terminate", help="End the run with the best answer so far.")] = False,
    by: Annotated[str, typer.Option(help="Who decides.")] = "",
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="A module:attribute that the run uses; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Picture of who spoke to whom: .html, .dot, .mmd, .json, .txt.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the picture that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Resume a paused run; nothing that is recorded is asked again. Without a decision the terminal asks for one.

    Example: tirage resume run.json --reject "Step 2 divides by zero."
    """
    given = [
        *([ApprovalDecision(action=Action.APPROVE, by=by)] if approve else []),
        *([ApprovalDecision(action=Action.MODIFY, text=modify, by=by)] if modify is not None else []),
        *([ApprovalDecision(action=Action.REJECT, text=reject, by=by)] if reject is not None else []),
        *([ApprovalDecision(action=Action.ESCALATE, by=by)] if escalate else []),
        *([ApprovalDecision(action=Action.TERMINATE, by=by)] if terminate else []),
    ]
    if len(given) > 1:
        raise ConfigError("a turn takes one decision: give one of --approve, --modify, --reject, --escalate, --terminate")
    paused = PausedRun.load(file)
    if paused.waiting is None:
        raise ConfigError(f"{file} has ended; nothing waits in it")
    run = TeamRun.from_data(paused.agent)
    for name in (run.model, *run.models):
        if name not in (model or ()):
            refuse_foreign(name, str(file), f"name it yourself: --model {name}")
    waiting = Waiting(run, paused.problem, PausedLog(paused.settled), file)
    waiting.gate.decided = {int(number): decision for number, decision in paused.decided.items()}
    if given:
        waiting.gate.decided[paused.waiting.number] = given[0]
    perform(waiting, out=out, force=force, as_json=as_json)
