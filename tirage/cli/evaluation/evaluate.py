"""`tirage rollout`, `tirage eval`, `tirage compare`: many problems, then numbers with intervals."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tirage.cli.display import LiveDisplay
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.hint import HintPosition
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
from tirage.problems import ProblemSource, load_problems
from tirage.rollouts.runner import StageProgress, unique
from tirage.runtime.comparison import compare_strategies
from tirage.runtime.config import AgentConfig, BudgetConfig, HintsConfig, ModelConfig, RolloutConfig, SamplingConfig, SearchConfig
from tirage.runtime.config_files import build_config, config_hash
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.runtime.stages import plan_of, roll_out
from tirage.traces.jsonl import TraceStore

STAGE = "rollout"

Problems = Annotated[str, typer.Argument(help="A file (.jsonl, .parquet, a dataset folder), nano:SPLIT or gym:FAMILY[,FAMILY].")]
ModelName = Annotated[str, typer.Option("--model", "-m", help="Model string; `tirage models` lists the forms.")]
RunPath = Annotated[Path | None, typer.Option("--run", help="Run folder; the same folder resumes.")]
VerifierName = Annotated[str | None, typer.Option("--verifier", help="What grades the problems of a file: a name, or module:attribute.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any other key of `tirage improve --schema`, e.g. --set agent.max_calls=8; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def rollout(
    problems: Problems,
    model: ModelName = "nano",
    run: RunPath = None,
    samples: Annotated[int, typer.Option("-n", min=1, help="Rollouts per problem.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first problems.")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="0 is greedy; default: the agent's, else the model's, else 0, or 0.8 where several are drawn."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Per policy turn; default: the agent's, else the model's, else what context and budget leave.")
    ] = None,
    hints: Annotated[list[HintPosition] | None, typer.Option("--hint", help="Give START hints at this position; repeatable.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Hints per rollout.")] = 1,
    best_of: Annotated[int, typer.Option(min=1, help="Chains per rollout; the answer is the majority.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Rollouts in flight.")] = 64,
    budget_tokens: Annotated[int | None, typer.Option(min=0, help="Sampled tokens in all; hitting it ends the run early.")] = None,
    verifier: VerifierName = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Roll out problems into a run folder; interrupted runs resume, finished rollouts are never redone.

    Example: tirage rollout nano:heldout --limit 50 -n 4 --run runs/try
    """
    config = _config(
        parse_problems(problems, limit, verifier),
        model,
        samples,
        temperature,
        max_tokens,
        hints,
        rounds,
        best_of,
        seed,
        concurrency,
        settings,
    )
    folder = run if run is not None else Path("runs") / f"rollout-{config_hash(config)}"
    progress = _roll(config, folder, Budget(tokens_out=budget_tokens), quiet=as_json)
    summary = {"run": str(folder), "done": progress.done, "total": progress.total, "resumed": progress.resumed}
    spent = "" if progress.done == progress.total else "; the token budget is spent, the same command goes on with another one"
    print(json.dumps(summary) if as_json else f"{progress.done} of {progress.total} rollouts in {folder}{spent}")


def evaluate(
    problems: Problems,
    model: ModelName = "nano",
    run: RunPath = None,
    samples: Annotated[int, typer.Option("-n", min=1, help="Rollouts per problem; several give pass@k and maj@k.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first problems.")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="0 is greedy; default: the agent's, else the model's, else 0, or 0.8 where several are drawn."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Per policy turn; default: the agent's, else the model's, else what context and budget leave.")
    ] = None,
    hints: Annotated[list[HintPosition] | None, typer.Option("--hint", help="Give START hints at this position; repeatable.")] = None,
    best_of: Annotated[int, typer.Option(min=1, help="Chains per rollout; the answer is the majority.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Rollouts in flight.")] = 64,
    verifier: VerifierName = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model: accuracy with intervals, pass@k, maj@k, tool use, tokens, per family and tier; writes report.html.

    Example: tirage eval nano:heldout --limit 100 --model nano

    Example: tirage eval critic nano:heldout --limit 50 (the model's critiques, by what they correct)
    Example: tirage eval debate --models A,B --judge M --problems FILE (a tournament of debates)
    """
    config = _config(
        parse_problems(problems, limit, verifier), model, samples, temperature, max_tokens, hints, 1, best_of, seed, concurrency, settings
    )
    folder = run if run is not None else Path("runs") / f"eval-{config_hash(config)}"
    _roll(config, folder, Budget(), quiet=as_json)
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
    match: Annotated[str, typer.Option(help="With --strategies: tokens (per tree, see --budget) or nodes.")] = "tokens",
    budget: Annotated[int, typer.Option(min=0, help="With --strategies: so many of what --match names.")] = 4000,
    model: ModelName = "nano",
    hints: Annotated[list[HintPosition] | None, typer.Option("--hint", help="With --strategies: START hints at this position.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="With --strategies: only the first problems.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="With --strategies; greedy has 0.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="With --strategies: steps of a tree in flight at once.")] = 4,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and report.html; with --strategies the run folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs on their common problems, or strategies at the same budget: difference, interval, paired test.

    Example: tirage compare runs/demo runs/demo --stage-a before --stage-b after

    Example: tirage compare --strategies greedy,best-of-n,mcts --problems nano:heldout --match tokens --budget 3000
    """
    if strategies is not None:
        if problems is None or run_a is not None or match not in ("tokens", "nodes"):
            raise ConfigError("--strategies needs --problems, no run folders, and --match tokens or nodes")
        flags = RolloutConfig(
            model=model,
            problems=parse_problems(problems, limit),
            agent=AgentConfig(search=SearchConfig(budget=BudgetConfig.model_validate({match: budget}), concurrency=concurrency)),
            sampling=SamplingConfig(temperature=temperature),
            hints=HintsConfig(positions=tuple(hints)) if hints else None,
        )
        config = build_config(RolloutConfig, flags.model_dump(mode="json"), "settings", settings or ())
        folder = out or Path("runs") / f"compare-{config_hash(config)}"
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


def _config(
    problems: ProblemSource,
    model: str,
    samples: int,
    temperature: float | None,
    max_tokens: int | None,
    hints: list[HintPosition] | None,
    rounds: int,
    best_of: int,
    seed: int,
    concurrency: int,
    settings: list[str] | None,
) -> RolloutConfig:
    flags = RolloutConfig(
        model=model,
        problems=problems,
        samples=samples,
        seed=seed,
        agent=AgentConfig(best_of=best_of),
        sampling=SamplingConfig(temperature=temperature, max_tokens=max_tokens),
        hints=HintsConfig(positions=tuple(hints), rounds=rounds) if hints else None,
        model_options=ModelConfig(concurrency=concurrency),
    )
    return build_config(RolloutConfig, flags.model_dump(mode="json"), "settings", settings or ())


def _roll(config: RolloutConfig, folder: Path, budget: Budget, *, quiet: bool) -> StageProgress:
    problems = unique(load_problems(config.problems))
    with LiveDisplay(quiet=quiet) as display:
        return run_sync(roll_out(config, folder, plan_of(config, STAGE, problems), display, budget=budget))


def _tell(report: Report, folder: Path | None, as_json: bool) -> None:
    paths = write_report(report, folder) if folder is not None else None
    if as_json:
        print(json.dumps(to_plain(report), ensure_ascii=False))
        return
    print_report(report, console=Console(highlight=False))
    if paths is not None:
        print(f"report: {paths[1]}")
