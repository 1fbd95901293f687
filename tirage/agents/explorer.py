"""The explorer: drives any search with a policy, tools and sandbox branches, and returns the tree.

A single chain is the trivial search, so greedy decoding, best-of-N and tree search share its loop (`driver.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tirage.agents.driver import Log, SearchDriver, StepEvent
from tirage.agents.search_options import SearchParts
from tirage.core.budget import Budget, Meter
from tirage.core.problem import Problem
from tirage.core.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveContext:
    """What comes with a problem when an agent solves it."""

    seed: int
    """Fixes every draw: the same problem, agent and seed give the same tree."""
    meter: Meter | None = None
    """Counts what is spent, against the budget of all that shares it; None for no limit from outside."""
    on_step: Callable[[StepEvent], None] | None = None
    """Is shown each node as soon as it is in the tree."""
    log: Log | None = None
    """Keeps each outcome; what it knows of an interrupted run is not done again."""


class Agent(Protocol):
    """Drives one problem to an outcome. An agent is a subclass: what it does not declare has the defaults below."""

    @property
    def step_tokens(self) -> int | None:
        """Tokens that one of its steps samples at most; None where it cannot say."""
        return None

    @property
    def most_tokens(self) -> int | None:
        """Tokens that one path samples at most; None where it cannot say."""
        return None

    async def solve(self, problem: Problem, context: SolveContext) -> Tree:
        """Grow a tree for `problem` and choose its answer."""
        ...


class Explorer(SearchParts, Agent):
    """The agent that runs every strategy."""

    @property
    def step_tokens(self) -> int | None:
        """As the policy says."""
        return self.policy.most_tokens

    @property
    def most_tokens(self) -> int | None:
        """That of all steps that a path may have."""
        return None if self.step_tokens is None else self.step_tokens * self.limits.max_steps

    async def solve(self, problem: Problem, context: SolveContext) -> Tree:
        """Grow a tree until the search is done or a budget is spent. Raises only what `step_executor.FATAL` names."""
        messages, prompt = self.policy.prompt(problem.asked)
        tree = Tree(problem_id=problem.id, policy_id=self.policy.id, seed=context.seed, prompt=prompt)
        meter = context.meter or Meter(Budget())
        driver = SearchDriver(self, problem, messages, tree, meter=meter, log=context.log, on_step=context.on_step)
        try:
            await driver.run()
        finally:
            await driver.close()
        tree.chosen = await driver.choose()
        return tree
