"""A tournament of debates in a run folder: every model against every other on both sides, and a judge decides."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from tirage.core.problem import Problem
from tirage.evaluation.tournament import Match, Tournament, schedule
from tirage.judging.judges import BothOrders
from tirage.models.base import Model
from tirage.models.profile import Profile, resolve_sampling
from tirage.problems import ProblemSource, load_problems
from tirage.rollouts.runner import Runner, Stage, StageProgress, unique
from tirage.runtime.config import BudgetConfig, ModelConfig, SamplingConfig, Strict
from tirage.runtime.config_files import config_hash
from tirage.runtime.opening.models import open_model
from tirage.runtime.opening.searching import tree_budget
from tirage.runtime.runs import RunFolder
from tirage.runtime.stages import Display
from tirage.systems.debate import CON, JUDGE, PRO, Debate, DebateEnding, read_ending, without_options
from tirage.traces.jsonl import TraceStore
from tirage.verification.verifiers import Verifiers
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels


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
    budget: BudgetConfig = Field(BudgetConfig(), description="limits of one debate")
    model_options: ModelConfig = Field(ModelConfig(), description="how the models are opened and called")


async def hold_debates(config: DebateConfig, folder: Path, show: Display) -> list[tuple[Match, DebateEnding]]:
    """Hold the debates that are missing, and read all of them back. Raises the `TirageError` family."""
    problems = unique(load_problems(config.problems))
    if not config.keep_options:
        problems = unique(without_options(problem) for problem in problems)
    stages = {f"{pro} vs {con}": (pro, con) for pro, con in schedule(config.models)}
    with RunFolder(folder, config) as run:
        await _debate(config, run, show, stages, problems)
    found = []
    for item in TraceStore(folder).read():
        ending, (pro, con) = read_ending(item.tree), stages[item.stage]
        found.append((Match(item=item.problem.id, pro=pro, con=con, winner=ending.winner), ending))
    return found


async def _debate(
    config: DebateConfig, run: RunFolder, show: Display, stages: Mapping[str, tuple[str, str]], problems: tuple[Problem, ...]
) -> None:
    """What is missing of every pair of models; no model is opened when nothing is."""
    if all(run.finished(name, problems, 1) == len(problems) for name in stages):
        return
    sampling = resolve_sampling(config.sampling.model_dump(), {}, Profile())
    workflow = Debate(least=config.least, most=config.most, review=BothOrders if config.both_orders else None)

    def tell(progress: StageProgress) -> None:
        # A debate is neither right nor wrong.
        show.stage(replace(progress, graded=0, correct=0))

    async with AsyncExitStack() as stack, Verifiers() as verifiers:
        opened: dict[str, Model] = {}
        for name in dict.fromkeys((*config.models, config.judge)):
            opened[name] = await open_model(name, config.model_options)
            stack.push_async_callback(opened[name].close)
        for stage, (pro, con) in stages.items():
            roles = {PRO.name: opened[pro], CON.name: opened[con], JUDGE.name: opened[config.judge]}
            role_models = RoleModels(model=opened[config.judge], models=roles, sampling=sampling)
            runner = Runner(
                WorkflowAgent(workflow, role_models, budget=tree_budget(config.budget)),
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
                await runner.run(whole, on_progress=tell, on_start=run.begun)


def tournament_figures(table: Tournament, endings: Sequence[DebateEnding]) -> dict[str, Any]:
    """The table as JSON data, with what became of the debates."""
    rounds = [ending.rounds for ending in endings if ending.winner is not None]
    return {
        **asdict(table),
        "void": sum(ending.void for ending in endings),
        "forced": sum(ending.forced for ending in endings),
        "mean_rounds": sum(rounds) / len(rounds) if rounds else None,
    }
