"""`tirage rollout`, `tirage eval`, `tirage compare`: many problems, then numbers with intervals."""

from pathlib import Path
from typing import Annotated

import typer

from tirage.cli.display import LiveDisplay
from tirage.cli.files import run_folder
from tirage.cli.flags import (
    AsJson,
    BestOf,
    Concurrency,
    Hints,
    Limit,
    Limits,
    MaxTokens,
    ModelName,
    ProblemsArgument,
    RunLimits,
    RunPath,
    Samples,
    Seed,
    Settings,
    Temperature,
    VerifierName,
)
from tirage.cli.terminal import SafeConsole, print_json
from tirage.cli.words import hints_at, limits, run_limits
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.evaluation import (
    Report,
    build_improvement_report,
    compare_runs,
    print_report,
    read_leaf_outcomes,
    read_outcomes,
    read_stage,
    write_report,
)
from tirage.evaluation.checked import checked_rows
from tirage.evaluation.improvement import Context
from tirage.evaluation.reports.report import to_plain
from tirage.problems import load_problems
from tirage.rollouts.runner import StageProgress, unique
from tirage.runtime.comparison import compare_strategies
from tirage.runtime.config import AgentConfig, ModelConfig, RolloutConfig, SamplingConfig, SearchConfig
from tirage.runtime.config_files import with_settings
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.runtime.stages import plan_of, roll_out
from tirage.traces.jsonl import TraceStore

STAGE = "rollout"


