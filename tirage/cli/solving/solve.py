"""`tirage solve`: one question, shown as it is worked out."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tirage.agents.driver import StepEvent
from tirage.cli.flags import (
    Answer,
    AsJson,
    BestOf,
    Collections,
    Hints,
    Limits,
    MaxTokens,
    ModelName,
    Options,
    Seed,
    Servers,
    Settings,
    Temperature,
    Tools,
    VerifierName,
)
from tirage.cli.terminal import SafeConsole, print_json
from tirage.cli.words import hints_at, in_dialect, limits, pairs, with_tools
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.step import Source
from tirage.core.trajectory import Trajectory
from tirage.rollouts.failures import error_of, failure_of
from tirage.runtime.config import AgentConfig, ModelConfig, SamplingConfig, SolveConfig
from tirage.runtime.config_files import build_config, load_config, with_settings
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.models import known_profile
from tirage.runtime.opening.searching import limit_word
from tirage.runtime.solving import Solution, as_data, solve_async, solve_hints
from tirage.systems.registry import find, names

STYLES = {
    Source.POLICY: "default",
    Source.HINT: "bold magenta",
    Source.TOOL: "green",
    Source.SCAFFOLD: "dim",
    Source.FORCED: "dim magenta",
    Source.PROMPT: "dim",
}


def solve(
    question: Annotated[str | None, typer.Argument(help="The question.", show_default=False)] = None,
    model: ModelName = "nano",
    hint: Hints = None,
    no_hint: Annotated[bool, typer.Option("--no-hint", help="Give none where the model's profile suggests one.")] = False,
    answer: Answer = None,
    verifier: VerifierName = None,
    best_of: BestOf = 1,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="A system (`list` names them), module:attribute, YAML file.")] = None,
    option: Options = None,
    second: Annotated[str | None, typer.Option(help="Second model, for agents in which two take part.")] = None,
    prm: Annotated[str | None, typer.Option(help="Reward model (folder or hub name) that values chains or an agent's paths.")] = None,
    dialect: Annotated[str | None, typer.Option(help="How calls are written: fenced-python, native, tags, tags:NAME, plain.")] = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    budget: Limits = None,
    tools: Tools = None,
    mcp: Servers = None,
    collection: Collections = None,
    seed: Seed = 0,
    settings: Settings = None,
    run: Annotated[Path | None, typer.Option("--run", help="Run folder that keeps the trace.", show_default="runs/solve-DATE-TIME")] = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Keep no trace.")] = False,
    as_json: AsJson = False,
) -> None:
    """Solve one question: thinking, code, output and answer as they come.

    Example: tirage solve "What is 17 * 23 - 4?"
    """
    console = SafeConsole(soft_wrap=True)
    if agent == "list":
        list_agents(console, as_json=as_json)
        return
    if question is None:
        raise ConfigError("there is no question; give its text, or name the agents with --agent list")
    _check_together(agent, best_of, belongs_to_agent=bool(option or second))
    _refuse_both("--run", run is not None, no_run)
    _refuse_both("--hint", bool(hint), no_hint)
    several = best_of > 1 or agent is not None
    told = {**with_tools(tools, mcp, collection, _file(agent)), **({} if prm is None else {"prm": prm}), **in_dialect(dialect)}
    driven = _agent(agent, pairs(option, "--option"), second, best_of, told)
    flags = SolveConfig(
        model=model,
        seed=seed,
        agent=driven,
        sampling=SamplingConfig(temperature=temperature, max_tokens=max_tokens),
        hints=hints_at(hint),
        budget=limits(budget),
        verifier=verifier,
    )
    config = with_settings(flags, settings)
    if config.hints is None and not no_hint:
        config = config.model_copy(update={"hints": solve_hints(model, None, config.model_options)})
    _warn(driven.name, model, config.model_options)
    on_step = None if as_json else lambda event: show_step(console, event, several=several)
    problem = Problem(prompt=question, answer=answer)
    solution = run_sync(solve_async(problem, config, on_step=on_step, run=None if no_run else run or "auto"))
    _tell(console, solution, as_json=as_json)
    check_answered(solution)


def _refuse_both(flag: str, given: bool, forbidden: bool) -> None:
    """Raises `ConfigError` for a flag beside its opposite."""
    if given and forbidden:
        raise ConfigError(f"{flag} does not go with --no-{flag.removeprefix('--')}; give one of them")


def _check_together(agent: str | None, best_of: int, *, belongs_to_agent: bool) -> None:
    """Raises `ConfigError` for flags that do not go together."""
    if agent is None and belongs_to_agent:
        raise ConfigError("--option and --second belong to an agent; name it with --agent")
    if agent is not None and best_of > 1:
        raise ConfigError(f"--best-of does not go with --agent {agent}; `tirage solve --agent list` names its options")


def check_answered(solution: Solution) -> None:
    """Raise what broke a problem that got no answer, so that the exit code says so."""
    failure = failure_of(solution.tree)
    if failure is not None and solution.answer is None:
        raise error_of(failure, "there is no answer")


def _tell(console: Console, solution: Solution, *, as_json: bool) -> None:
    """Print what was found, and where its trace is."""
    if as_json:
        kept = None if solution.run is None else str(solution.run)
        print_json({**as_data(solution), "run": kept})
        return
    show_end(console, solution)
    if solution.run is not None:
        console.print(f"trace: tirage trace show {solution.run}", style="dim")


def _warn(agent: str | None, model: str, options: ModelConfig) -> None:
    """Say so where a system needs a model that follows instructions, and this one does not."""
    described = _file(agent)
    name = agent if described is None else described.name
    if name is not None and find(name).needs_instructions and not known_profile(model, options).instructed:
        note = f"note: {model} writes only what it was trained to, so the roles of {agent} find little in it; -m names another model"
        SafeConsole(stderr=True, soft_wrap=True).print(note, style="dim")


def _file(name: str | None) -> AgentConfig | None:
    """The agent that a YAML file describes; None for a system by name."""
    return load_config(AgentConfig, Path(name)) if name is not None and Path(name).suffix in (".yaml", ".yml") else None


def _agent(name: str | None, options: dict[str, Any], second: str | None, best_of: int, told: dict[str, Any]) -> AgentConfig:
    """A system by name, or what a file says with the flags on top."""
    base = _file(name)
    if base is not None:
        return build_config(AgentConfig, {**base.model_dump(), **told, "options": {**base.options, **options}}, str(name))
    models = () if second is None else (second,)
    return build_config(AgentConfig, {"name": name, "options": options, "models": models, "best_of": best_of, **told}, "solve")


def list_agents(console: Console, *, as_json: bool) -> None:
    """The published systems and their options."""
    if as_json:
        print_json({name: {"about": find(name).summary, "options": list(find(name).defaults)} for name in names()})
        return
    width = max(map(len, names()))
    for name in names():
        spec = find(name)
        console.print(f"{name:{width}}  {spec.summary}")
        told = ", ".join(f"{option}={_word(value)}" for option, value in spec.defaults.items())
        console.print(f"{'':{width}}  options: {told}", style="dim")


def _word(value: object) -> str:
    """A default as it would be written."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def show_step(console: Console, event: StepEvent, *, several: bool) -> None:
    """Print a step's spans in their authors' colours."""
    step = event.node.step
    if step is None:
        return
    if several:
        console.print(f"── {_place(event)}", style="dim")
    for span in step.spans:
        console.print(span.text, style=STYLES[span.source], end="")
    if several and not step.text.strip():
        console.print("(nothing was written)", style="dim", end="")
    if several or not step.text.endswith("\n"):
        console.print()


