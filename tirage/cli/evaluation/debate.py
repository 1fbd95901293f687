"""`tirage eval debate`: models debate a problem set, every one against every other on both sides, and a judge decides."""

import json
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tirage.cli.display import LiveDisplay
from tirage.cli.files import run_folder
from tirage.cli.flags import AsJson, Concurrency, Limit, Limits, MaxTokens, RunPath, Seed, Settings, Temperature
from tirage.cli.terminal import SafeConsole, print_json
from tirage.cli.words import limits
from tirage.core.errors import ConfigError
from tirage.evaluation.figures import band, percent
from tirage.evaluation.tournament import Share, Tournament, rank, schedule
from tirage.runtime.config import ModelConfig, SamplingConfig
from tirage.runtime.config_files import with_settings
from tirage.runtime.debates import DebateConfig, hold_debates, tournament_figures
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.problem_sets import parse_problems

FIGURES = "tournament.json"

debate_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@debate_app.command()
def debate(
    models: Annotated[str, typer.Option(help="The debaters, two or more model strings with commas between.", show_default=False)],
    judge: Annotated[str, typer.Option(help="The judge's model; better none of the debaters.", show_default=False)],
    problems: Annotated[
        str, typer.Option("--problems", "-p", help="A file, nano:SPLIT or gym:FAMILY[,FAMILY]; with answers.", show_default=False)
    ],
    run: RunPath = None,
    limit: Limit = None,
    least: Annotated[int, typer.Option("--min-rounds", min=1, help="Rounds before the judge is asked.")] = 2,
    most: Annotated[int, typer.Option("--max-rounds", min=1, help="Rounds after which the judge has to decide.")] = 5,
    both_orders: Annotated[bool, typer.Option("--both-orders", help="Ask the judge in both orders; doubles its calls.")] = False,
    keep_options: Annotated[bool, typer.Option("--keep-options", help="Leave multiple-choice options in the question.")] = False,
    temperature: Temperature = 0.7,
    max_tokens: MaxTokens = 1024,
    seed: Seed = 0,
    concurrency: Concurrency = 64,
    budget: Limits = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Rank models by debates: one defends the official answer, one another answer, a judge who knows neither decides; then swapped.

    Example: tirage eval debate --models openai/gpt-4o,openai/gpt-4o-mini --judge openai/gpt-4.1 --problems mmlu.jsonl --limit 20
    """
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    try:
        schedule(names)
    except ValueError as error:
        raise ConfigError(f"--models: {error}") from None
    if least > most:
        raise ConfigError(f"--min-rounds {least} is more than --max-rounds {most}")
    flags = DebateConfig(
        models=names,
        judge=judge,
        problems=parse_problems(problems, limit),
        least=least,
        most=most,
        both_orders=both_orders,
        keep_options=keep_options,
        seed=seed,
        sampling=SamplingConfig(temperature=temperature, max_tokens=max_tokens),
        model_options=ModelConfig(concurrency=concurrency),
        budget=limits(budget),
    )
    config = with_settings(flags, settings)
    folder = run_folder(run, "debate", config)
    with LiveDisplay(quiet=as_json) as display:
        endings = run_sync(hold_debates(config, folder, display))
    table = rank([match for match, _ in endings], names, seed=seed)
    figures = tournament_figures(table, [ending for _, ending in endings])
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json({"run": str(folder), **figures})
        return
    _tell(table, figures)
    print(f"figures: {folder / FIGURES}")


def _tell(table: Tournament, figures: dict[str, Any]) -> None:
    shown = Table(title="Debates", caption="95 % intervals below", box=SIMPLE_HEAD, title_justify="left")
    for name in ("model", "wins", "won", "defending", "challenging", "rating"):
        shown.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for row in table.standings:
        shown.add_row(row.model, str(row.wins), *map(_cell, (row.total, row.pro, row.con)), f"{row.rating:.0f}")
    console = SafeConsole()
    console.print(shown)
    console.print(
        f"{table.matches} debates: {table.balanced} count (decided both ways), {table.undecided} undecided ({figures['void']} void), "
        f"{figures['forced']} decided by the burden of proof; the official answer held in {percent(table.pro.rate)}"
    )


def _cell(share: Share) -> str:
    return f"{percent(share.rate)} of {share.of}\n{band(share.interval)}"