def rollout(
    problems: ProblemsArgument,
    model: ModelName = "nano",
    run: RunPath = None,
    samples: Samples = 1,
    limit: Limit = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    hints: Hints = None,
    hint_rounds: Annotated[int, typer.Option("--hint-rounds", min=1, help="Hints per rollout.")] = 1,
    best_of: BestOf = 1,
    seed: Seed = 0,
    concurrency: Concurrency = 64,
    budget: Limits = None,
    run_budget: RunLimits = None,
    verifier: VerifierName = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Roll out problems into a run folder; interrupted runs resume, finished rollouts are never redone.

    Example: tirage rollout nano:heldout --limit 50 -n 4 --run runs/try
    """
    flags = RolloutConfig(
        model=model,
        problems=parse_problems(problems, limit, verifier),
        samples=samples,
        seed=seed,
        agent=AgentConfig(best_of=best_of, budget=limits(budget)),
        sampling=SamplingConfig(temperature=temperature, max_tokens=max_tokens),
        hints=hints_at(hints, hint_rounds),
        model_options=ModelConfig(concurrency=concurrency),
    )
    config = with_settings(flags, settings)
    folder = run_folder(run, "rollout", config)
    progress = _roll(config, folder, run_limits(run_budget), quiet=as_json)
    summary = {"run": str(folder), "done": progress.done, "total": progress.total, "resumed": progress.resumed}
    spent = "" if progress.done == progress.total else "; the budget is spent, the same command with another one continues"
    print_json(summary) if as_json else print(f"{progress.done} of {progress.total} rollouts in {folder}{spent}")


def evaluate(
    problems: ProblemsArgument,
    model: ModelName = "nano",
    run: RunPath = None,
    samples: Samples = 1,
    limit: Limit = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    hints: Hints = None,
    best_of: BestOf = 1,
    seed: Seed = 0,
    concurrency: Concurrency = 64,
    budget: Limits = None,
    run_budget: RunLimits = None,
    verifier: VerifierName = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model: accuracy with intervals, pass@k, maj@k, tool use, tokens, per family and tier; writes report.html.

    Example: tirage eval nano:heldout --limit 100 --model nano

    Example: tirage eval critic nano:heldout --limit 50 (the model's critiques, by what they correct)
    Example: tirage eval debate --models A,B --judge M --problems FILE (a tournament of debates)
    """
    flags = RolloutConfig(
        model=model,
        problems=parse_problems(problems, limit, verifier),
        samples=samples,
        seed=seed,
        agent=AgentConfig(best_of=best_of, budget=limits(budget)),
        sampling=SamplingConfig(temperature=temperature, max_tokens=max_tokens),
        hints=hints_at(hints),
        model_options=ModelConfig(concurrency=concurrency),
    )
    config = with_settings(flags, settings)
    folder = run_folder(run, "eval", config)
    _roll(config, folder, run_limits(run_budget), quiet=as_json)
    store = TraceStore(folder)
    outcomes = read_leaf_outcomes(store.read()) if best_of > 1 else read_outcomes(store.read())
    ordered = sorted(outcomes, key=lambda item: (item.problem_id, item.sample))
    checked = checked_rows(store.read(), rule=config.agent.options.get("rule", "weighted")) if config.agent.name == "t1" else {}
    context = Context(
        title=f"Evaluation of {model}", subtitle=problems, sections={"Checked candidates of each problem": checked} if checked else {}
    )
    report = build_improvement_report({model: ordered}, pairs=[], context=context)
    _tell(report, folder, as_json)


def compare(
    run_a: Annotated[Path | None, typer.Argument(help="Run folder.", show_default=False)] = None,
    run_b: Annotated[Path | None, typer.Argument(help="Run folder, may be the same.", show_default=False)] = None,
    stage_a: Annotated[str | None, typer.Option(help="Stage of the first run; needed when it has several.")] = None,
    stage_b: Annotated[str | None, typer.Option(help="Stage of the second run.")] = None,
    strategies: Annotated[str | None, typer.Option(help="Instead of runs: grow trees by these, e.g. greedy,best-of-n,mcts.")] = None,
    problems: Annotated[str | None, typer.Option("--problems", "-p", help="With --strategies: on which problems.")] = None,
    budget: Limits = None,
    model: ModelName = "nano",
    hints: Hints = None,
    limit: Limit = None,
    temperature: Temperature = None,
    concurrency: Concurrency = 4,
    seed: Seed = 0,
    settings: Settings = None,
    run: RunPath = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for report.json and report.html of two runs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs on their common problems, or strategies at the same budget: difference, interval, paired test.

    Example: tirage compare runs/demo runs/demo --stage-a before --stage-b after

    Example: tirage compare --strategies greedy,best-of-n,mcts --problems nano:heldout --budget tokens=3000
    """
    if strategies is not None:
        if problems is None or run_a is not None or out is not None:
            raise ConfigError("--strategies needs --problems, and takes --run in place of run folders and --out")
        flags = RolloutConfig(
            model=model,
            problems=parse_problems(problems, limit),
            seed=seed,
            agent=AgentConfig(search=SearchConfig(budget=limits(budget, tokens=4000), concurrency=concurrency)),
            sampling=SamplingConfig(temperature=temperature),
            hints=hints_at(hints),
        )
        config = with_settings(flags, settings)
        folder = run_folder(run, "compare", config)
        names = [name.strip() for name in strategies.split(",") if name.strip()]
        with LiveDisplay(quiet=as_json) as display:
            report = run_sync(compare_strategies(config, names, folder, display))
        _tell(report, folder, as_json)
        return
    if run_a is None or run_b is None:
        raise ConfigError("give two run folders, or --strategies with --problems")
    first, name_a = read_stage(run_a, stage_a)
    second, name_b = read_stage(run_b, stage_b)
    if name_a == name_b:
        name_a, name_b = f"{name_a} (first)", f"{name_b} (second)"
    _tell(compare_runs(first, second, names=(name_a, name_b)), out, as_json)


def _roll(config: RolloutConfig, folder: Path, budget: Budget, *, quiet: bool) -> StageProgress:
    problems = unique(load_problems(config.problems))
    with LiveDisplay(quiet=quiet) as display:
        return run_sync(roll_out(config, folder, plan_of(config, STAGE, problems), display, budget=budget))


def _tell(report: Report, folder: Path | None, as_json: bool) -> None:
    paths = write_report(report, folder) if folder is not None else None
    if as_json:
        print_json(to_plain(report))
        return
    print_report(report, console=SafeConsole())
    if paths is not None:
        print(f"report: {paths[1]}")
