"""Topologies learned from what teams achieve, in a run folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.problems import load_problems
from tirage.rollouts.runner import Runner, rollout_key, unique
from tirage.rollouts.topology_learning import Batch, Fared, learn_topology
from tirage.runtime.config import RolloutConfig
from tirage.runtime.runs import RunFolder
from tirage.runtime.runtime import Runtime
from tirage.runtime.stages import Plan, stage_of
from tirage.teams.edges import EdgeOptimizer
from tirage.teams.learner import TopologyLearner
from tirage.teams.topology import Topology

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What came of learning a topology."""

    resumed: int
    """Problems that the run folder had finished before."""
    batches: tuple[Batch, ...]


async def teach(config: TeachConfig, out: Path, folder: Path, note: Callable[[str], None]) -> Taught:
    """Learn, with a note of each batch, and keep what was learned in `out` and what the teams did in the run folder.

    What the folder holds already is not done again: the learner draws the same teams and hears the same of them. Raises `DataError`
    when no answer could be graded.
    """
    learner = LEARNERS[config.learner][0](Topology.from_dict(config.team))
    problems = unique(load_problems(config.problems))
    batches: list[Batch] = []

    def tell(step: Batch) -> None:
        batches.append(step)
        seen = f"{step.queries} of {len(problems)}"
        note(f"{seen}: {step.right} of {step.graded} right, {step.edges:.1f} edges, {step.tokens:.0f} tokens a problem")

    with RunFolder(folder, config) as run:
        resumed = run.finished(STAGE, problems, 1)
        if resumed:
            note(f"{resumed} of {len(problems)} problems were finished before, in {folder}")
        async with Runtime(config) as runtime:
            work = _Work(config, run, runtime)
            await learn_topology(learner, work, problems, batch=config.batch, price=config.price, seed=config.seed, on_batch=tell)
    if not any(step.graded for step in batches):
        raise DataError(
            f"none of the {len(problems)} problems could be graded, so nothing was learned; `tirage trace ls {folder}` says why"
        )
    learner.save(out)
    return Taught(resumed=resumed, batches=tuple(batches))


@dataclass(frozen=True, slots=True)
class _Work:
    """Lets a team work on a problem, unless the run folder says how it fared."""

    config: TeachConfig
    run: RunFolder
    runtime: Runtime

    async def __call__(self, team: Topology, problem: Problem, seed: int) -> Fared:
        config, key = self.config, rollout_key(STAGE, problem, 0)
        if key not in self.run.store.keys(STAGE):
            driven = config.agent.model_copy(update={"options": {"topology": team}})
            plan = Plan(name=STAGE, problems=(problem,), sampling=config.sampling, agent=driven)
            runner = Runner(self.runtime.agent(driven), self.runtime.verifiers.of, self.run.store, seed=seed, keep_broken=True)
            await runner.run(stage_of(config, plan, self.runtime.model), on_start=self.run.begun)
        rollout = self.run.store.get(key)
        if f"@{team.fingerprint}" not in rollout.tree.policy_id:
            raise DataError(
                f"{self.run.folder} holds another team's work on problem {problem.id}: this version or machine learns otherwise; "
                "start over in another folder (--run)"
            )
        return Fared(correct=rollout.correct, tokens=rollout.tree.usage.tokens_out)
