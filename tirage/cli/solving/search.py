"""`tirage search`: grow a tree per problem, watch it, keep it."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tirage.cli.display import LiveDisplay
from tirage.cli.files import run_folder
from tirage.cli.flags import (
    Answer,
    AsJson,
    Collections,
    Concurrency,
    Hints,
    Limit,
    Limits,
    ModelName,
    Options,
    RunPath,
    Seed,
    Servers,
    Settings,
    Temperature,
    Tools,
    VerifierName,
)
from tirage.cli.solving.solve import show_answer
from tirage.cli.solving.tree_display import TreeDisplay
from tirage.cli.terminal import SafeConsole, print_json
from tirage.cli.words import limits, pairs, with_tools
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.evaluation import read_outcomes
from tirage.problems import FileSource, load_problems
from tirage.rollouts.runner import unique
from tirage.runtime.config import RolloutConfig
from tirage.runtime.config_files import build_config
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.runtime.opening.searching import limit_word, search_maker
from tirage.runtime.stages import plan_of, roll_out
from tirage.search.strategies import about, option_names
from tirage.search.strategies import names as strategy_names
from tirage.traces.jsonl import TraceStore
from tirage.verification.reading import answer_of

STAGE = "search"


def search(
    problem: Annotated[str | None, typer.Argument(help="The problem's text.", show_default=False)] = None,
    problems: Annotated[str | None, typer.Option("--problems", "-p", help="Many: a file, nano:SPLIT or gym:FAMILY[,FAMILY].")] = None,
    strategy: Annotated[str, typer.Option("--strategy", "-s", help="How the tree grows: --list names them; or module:attribute.")] = "mcts",
    model: ModelName = "nano",
    budget: Limits = None,
    concurrency: Concurrency = 16,
    valuer: Annotated[str, typer.Option(help="What values a path: auto, critic, confidence, execution, prm, oracle, none.")] = "auto",
    stop: Annotated[list[str] | None, typer.Option(help="End early: solved, converged, saturated; repeatable.")] = None,
    separator: Annotated[str | None, typer.Option(help=r"Text that ends a step, to search over thoughts, e.g. '\n' or '\n\n'.")] = None,
    option: Options = None,
    answer: Answer = None,
    verifier: VerifierName = None,
    hint: Hints = None,
    temperature: Temperature = None,
    tools: Tools = None,
    mcp: Servers = None,
    collection: Collections = None,
    limit: Limit = None,
    seed: Seed = 0,
    run: RunPath = None,
    settings: Settings = None,
    names: Annotated[bool, typer.Option("--list", help="Name the strategies and their options.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search for a solution on a tree: watched live, kept whole, resumed after an interruption.

    Example: tirage search "Use 4, 7, 8 and 8 to make 24." --strategy mcts --budget tokens=8000
    """
    if names:
        _list(as_json)
        return
    if (problem is None) == (problems is None):
        raise ConfigError("give the text of one problem, or --problems with a file, nano:SPLIT or gym:FAMILY")
    data: dict[str, Any] = {
        "model": model,
        "seed": seed,
        "problems": _source(problems, limit, verifier),
        "sampling": {"temperature": temperature},
        "hints": {"positions": hint} if hint else None,
        "agent": {
            **with_tools(tools, mcp, collection),
            "search": {
                "strategy": strategy,
                "options": pairs(option, "--option"),
                "valuer": valuer,
                "stop": stop or [],
                "separator": None if separator is None else separator.replace("\\n", "\n").replace("\\t", "\t"),
                "budget": limits(budget, nodes=64).model_dump(),
                "concurrency": concurrency,
            },
        },
    }
    config = build_config(RolloutConfig, data, "settings", settings or ())
    if config.agent.search is None:
        raise ConfigError("a search cannot do without agent.search; leave it out of --set")
    search_maker(config.agent.search)
    asked = unique(load_problems(config.problems)) if problem is None else (_single(problem, answer, verifier),)
    folder = run_folder(run, "search", config, [item.id for item in asked])
    _tell(grow(config, folder, asked, quiet=as_json), folder, as_json)


def _source(problems: str | None, limit: int | None, verifier: str | None) -> dict[str, Any]:
    """What the configuration says of the problems; one given in words has no file."""
    source = FileSource(path="-", verifier=verifier) if problems is None else parse_problems(problems, limit, verifier)
    return source.model_dump(mode="json")


