"""`tirage eval critic`: does a model's critique lead to right answers? RealCritic's four modes on a problem set."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tirage.cli.display import LiveDisplay
from tirage.cli.files import run_folder
from tirage.cli.flags import (
    AsJson,
    Concurrency,
    Limit,
    Limits,
    MaxTokens,
    ModelName,
    ProblemsArgument,
    RunPath,
    Seed,
    Settings,
    Temperature,
)
from tirage.cli.terminal import SafeConsole, print_json
from tirage.cli.words import limits
from tirage.core.errors import ConfigError
from tirage.evaluation.figures import UNKNOWN, percent, points
from tirage.evaluation.intervals import Interval
from tirage.evaluation.realcritic import CritiqueRow
from tirage.problems import FileSource
from tirage.runtime.config import AgentConfig, ModelConfig, SamplingConfig
from tirage.runtime.config_files import with_settings
from tirage.runtime.critiques import MODES, CriticConfig, as_data, measure_critiques
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.systems.realcritic import CritiqueMode

FIGURES = "critic.json"

critic_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@critic_app.command()
def critic(
    problems: ProblemsArgument,
    model: ModelName = "nano",
    run: RunPath = None,
    modes: Annotated[str, typer.Option(help="Which of direct, self, cross, iterative.")] = ",".join(MODES),
    turns: Annotated[int, typer.Option(min=1, help="Critiques in a row of the iterative mode.")] = 3,
    student: Annotated[str | None, typer.Option(help="Model whose solutions are criticised; default: the critic's own.")] = None,
    solutions: Annotated[str | None, typer.Option(help="Column of the problem file with the solutions, instead of a student.")] = None,
    limit: Limit = None,
    temperature: Temperature = 0.0,
    max_tokens: MaxTokens = 1024,
    seed: Seed = 0,
    concurrency: Concurrency = 64,
    budget: Limits = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Measure critiques by the corrections they lead to: which right solutions stay right, which wrong ones are corrected.

    Example: tirage eval critic nano:heldout --limit 50 --model nano
    """
    source = parse_problems(problems, limit)
    if solutions is not None:
        if not isinstance(source, FileSource):
            raise ConfigError(f"--solutions {solutions!r} names a column of a problem file, and {problems} is none; leave it out")
        source = source.model_copy(update={"metadata_columns": (*source.metadata_columns, solutions)})
    flags = CriticConfig(
        model=model,
        problems=source,
        seed=seed,
        sampling=SamplingConfig(temperature=temperature, max_tokens=max_tokens),
        agent=AgentConfig(budget=limits(budget)),
        model_options=ModelConfig(concurrency=concurrency),
        turns=turns,
        student=student,
        solutions=solutions,
    )
    config = with_settings(flags, settings)
    folder = run_folder(run, "critic", config)
    wanted = _modes(modes)
    with LiveDisplay(quiet=as_json) as display:
        rows = run_sync(measure_critiques(config, wanted, folder, display))
    figures = {"model": config.model, "problems": problems, "rows": [as_data(row) for row in rows]}
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json({"run": str(folder), **figures})
        return
    SafeConsole().print(_table(rows))
    print(f"figures: {folder / FIGURES}")


def _modes(names: str) -> list[CritiqueMode]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in MODES:
            raise ConfigError(f"--modes: there is no mode {name!r}; modes: {', '.join(MODES)}")
    if not wanted:
        raise ConfigError(f"--modes is empty; modes: {', '.join(MODES)}")
    return [mode for mode in MODES if mode in wanted]


def _table(rows: Sequence[CritiqueRow]) -> Table:
    """Each figure above its interval."""
    over = "/".join(dict.fromkeys(row.over for row in rows if row.over))
    table = Table(
        title="Critiques by what became of the solutions",
        caption="none: critiques that lead to no answer, which count as wrong; 95 % intervals below, in points",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for name in ("mode", "n", "right, %", f"over {over}" if over else "", "right kept", "wrong fixed", "none"):
        table.add_column(name, justify="left" if name == "mode" else "right", no_wrap=True)
    for row in rows:
        counts = row.counts
        name = f"{row.mode} {row.turn}" if row.mode == "iterative" else row.mode
        cells = [name, str(row.problems), f"{percent(row.accuracy).removesuffix(' %')}\n{_band(row.interval)}"]
        if counts is not None:
            cells += [
                f"{points(row.improvement)}\n{_band(row.improvement_interval, '+')}",
                f"{counts.kept} of {counts.kept + counts.lost}\n{_band(row.kept)}",
                f"{counts.fixed} of {counts.fixed + counts.left}\n{_band(row.fixed)}",
                str(counts.no_correction),
            ]
        table.add_row(*cells)
    return table


def _band(interval: Interval | None, sign: str = "") -> str:
    """In whole points: the table has to fit a terminal."""
    if interval is None:
        return UNKNOWN
    low, high = (f"{100 * end:{sign}.0f}".replace("-", "−") for end in (interval.low, interval.high))
    return f"{low} to {high}"
