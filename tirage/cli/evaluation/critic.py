"""`tirage eval critic`: does a model's critique lead to right answers? RealCritic's four modes on a problem set."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tirage.agents.explorer import Agent
from tirage.cli.display import LiveDisplay
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.evaluation.figures import UNKNOWN, percent, points
from tirage.evaluation.intervals import Interval
from tirage.evaluation.realcritic import CritiqueRow, critique_rows, direct_row, read_critiqued
from tirage.models.base import Model
from tirage.problems import FileSource, load_problems
from tirage.rollouts.runner import unique
from tirage.runtime.config import ModelConfig, RolloutConfig, SamplingConfig
from tirage.runtime.config_files import build_config, config_hash
from tirage.runtime.opening import Parts, parse_problems
from tirage.runtime.runs import RunFolder
from tirage.runtime.solving import run_sync
from tirage.runtime.stages import Plan, roll_plans, sampling_of
from tirage.sandbox.base import Limits, Sandbox
from tirage.systems.parts import AgentParts
from tirage.systems.realcritic import Mode, build
from tirage.tools.base import Tool
from tirage.tools.python import PythonTool
from tirage.traces.jsonl import TraceStore
from tirage.verification.verifiers import Verifiers

MODES: tuple[Mode, ...] = get_args(Mode)
STUDENT = "student"
"""The stage in which the solutions are written that the critic is given."""
FIGURES = "critic.json"


class CriticConfig(RolloutConfig):
    """What a run of critiques is told. The modes are not part of it: more of them may be run into the same folder."""

    turns: int = Field(3, ge=1, description="critiques of the iterative mode")
    student: str | None = Field(None, description="model that writes the solutions to criticise, at temperature 1; null: the run's own")
    solutions: str | None = Field(None, description="column of the problem file that holds them instead")


critic_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@critic_app.command()
def critic(
    problems: Annotated[str, typer.Argument(help="A file (.jsonl, .parquet, a dataset folder), nano:SPLIT or gym:FAMILY[,FAMILY].")],
    model: Annotated[str, typer.Option("--model", "-m", help="The critic; `tirage models` lists the forms.")] = "nano",
    run: Annotated[Path | None, typer.Option("--run", help="Run folder; the same folder resumes.")] = None,
    modes: Annotated[str, typer.Option(help="Which of direct, self, cross, iterative.")] = ",".join(MODES),
    turns: Annotated[int, typer.Option(min=1, help="Critiques in a row of the iterative mode.")] = 3,
    student: Annotated[str | None, typer.Option(help="Model whose solutions are criticised; default: the critic's own.")] = None,
    solutions: Annotated[str | None, typer.Option(help="Column of the problem file with the solutions, instead of a student.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first problems.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Per turn.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Rollouts in flight.")] = 64,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any other key of the configuration; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure critiques by the corrections they lead to: which right solutions stay right, which wrong ones are mended.

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
        sampling=SamplingConfig(temperature=0.0, max_tokens=max_tokens),
        model_options=ModelConfig(concurrency=concurrency),
        turns=turns,
        student=student,
        solutions=solutions,
    )
    config = build_config(CriticConfig, flags.model_dump(mode="json"), "settings", settings or ())
    folder = run if run is not None else Path("runs") / f"critic-{config_hash(config)}"
    rows = measure(config, _modes(modes), folder, quiet=as_json)
    figures = {"model": config.model, "problems": problems, "rows": [as_data(row) for row in rows]}
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps({"run": str(folder), **figures}))
        return
    Console(highlight=False).print(_table(rows))
    print(f"figures: {folder / FIGURES}")


def _modes(names: str) -> list[Mode]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in MODES:
            raise ConfigError(f"--modes: there is no mode {name!r}; modes: {', '.join(MODES)}")
    if not wanted:
        raise ConfigError(f"--modes is empty; modes: {', '.join(MODES)}")
    return [mode for mode in MODES if mode in wanted]


def measure(config: CriticConfig, modes: Sequence[Mode], folder: Path, *, quiet: bool) -> list[CritiqueRow]:
    """Roll out what is missing of each mode, and count."""
    problems = unique(load_problems(config.problems))
    given: dict[str, str] = {}
    with RunFolder(folder, config) as run, LiveDisplay(quiet=quiet) as display:
        if "cross" in modes or "iterative" in modes:
            given = _columns(problems, config.solutions) if config.solutions is not None else {}
            if config.solutions is None:
                sampling = config.sampling.model_copy(update={"temperature": 1.0})
                plan = Plan(name=STUDENT, problems=problems, sampling=sampling)
                run_sync(roll_plans(config, run, Parts(config), display, config.student or config.model, [plan]))
                given = {
                    item.problem.id: item.trajectory.response for item in TraceStore(folder).read(STUDENT) if item.trajectory is not None
                }
        plans = [Plan(name=mode, problems=_with(problems, given, mode), sampling=config.sampling) for mode in modes]
        run_sync(roll_plans(config, run, CriticParts(config, given), display, config.model, plans))
    store = TraceStore(folder)
    direct = {item.problem.id: item.correct is True for item in store.read("direct")} if "direct" in modes else {}
    rows = [direct_row(direct)] if direct else []
    for mode in modes:
        if mode != "direct":
            rows += critique_rows(mode, read_critiqued(store.read(mode)), direct)
    return rows


def _columns(problems: Sequence[Problem], column: str) -> dict[str, str]:
    """The given solutions by problem id. Raises `ConfigError` where one is missing."""
    for problem in problems:
        if not str(problem.metadata.get(column) or "").strip():
            raise ConfigError(
                f"--solutions {column!r}: problem {problem.id} ({problem.prompt[:40]!r}) has no such text; mend the column's name"
            )
    return {problem.id: str(problem.metadata[column]) for problem in problems}


def _with(problems: tuple[Problem, ...], given: dict[str, str], mode: Mode) -> tuple[Problem, ...]:
    """The problems of a mode: a cross critique needs a solution, and a student may have written none."""
    return tuple(problem for problem in problems if mode != "cross" or problem.id in given)


class CriticParts(Parts):
    """The parts of a run whose stages are modes."""

    def __init__(self, config: CriticConfig, given: dict[str, str]) -> None:
        """`given`: solutions by problem id."""
        super().__init__(config)
        self._run = config
        self._given = given

    def agent(
        self, model: Model, sandbox: Sandbox, plan: Plan, verifiers: Verifiers | None = None, servers: Mapping[str, Tool] | None = None
    ) -> Agent:
        """The workflow in the mode that the stage names."""
        sampling = sampling_of(plan, self._run.agent, model)
        tools = {"python": PythonTool(limits=Limits(wall_s=self._run.sandbox.timeout_s)), **(servers or {})}
        parts = AgentParts(model=model, tools=tools, sandbox=sandbox, sampling=sampling)
        return build(parts, mode=plan.name, turns=self._run.turns, given=self._given)


def as_data(row: CritiqueRow) -> dict[str, Any]:
    """A line as JSON data, its derived shares included."""
    data = asdict(row)
    if row.counts is not None:
        counts = row.counts
        data["counts"] |= {"kept_share": counts.kept_share, "fixed_share": counts.fixed_share, "original": counts.original}
    return data


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