def _single(text: str, answer: str | None, verifier: str | None) -> Problem:
    if not text.strip():
        raise ConfigError("the problem is empty; give its text")
    return Problem(prompt=text, answer=answer, verifier=verifier or "math")


def grow(config: RolloutConfig, folder: Path, problems: tuple[Problem, ...], *, quiet: bool) -> list[Rollout]:
    """Grow the trees that are missing, and read all of them back."""
    plan = plan_of(config, STAGE, problems)
    assert config.agent.search is not None
    if len(problems) == 1:
        with TreeDisplay(config.agent.search.budget, quiet=quiet) as live:
            run_sync(roll_out(config, folder, plan, live, on_step=live.step))
    else:
        with LiveDisplay(quiet=quiet) as show:
            run_sync(roll_out(config, folder, plan, show))
    wanted = {item.id for item in problems}
    return [item for item in TraceStore(folder).read(STAGE) if item.problem.id in wanted]


def summary(rollout: Rollout) -> dict[str, Any]:
    """One tree in figures."""
    tree = rollout.tree
    path = rollout.trajectory
    value = tree.values.get(tree.chosen)
    return {
        "key": rollout.key,
        "answer": answer_of(path, rollout.problem),
        "correct": rollout.correct if rollout.problem.answer is not None or rollout.problem.verifier != "math" else None,
        "value": value,
        "ended": limit_word(tree.ended) or "exhausted",
        "nodes": len(tree.nodes) - 1,
        "depth": max(node.depth for node in tree.nodes),
        "answered": sum(1 for node in tree.nodes if node.stop == "answered"),
        "tokens_in": tree.usage.tokens_in,
        "tokens_out": tree.usage.tokens_out,
        "tokens_judging": tree.judging.tokens_out,
        "model_calls": tree.usage.model_calls,
        "tool_calls": tree.usage.tool_calls,
        "cost_usd": tree.usage.cost_usd,
        "seconds": round(rollout.wall_s, 3),
    }


def _tell(rollouts: list[Rollout], folder: Path, as_json: bool) -> None:
    rows = [summary(rollout) for rollout in rollouts]
    if as_json:
        print_json({"run": str(folder), "trees": rows})
        return
    console = SafeConsole(soft_wrap=True)
    if len(rows) == 1:
        row, rollout = rows[0], rollouts[0]
        show_answer(console, row["answer"], row["correct"], rollout.trajectory, worth=row["value"])
        console.print(
            f"{row['ended']} · {row['nodes']} nodes, {row['depth']} deep, {row['answered']} answered · {row['model_calls']} model calls · "
            f"{row['tokens_out']} tokens ({row['tokens_judging']} of them judging) · {row['seconds']:.1f} s",
            style="dim",
        )
    else:
        console.print(_table(rows, rollouts))
    console.print(Text.assemble(("look at it: ", "dim"), f"tirage trace show {folder} --index 0 --tree"))


def _table(rows: list[dict[str, Any]], rollouts: list[Rollout]) -> Table:
    outcomes = read_outcomes(rollouts)
    graded = [item for item in outcomes if item.correct is not None]
    right = sum(bool(item.correct) for item in graded)
    table = Table(
        title=f"{right} of {len(graded)} right" + (f", {len(outcomes) - len(graded)} ungraded" if len(graded) < len(outcomes) else "")
    )
    for name in ("ended", "trees", "right", "nodes", "tokens", "judging", "calls", "tools", "s"):
        table.add_column(name, justify="left" if name == "ended" else "right")
    for reason in sorted({row["ended"] for row in rows}):
        group = [row for row in rows if row["ended"] == reason]
        mean = {key: sum(row[key] for row in group) / len(group) for key in group[0] if isinstance(group[0][key], int | float)}
        table.add_row(
            reason,
            str(len(group)),
            str(sum(row["correct"] is True for row in group)),
            *(f"{mean[key]:.0f}" for key in ("nodes", "tokens_out", "tokens_judging", "model_calls", "tool_calls")),
            f"{mean['seconds']:.1f}",
        )
    return table


def _list(as_json: bool) -> None:
    if as_json:
        print_json({name: {"what": about(name), "options": option_names(name)} for name in strategy_names()})
        return
    table = Table("strategy", "what it does", "options")
    for name in strategy_names():
        table.add_row(name, about(name), ", ".join(option_names(name)))
    SafeConsole().print(table)
