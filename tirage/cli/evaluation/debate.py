"""`tirage eval debate`: models debate a problem set, every one against every other on both sides, and a judge decides."""

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tirage.cli.display import LiveDisplay
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.evaluation.figures import band, percent
from tirage.evaluation.tournament import Match, Share, Tournament, rank, schedule
from tirage.judging.judges import BothOrders
from tirage.models.base import Model
from tirage.models.profile import Profile, resolve_sampling
from tirage.problems import ProblemSource, load_problems
from tirage.rollouts.runner import Progress, Runner, Stage, unique
from tirage.runtime.config import ModelConfig, SamplingConfig, Strict
from tirage.runtime.config_files import config_hash
from tirage.runtime.opening import open_model, parse_problems
from tirage.runtime.runs import RunFolder
from tirage.runtime.solving import run_sync
from tirage.systems.debate import CON, JUDGE, PRO, Debate, Ending, read_ending, without_options
from tirage.traces.jsonl import TraceStore
from tirage.verification.verifiers import Verifiers
from tirage.workflows.role_models import RoleModels
from tirage.workflows.workflow import WorkflowAgent

FIGURES = "tournament.json"


class DebateConfig(Strict):
    """What a tournament is told."""

    models: tuple[str, ...] = Field(description="model strings of the debaters")
    judge: str = Field(description="model string of the judge")
    problems: ProblemSource = Field(description="what is debated; problems need a reference answer")
    least: int = Field(2, ge=1, description="rounds before the judge is asked")
    most: int = Field(5, ge=1, description="rounds after which the judge has to decide")
    both_orders: bool = Field(False, description="ask the judge in both orders of the debaters; no agreement is another round")
    keep_options: bool = Field(False, description="leave the options of multiple-choice problems in")
    seed: int = Field(0, description="every draw derives from it and from what is drawn")
    sampling: SamplingConfig = Field(SamplingConfig(), description="how a debater's turn is sampled; the judge is greedy")
    model_options: ModelConfig = Field(ModelConfig(), description="how the models are opened and called")


debate_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@debate_app.command()
def debate(
    models: Annotated[str, typer.Option(help="The debaters, two or more model strings with commas between.", show_default=False)],
    judge: Annotated[str, typer.Option(help="The judge's model; better none of the debaters.", show_default=False)],
    problems: Annotated[
        str, typer.Option("--problems", "-p", help="A file, nano:SPLIT or gym:FAMILY[,FAMILY]; with answers.", show_default=False)
    ],
    run: Annotated[Path | None, typer.Option("--run", help="Run folder; the same folder resumes.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first problems.")] = None,
    least: Annotated[int, typer.Option("--min-rounds", min=1, help="Rounds before the judge is asked.")] = 2,
    most: Annotated[int, typer.Option("--max-rounds", min=1, help="Rounds after which the judge has to decide.")] = 5,
    both_orders: Annotated[bool, typer.Option("--both-orders", help="Ask the judge in both orders; doubles its calls.")] = False,
    keep_options: Annotated[bool, typer.Option("--keep-options", help="Leave multiple-choice options in the question.")] = False,
    temperature: Annotated[float, typer.Option(min=0, help="Of the debaters; the judge is greedy.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1, help="Per turn.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Debates in flight.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
    config = DebateConfig(
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
    )
    folder = run if run is not None else Path("runs") / f"debate-{config_hash(config)}"
    endings = hold(config, folder, quiet=as_json)
    table = rank([match for match, _ in endings], names, seed=seed)
    figures = _figures(table, [ending for _, ending in endings])
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps({"run": str(folder), **figures}))
        return
    _tell(table, figures)
    print(f"figures: {folder / FIGURES}")


def hold(config: DebateConfig, folder: Path, *, quiet: bool) -> list[tuple[Match, Ending]]:
    """Hold the debates that are missing, and read all of them back."""
    problems = unique(load_problems(config.problems))
    if not config.keep_options:
        problems = unique(without_options(problem) for problem in problems)
    stages = {f"{pro} vs {con}": (pro, con) for pro, con in schedule(config.models)}
    with RunFolder(folder, config) as run, LiveDisplay(quiet=quiet) as display:
        run_sync(_play(config, run, display, stages, problems))
    found = []
    for item in TraceStore(folder).read():
        ending, (pro, con) = read_ending(item.tree), stages[item.stage]
        found.append((Match(item=item.problem.id, pro=pro, con=con, winner=ending.winner), ending))
    return found


async def _play(
    config: DebateConfig, run: RunFolder, display: LiveDisplay, stages: dict[str, tuple[str, str]], problems: tuple[Problem, ...]
) -> None:
    """What is missing of every pair of models; no model is opened when nothing is."""
    if all(run.finished(name, problems, 1) == len(problems) for name in stages):
        return
    sampling = resolve_sampling(config.sampling.model_dump(), {}, Profile())
    workflow = Debate(least=config.least, most=config.most, review=BothOrders if config.both_orders else None)

    def show(progress: Progress) -> None:
        # A debate is neither right nor wrong.
        display.stage(replace(progress, graded=0, correct=0))

    async with AsyncExitStack() as stack, Verifiers() as verifiers:
        opened: dict[str, Model] = {}
        for name in dict.fromkeys((*config.models, config.judge)):
            opened[name] = await open_model(name, config.model_options)
            stack.push_async_callback(opened[name].close)
        for stage, (pro, con) in stages.items():
            roles = {PRO.name: opened[pro], CON.name: opened[con], JUDGE.name: opened[config.judge]}
            runner = Runner(
                WorkflowAgent(workflow, RoleModels(model=opened[config.judge], models=roles, sampling=sampling)),
                verifiers.of,
                run.store,
                seed=config.seed,
                concurrency=config.model_options.concurrency,
                logs=run.searches(),
            )
            whole = Stage(
                name=stage,
                problems=problems,
                model=stage,
                config_hash=config_hash(config),
                sampling=config.sampling.model_dump(),
            )
            with run.timed(stage):
                await runner.run(whole, on_progress=show, on_start=run.begun)


def _figures(table: Tournament, endings: Sequence[Ending]) -> dict[str, Any]:
    """The table as JSON data, with what became of the debates."""
    rounds = [ending.rounds for ending in endings if ending.winner is not None]
    return {
        **asdict(table),
        "void": sum(ending.void for ending in endings),
        "forced": sum(ending.forced for ending in endings),
        "mean_rounds": sum(rounds) / len(rounds) if rounds else None,
    }


def _tell(table: Tournament, figures: dict[str, Any]) -> None:
    shown = Table(title="Debates", caption="95 % intervals below", box=SIMPLE_HEAD, title_justify="left")
    for name in ("model", "wins", "won", "defending", "challenging", "rating"):
        shown.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for row in table.standings:
        shown.add_row(escape(row.model), str(row.wins), *map(_cell, (row.total, row.pro, row.con)), f"{row.rating:.0f}")
    console = Console(highlight=False)
    console.print(shown)
    console.print(
        f"{table.matches} debates: {table.balanced} count (decided both ways), {table.undecided} undecided ({figures['void']} void), "
        f"{figures['forced']} decided by the burden of proof; the official answer held in {percent(table.pro.rate)}"
    )


def _cell(share: Share) -> str:
    return f"{percent(share.rate)} of {share.of}\n{band(share.interval)}"
