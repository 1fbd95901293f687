"""`tirage improve`: one improvement round from a YAML file."""

from pathlib import Path
from typing import Annotated

import typer

from tirage.cli.display import LiveDisplay
from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.evaluation import print_report
from tirage.runtime.config import ImproveConfig
from tirage.runtime.config_files import load_config
from tirage.runtime.event_loop import run_sync
from tirage.runtime.improve import improve_round
from tirage.runtime.runs import RUNS


def improve(
    config: Annotated[Path | None, typer.Argument(help="YAML file; see examples/nano.yaml.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME by default.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key, e.g. --set model=hf/PATH; repeatable.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the YAML file and exit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run or resume one improvement round: measure, sample with hints, build rows, fine-tune, measure again.

    Example: tirage improve examples/nano.yaml
    """
    if schema:
        print_json(ImproveConfig.model_json_schema(), indent=1)
        return
    if config is None:
        raise typer.BadParameter("give a configuration file, e.g. examples/nano.yaml")
    chosen = load_config(ImproveConfig, config, settings or ())
    folder = run if run is not None else RUNS / chosen.name
    with LiveDisplay(quiet=as_json) as display:
        report = run_sync(improve_round(chosen, folder, display))
    if as_json:
        print((folder / "report.json").read_text(encoding="utf-8"))
        return
    print_report(report, console=SafeConsole())
    print(f"report: {folder / 'report.html'}")
