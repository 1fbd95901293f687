"""Topologies learned from the command line."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import typer
from pydantic import Field

from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.models.base import Model
from tirage.problems import load_problems
from tirage.rollouts.runner import Runner, rollout_key, unique
from tirage.rollouts.topology_learning import Batch, Fared, learn_topology
from tirage.runtime.config import RolloutConfig
from tirage.runtime.opening import make_agent, open_interpreter, open_models
from tirage.runtime.runs import RunFolder
from tirage.runtime.solving import run_sync
from tirage.runtime.stages import Plan, own_verifiers, stage_of
from tirage.sandbox.base import Sandbox
from tirage.teams.edges import EdgeOptimizer
from tirage.teams.learner import TopologyLearner
from tirage.teams.topology import Topology
from tirage.verification.verifiers import Verifiers

STAGE = "topology"
"""Of the rollouts that were learned from."""


class Savable(TopologyLearner, Protocol):
    """A learner that can be kept."""

    def save(self, path: Path) -> None:
        """Write it."""
        ...


def _designer(team: Topology) -> Savable:
    from tirage.teams.gdesigner import GDesigner

    return GDesigner(team)


LEARNERS: dict[str, tuple[Callable[[Topology], Savable], str]] = {
    "gdesigner": (_designer, ".safetensors"),
    "edges": (EdgeOptimizer, ".json"),
}
"""What makes each, and how its files end."""


class TeachConfig(RolloutConfig):
    """Rollouts of teams that a topology is learned from; the run folder holds them to it."""

    team: Mapping[str, Any] = Field(description="the team, its edges aside, as `Topology.to_dict` gives it")
    learner: str = Field(description="gdesigner or edges")
    batch: int = Field(ge=1, description="problems between two steps")
    price: float = Field(ge=0, description="utility that 1,000 sampled tokens cost")


def check_learner(learner: str, out: Path) -> None:
    """Raises `ConfigError` for an unknown learner or a file of another ending."""
    if learner not in LEARNERS:
        raise ConfigError(f"learner {learner!r} is not known; known: {', '.join(LEARNERS)}")
    ending = LEARNERS[learner][1]
    if out.suffix != ending:
        raise ConfigError(f"{out}: a {learner} is kept in a file that ends in {ending}")


def teach(config: TeachConfig, out: Path, folder: Path, *, as_json: bool) -> None:
    """Learn, telling of each batch, and keep what was learned in `out` and what the teams did in the run folder.

    What the folder holds already is not done again: the learner draws the same teams and is told the same of them. Raises `DataError`
    when no answer could be graded.
    """
    learner = LEARNERS[config.learner][0](Topology.from_dict(config.team))
    problems = unique(load_problems(config.problems))
    batches: list[Batch] = []

    def tell(step: Batch) -> None:
        batches.append(step)
        if not as_json:
            seen = f"{step.queries} of {len(problems)}"
            typer.echo(f"{seen}: {step.right} of {step.graded} right, {step.edges:.1f} edges, {step.tokens:.0f} tokens a problem")

    with RunFolder(folder, config) as run:
        resumed = run.finished(STAGE, problems, 1)
        if resumed and not as_json:
            typer.echo(f"{resumed} of {len(problems)} problems were finished before, in {folder}")
        run_sync(_learn(config, learner, problems, run, tell))
    if not any(step.graded for step in batches):
        raise DataError(
            f"none of the {len(problems)} problems could be graded, so nothing was learned; `tirage trace ls {folder}` says why"
        )
    learner.save(out)
    if as_json:
        print(json.dumps({"learned": str(out), "run": str(folder), "resumed": resumed, "batches": [asdict(step) for step in batches]}))
        return
    typer.echo(f"learned: {out} (tirage topology show {out} --query ...); what the teams did: {folder}")


async def _learn(
    config: TeachConfig, learner: TopologyLearner, problems: tuple[Problem, ...], run: RunFolder, tell: Callable[[Batch], None]
) -> None:
    model = await open_models(config.model, config.model_options, config.agent)
    try:
        async with open_interpreter(config.sandbox) as sandbox, Verifiers(own_verifiers(config)) as verifiers:
            work = _Work(config, run, model, sandbox, verifiers)
            await learn_topology(learner, work, problems, batch=config.batch, price=config.price, seed=config.seed, on_batch=tell)
    finally:
        await model.close()


@dataclass(frozen=True, slots=True)
class _Work:
    """Lets a team work on a problem, unless the run folder says how it fared."""

    config: TeachConfig
    run: RunFolder
    model: Model
    sandbox: Sandbox
    verifiers: Verifiers

    async def __call__(self, team: Topology, problem: Problem, seed: int) -> Fared:
        config, key = self.config, rollout_key(STAGE, problem, 0)
        if key not in self.run.store.keys(STAGE):
            driven = config.agent.model_copy(update={"options": {"topology": team}})
            agent = make_agent(self.model, driven, config.sampling, sandbox=self.sandbox, options=config.sandbox, alike=self.verifiers)
            stage = stage_of(config, Plan(name=STAGE, problems=(problem,), sampling=config.sampling, agent=driven), self.model)
            await Runner(agent, self.verifiers.of, self.run.store, seed=seed).run(stage, on_start=self.run.begun)
        rollout = self.run.store.get(key)
        if f"@{team.fingerprint}" not in rollout.tree.policy_id:
            raise DataError(
                f"{self.run.folder} holds another team's work on problem {problem.id}: this version or machine learns otherwise; "
                "start over in another folder (--run)"
            )
        return Fared(correct=rollout.correct, tokens=rollout.tree.usage.tokens_out)