def _place(event: StepEvent) -> str:
    """Where a step stands: the branch of the root, how deep, the which of its siblings, and the move or role that it is."""
    tree, node = event.tree, event.node
    place = f"chain {tree.path(node.index)[0].sample + 1}, step {node.depth}"
    elder = tree.children[node.parent].index(node.index)
    if elder and node.depth > 1:
        place += f", attempt {elder + 1}"
    return f"{place}: {node.move}" if node.move else place


def show_end(console: Console, solution: Solution) -> None:
    """The answer, the verdict, the cost."""
    usage, trajectory = solution.tree.usage, solution.trajectory
    console.print()
    show_answer(console, solution.answer, None if solution.verdict is None else solution.verdict.correct, trajectory)
    end = limit_word(solution.tree.ended) or (trajectory.stop.value if trajectory is not None else "nothing produced")
    console.print(f"{end} · {usage.model_calls} model calls · {usage.tokens_out} tokens · {usage.tool_calls} tool calls", style="dim")


def show_answer(
    console: Console, answer: str | None, correct: bool | None, trajectory: Trajectory | None, *, worth: float | None = None
) -> None:
    """The answer, whether it is right (None where nobody knows), what it is worth, and what failed on its path."""
    mark = {True: Text(" correct", "green"), False: Text(" wrong", "red"), None: Text()}[correct]
    value = Text() if worth is None else Text(f" (worth {worth:.2f})", "dim")
    console.print(Text.assemble(("answer: ", "bold"), "none" if answer is None else answer, mark, value))
    if trajectory is not None and trajectory.error is not None:
        console.print(Text.assemble((f"{trajectory.error.boundary} failed: ", "red"), trajectory.error.message))
