"""`tirage train` and `tirage jobs`: rows to a checkpoint, watched, resumable."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from tirage.cli.data.datasets import DatasetArgument, SetOption, parse_settings
from tirage.cli.display import LiveDisplay
from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.errors import ConfigError, DataError
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.models import weights_of
from tirage.training.job import Checkpoint, run_job
from tirage.training.job_folder import LIVE, JobFolder, JobState
from tirage.training.metrics import StepMetrics, read_metrics
from tirage.training.spec import SFTSettings, SFTSpec

jobs_app = typer.Typer(help="Look at training jobs, follow and resume them.", no_args_is_help=True)

JobArgument = Annotated[Path, typer.Argument(metavar="JOB", help="Job folder (the one with job.json).", show_default=False)]
_COLOURS = {JobState.SUCCEEDED: "green", JobState.FAILED: "red", JobState.LOST: "red", JobState.CANCELLED: "yellow"}


def train(
    dataset: DatasetArgument,
    init: Annotated[str, typer.Option("--init", help="Model string or folder to start from, e.g. nano.")],
    out: Annotated[Path, typer.Option("--out", help="Job folder; the checkpoint lands in its `checkpoint/`.")],
    settings: SetOption = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model on a dataset of token rows. The same command resumes an interrupted job.

    Settings are those of `SFTSettings`: epochs, max_steps, learning_rate, batch_size, lora_rank, device and so on.

    Example: tirage train rows --init nano --out jobs/first --set epochs=3
    """
    folder = Path(init) if Path(init).is_dir() else Path(weights_of(init))
    chosen = parse_settings(settings or ())
    try:
        spec = SFTSpec(**chosen | {"dataset": dataset, "init_from": folder, "init_name": init})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"--set {where}: {first['msg']}; settings: {', '.join(sorted(SFTSettings.model_fields))}") from error
    _run(out, spec, as_json)


@jobs_app.command("ls", epilog="Example: tirage jobs ls runs")
def ls(
    root: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Look for jobs below this folder.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """List jobs with state, progress and loss."""
    found = [JobFolder(path.parent) for path in sorted(root.rglob("job.json"))]
    if as_json:
        for folder in found:
            print_json(_summary(folder))
        return
    table = Table(box=None)
    for name in ("job", "state", "step", "loss", "changed", "why"):
        table.add_column(name, overflow="fold")
    for folder in found:
        facts = _summary(folder)
        state = Text(facts["state"] + (f" ({facts['failure']})" if facts["failure"] else ""), style=_COLOURS.get(facts["state"], ""))
        loss = "" if facts["loss"] is None else f"{facts['loss']:.3f}"
        table.add_row(str(folder.path), state, f"{facts['step']}/{facts['steps']}", loss, _ago(facts["changed_at"]), facts["message"])
    SafeConsole().print(table if found else f"no jobs below {root}")


@jobs_app.command("logs", epilog="Example: tirage jobs logs jobs/first --follow")
def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the trainer ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", min=1, help="Start with so many last lines.")] = 40,
) -> None:
    """Print a job's log."""
    folder = _known(job)
    if not folder.log.is_file():
        raise DataError(f"job {job} has no log yet")
    with folder.log.open(errors="replace") as log:
        print("".join(log.readlines()[-lines:]), end="", flush=True)
        while follow:
            alive = folder.trainer_alive()
            text = log.read()
            print(text, end="", flush=True)
            if not alive and not text:
                break
            time.sleep(0.2)


@jobs_app.command("resume", epilog="Example: tirage jobs resume jobs/first")
def resume(job: JobArgument, as_json: AsJson = False) -> None:
    """Go on with a job that was interrupted, cancelled or failed."""
    _run(job, _known(job).read_spec(), as_json)


def _run(out: Path, spec: SFTSpec, as_json: bool) -> None:
    with LiveDisplay(quiet=as_json) as display:
        checkpoint = run_sync(run_job(out, spec, lambda job: display.job(out.name, job.step, job.steps, job.loss)))
    if as_json:
        print_json(_plain(checkpoint))
        return
    first, last = checkpoint.job.get("first_loss"), checkpoint.job.get("last_loss")
    losses = f", loss {first:.3f} -> {last:.3f}" if first is not None and last is not None else ""
    print(f"checkpoint {checkpoint.path} ({checkpoint.sha256[:12]}): {checkpoint.steps} steps{losses}")
    left_out = checkpoint.job.get("rows_too_long", 0), checkpoint.job.get("rows_fully_masked", 0)
    if any(left_out):
        print(f"left out: {left_out[0]} rows longer than the model's context or max_length, {left_out[1]} without a trained token")


def _known(job: Path) -> JobFolder:
    folder = JobFolder(job)
    if folder.read() is None:
        raise DataError(f"{job} is not a job folder: it has no job.json")
    return folder


def _summary(folder: JobFolder) -> dict[str, Any]:
    record = folder.status()
    metrics: list[StepMetrics] = read_metrics(folder.metrics)
    last = metrics[-1] if metrics else None
    return {
        "job": str(folder.path),
        "state": record.state if record else "",
        "failure": record.failure if record else None,
        "message": record.message if record else "",
        "live": record is not None and record.state in LIVE,
        "attempt": record.attempt if record else 0,
        "changed_at": record.changed_at if record else 0.0,
        "step": last.step if last else 0,
        "steps": last.steps if last else 0,
        "loss": last.loss if last else None,
    }


def _ago(moment: float) -> str:
    seconds = max(0, int(time.time() - moment))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _plain(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"checkpoint": str(checkpoint.path), "sha256": checkpoint.sha256, "steps": checkpoint.steps, "job": dict(checkpoint.job)}
