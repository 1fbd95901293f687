"""Strategies, published systems and teams at equal cost: the same problems, the same budget per tree, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tirage.core.errors import ConfigError
from tirage.core.extension import is_place, load_place
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.tree import Tree
from tirage.evaluation import Outcome, Report, build_improvement_report, read_outcomes
from tirage.evaluation.anytime import Moment, accuracy_at, moments, right_within
from tirage.evaluation.improvement import Context
from tirage.evaluation.prefixes import calls_of, shared_prefixes
from tirage.problems import load_problems
from tirage.rollouts.runner import unique
from tirage.runtime.config import AgentConfig, RolloutConfig, SearchConfig
from tirage.runtime.opening.searching import search_maker
from tirage.runtime.opening.topologies import is_team, member_models, team_label
from tirage.runtime.runs import RunFolder
from tirage.runtime.stages import Display, Plan, plan_of, roll_plans
from tirage.search.strategies import STRATEGIES, option_names
from tirage.search.votes import elect, value
from tirage.systems.registry import find, names
from tirage.systems.spec import SystemSpec
from tirage.traces.jsonl import TraceStore

UNTIL_SPENT = 100_000
"""Chains of a best-of-N that continues until the budget is spent."""
POINTS = 24
"""Of an anytime curve, closer together at its beginning."""
BLOCK = 16
"""Tokens per block of a prefix cache, as vLLM and SGLang have it by default on GPUs."""
PICTURE = "strategies.png"


async def compare_strategies(config: RolloutConfig, names: Sequence[str], folder: Path, show: Display) -> Report:
    """Grow what is missing of every strategy's trees in a run folder, and report on all of them.

    A name may also be a published system, a topology, or a file of one. `config.agent.search` holds what they have in common; with a
    budget of tokens a `best-of-n` continues until it is spent. Raises `ConfigError` for an unknown strategy, or fewer than two names.
    """
    base = config.agent.search
    assert base is not None
    models = [model for name in names if is_team(name) for model in member_models(name, config.agent.models)]
    config = config.model_copy(update={"agent": config.agent.model_copy(update={"models": (*config.agent.models, *models)})})
    agents = {team_label(name) if is_team(name) else name: _agent(config.agent, base, name) for name in names}
    if len(agents) < 2:
        raise ConfigError(f"--strategies {','.join(names)}: name at least two different ones")
    problems = unique(load_problems(config.problems))
    plans = [_plan(config, name, agent, problems) for name, agent in agents.items()]
    with RunFolder(folder, config) as run:
        await roll_plans(config, run, show, plans)
    wanted = {problem.id for problem in problems}
    store = TraceStore(folder)
    rollouts = {name: [item for item in store.read(name) if item.problem.id in wanted] for name in agents}
    courses = {name: [moments(item, _elect) for item in items] for name, items in rollouts.items()}
    curves = {name: anytime(items) for name, items in courses.items()}
    if not draw(curves, folder / PICTURE):
        show.note(f"{folder / PICTURE} was not drawn: matplotlib is not installed (pip install matplotlib)")
    outcomes = {
        name: read_outcomes(items) if agents[name].name else _within(items, courses[name], base.budget.tokens)
        for name, items in rollouts.items()
    }
    return _report(config, rollouts, outcomes, curves)


def _elect(tree: Tree, answers: Mapping[int, str | None]) -> int:
    return elect(tree, answers, value)


def _within(rollouts: Sequence[Rollout], courses: Sequence[Sequence[Moment]], tokens: int | None) -> list[Outcome]:
    """Outcomes at exactly the same spending: what was in flight when the budget ran out is left out of the vote."""
    outcomes = read_outcomes(rollouts)
    if tokens is not None:
        outcomes = [
            replace(outcome, correct=right_within(moments, tokens)) if moments and outcome.correct is not None else outcome
            for outcome, moments in zip(outcomes, courses, strict=True)
        ]
    return sorted(outcomes, key=lambda item: (item.problem_id, item.sample))


def _agent(config: AgentConfig, base: SearchConfig, name: str) -> AgentConfig:
    """A strategy of search; or a published system or a topology by name, with the same budget and those options that it has."""
    system = "team" if is_team(name) else name
    if name in STRATEGIES or (system not in names() and not _is_system(name)):
        return config.model_copy(update={"search": _search(base, name)})
    spec = find(system)
    options = {option: given for option, given in base.options.items() if option in spec.defaults}
    spent = base.budget.tokens is not None and "n" not in options and spec.until_spent
    options |= {"n": UNTIL_SPENT} if spent else {}
    options |= {"topology": name} if is_team(name) else {}
    return config.model_copy(update={"search": None, "name": system, "options": options, "budget": base.budget})


def _is_system(name: str) -> bool:
    """Whether `module:attribute` is a system; else it is a strategy."""
    return is_place(name) and isinstance(load_place(name, "strategy or system"), SystemSpec)


def _search(base: SearchConfig, name: str) -> SearchConfig:
    """The strategy with the common settings; options are kept where it has them."""
    spent = name == "best-of-n" and base.budget.tokens is not None and "n" not in base.options
    options = {option: given for option, given in base.options.items() if option in option_names(name)}
    found = base.model_copy(update={"strategy": name, "options": {**options, **({"n": UNTIL_SPENT} if spent else {})}})
    search_maker(found)
    return found


def _plan(config: RolloutConfig, name: str, agent: AgentConfig, problems: Sequence[Problem]) -> Plan:
    plan = replace(plan_of(config, name, problems), agent=agent)
    return replace(plan, sampling=config.sampling.model_copy(update={"temperature": 0.0})) if name == "greedy" else plan


def anytime(curves: Sequence[Sequence[Moment]]) -> list[tuple[int, float]]:
    """(sampled tokens per tree, accuracy): what stopping earlier would have given, votes weighted by value where there are values."""
    most = max((curve[-1].tokens for curve in curves if curve), default=0)
    grid = sorted({round(most * (point / POINTS) ** 2) for point in range(1, POINTS + 1)})
    return list(zip(grid, accuracy_at(curves, grid), strict=True))


def draw(curves: Mapping[str, list[tuple[int, float]]], path: Path) -> bool:
    """Write the curves as a picture; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 5), dpi=150)
    axes = figure.subplots()
    for name, curve in curves.items():
        if curve:
            axes.plot([tokens for tokens, _ in curve], [100 * share for _, share in curve], marker=".", label=name)
    axes.set(xlabel="sampled tokens per problem, judging included", ylabel="right, %", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    return True


def _report(
    config: RolloutConfig,
    rollouts: Mapping[str, list[Rollout]],
    outcomes: Mapping[str, list[Outcome]],
    curves: Mapping[str, list[tuple[int, float]]],
) -> Report:
    first, *others = rollouts
    baselines = [name for name in rollouts if name == "greedy" or name.startswith("best-of")] or [first]
    pairs = [(baseline, other) for baseline in baselines for other in rollouts if other != baseline and other not in baselines]
    pairs += [(baselines[0], baselines[1])] if len(baselines) > 1 else []
    search = config.agent.search
    assert search is not None
    limits = ", ".join(f"{key}={limit:g}" for key, limit in search.budget.model_dump().items() if limit is not None) or "none"
    context = Context(
        title="Strategies at the same budget",
        subtitle=f"{config.model}, budget per tree: {limits}",
        notes=(
            "A tree may end before its budget is spent; what is in flight at that moment still joins it but has no vote here. Tokens count "
            "everything, judging included.",
        ),
        sections={
            "Cost per tree": {name: _cost(items) for name, items in rollouts.items()},
            "Right after so many sampled tokens (stopped earlier)": {
                name: "; ".join(f"{tokens}: {share:.0%}" for tokens, share in curve[3::4]) for name, curve in curves.items()
            },
        },
    )
    return build_improvement_report(outcomes, pairs=pairs or [(first, others[0])], context=context)


def _cost(items: Sequence[Rollout]) -> str:
    """Means per tree in words."""
    count = max(1, len(items))
    usages = [item.tree.usage for item in items]
    sent = sum(usage.tokens_in for usage in usages)
    cached = sum(usage.tokens_cached for usage in usages)
    shared = shared_prefixes((call for item in items for call in calls_of(item.tree)), block=BLOCK)
    mean = {
        name: sum(figures) / count
        for name, figures in (
            ("out", [usage.tokens_out for usage in usages]),
            ("judging", [item.tree.judging.tokens_out for item in items]),
            ("calls", [usage.model_calls for usage in usages]),
            ("tools", [usage.tool_calls for usage in usages]),
            ("nodes", [len(item.tree.nodes) - 1 for item in items]),
            ("seconds", [item.wall_s for item in items]),
        )
    }
    return (
        f"{mean['out']:.0f} sampled tokens ({mean['judging']:.0f} judging), {sent / count:.0f} prompt tokens ({shared.share:.0%} could be "
        f"shared, {cached / sent if sent else 0:.0%} came from the server's cache), {mean['calls']:.1f} calls, {mean['tools']:.1f} tools, "
        f"{mean['nodes']:.1f} nodes, {mean['seconds']:.1f} s"
    )
