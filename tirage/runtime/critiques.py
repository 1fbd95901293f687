"""Does a model's critique lead to right answers? RealCritic's four modes on a problem set, in a run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import Field

from tirage.agents.explorer import Agent
from tirage.agents.search_options import SearchOptions
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.evaluation.realcritic import CritiqueRow, critique_rows, direct_row, read_critiqued
from tirage.problems import load_problems
from tirage.rollouts.runner import unique
from tirage.runtime.config import RolloutConfig
from tirage.runtime.opening.sampling import sampling_for
from tirage.runtime.opening.searching import tree_budget
from tirage.runtime.runs import RunFolder
from tirage.runtime.runtime import Runtime
from tirage.runtime.stages import Display, Plan, roll_plans
from tirage.systems.parts import AgentParts
from tirage.systems.realcritic import CritiqueMode, build
from tirage.tools.python import PythonTool
from tirage.traces.jsonl import TraceStore

MODES: tuple[CritiqueMode, ...] = get_args(CritiqueMode)
STUDENT = "student"
"""The stage in which the solutions are written that the critic is given."""


class CriticConfig(RolloutConfig):
    """What a run of critiques is told. The modes are not part of it: more of them may be run into the same folder."""

    turns: int = Field(3, ge=1, description="critiques of the iterative mode")
    student: str | None = Field(None, description="model that writes the solutions to criticise, at temperature 1; null: the run's own")
    solutions: str | None = Field(None, description="column of the problem file that holds them instead")


async def measure_critiques(config: CriticConfig, modes: Sequence[CritiqueMode], folder: Path, show: Display) -> list[CritiqueRow]:
    """Roll out what is missing of each mode, and count. Raises the `TirageError` family."""
    problems = unique(load_problems(config.problems))
    given: dict[str, str] = {}
    with RunFolder(folder, config) as run:
        if "cross" in modes or "iterative" in modes:
            given = await _solutions(config, run, problems, show)
        plans = [Plan(name=mode, problems=_with(problems, given, mode), sampling=config.sampling) for mode in modes]
        await roll_plans(config, run, show, plans, make=partial(_critic, config, given))
    store = TraceStore(folder)
    direct = {item.problem.id: item.correct is True for item in store.read("direct")} if "direct" in modes else {}
    rows = [direct_row(direct)] if direct else []
    for mode in modes:
        if mode != "direct":
            rows += critique_rows(mode, read_critiqued(store.read(mode)), direct)
    return rows


async def _solutions(config: CriticConfig, run: RunFolder, problems: tuple[Problem, ...], show: Display) -> dict[str, str]:
    """The solutions to criticise, by problem id: from a column of the problem file, or by a student at temperature 1."""
    if config.solutions is not None:
        return _columns(problems, config.solutions)
    sampling = config.sampling.model_copy(update={"temperature": 1.0})
    plan = Plan(name=STUDENT, problems=problems, sampling=sampling)
    await roll_plans(config, run, show, [plan], model=config.student)
    return {item.problem.id: item.trajectory.response for item in TraceStore(run.folder).read(STUDENT) if item.trajectory is not None}


def _columns(problems: Sequence[Problem], column: str) -> dict[str, str]:
    """The given solutions by problem id. Raises `ConfigError` where one is missing."""
    for problem in problems:
        if not str(problem.metadata.get(column) or "").strip():
            raise ConfigError(
                f"--solutions {column!r}: problem {problem.id} ({problem.prompt[:40]!r}) has no such text; correct the column's name"
            )
    return {problem.id: str(problem.metadata[column]) for problem in problems}


def _with(problems: tuple[Problem, ...], given: dict[str, str], mode: CritiqueMode) -> tuple[Problem, ...]:
    """The problems of a mode: a cross critique needs a solution, and a student may have written none."""
    return tuple(problem for problem in problems if mode != "cross" or problem.id in given)


def _critic(config: CriticConfig, given: Mapping[str, str], runtime: Runtime, plan: Plan) -> Agent:
    """The workflow in the mode that the stage names."""
    sampling = sampling_for(plan.sampling, config.agent, runtime.model)
    tools = {"python": PythonTool(limits=runtime.parts.limits), **runtime.tools}
    options = SearchOptions(budget=tree_budget(config.agent.budget))
    parts = AgentParts(model=runtime.model, tools=tools, sandbox=runtime.sandbox, sampling=sampling, search_options=options)
    return build(parts, mode=plan.name, turns=config.turns, given=given)


def as_data(row: CritiqueRow) -> dict[str, Any]:
    """A line as JSON data, its derived shares included."""
    data = asdict(row)
    if row.counts is not None:
        counts = row.counts
        data["counts"] |= {"kept_share": counts.kept_share, "fixed_share": counts.fixed_share, "original": counts.original}
    return data
