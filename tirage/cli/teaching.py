"""Topologies learned from the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import typer

from tirage.agents.teams.edges import EdgeOptimizer
from tirage.agents.teams.learner import TopologyLearner
from tirage.agents.teams.topology import Topology
from tirage.cli.names import make_agent, open_interpreter, open_models
from tirage.config import RolloutConfig
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.doors import run_sync
from tirage.problems import load_problems
from tirage.rollouts.runner import judge, unique
from tirage.rollouts.topologies import Batch, Fared, learn_topology
from tirage.verification.verifiers import Verifiers


class Savable(TopologyLearner, Protocol):
    """A learner that can be kept."""

    def save(self, path: Path) -> None:
        """Write it."""
        ...


def _designer(team: Topology) -> Savable:
    from tirage.agents.teams.gdesigner import GDesigner

    return GDesigner(team)


LEARNERS: dict[str, tuple[Callable[[Topology], Savable], str]] = {
    "gdesigner": (_designer, ".safetensors"),
    "edges": (EdgeOptimizer, ".json"),
}
"""What makes each, and how its files end."""


def teach(config: RolloutConfig, team: Topology, learner: str, out: Path, *, batch: int, price: float) -> None:
    """Learn, telling of each batch, and keep what was learned. Raises `ConfigError` for an unknown learner or a file of another ending."""
    if learner not in LEARNERS:
        raise ConfigError(f"learner {learner!r} is not known; known: {', '.join(LEARNERS)}")
    make, ending = LEARNERS[learner]
    if out.suffix != ending:
        raise ConfigError(f"{out}: a {learner} is kept in a file that ends in {ending}")
    made = make(team)
    problems = unique(load_problems(config.problems))

    def tell(step: Batch) -> None:
        seen = f"{step.queries} of {len(problems)}"
        typer.echo(f"{seen}: {step.right} of {step.graded} right, {step.edges:.1f} edges, {step.tokens:.0f} tokens a problem")

    run_sync(_learn(config, made, problems, batch=batch, price=price, tell=tell))
    made.save(out)
    typer.echo(f"learned: {out}")


async def _learn(
    config: RolloutConfig,
    learner: TopologyLearner,
    problems: tuple[Problem, ...],
    *,
    batch: int,
    price: float,
    tell: Callable[[Batch], None],
) -> None:
    model = await open_models(config.model, config.model_options, config.agent)
    try:
        async with open_interpreter(config.sandbox) as sandbox, Verifiers() as verifiers:

            async def work(team: Topology, problem: Problem, seed: int) -> Fared:
                driven = config.agent.model_copy(update={"options": {"topology": team}})
                agent = make_agent(model, driven, config.sampling, sandbox=sandbox, options=config.sandbox)
                tree = await agent.solve(problem, seed=seed)
                verdict = (await judge(tree, problem, verifiers.of(problem))).get(tree.chosen)
                return Fared(correct=False if verdict is None else verdict.correct, tokens=tree.usage.tokens_out)

            await learn_topology(learner, work, problems, batch=batch, price=price, seed=config.seed, on_batch=tell)
    finally:
        await model.close()
