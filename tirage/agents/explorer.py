"""The explorer: drives any search with a policy, tools and sandbox branches, and returns the tree.

A single chain is the trivial search, so greedy decoding, best-of-N and tree search share its loop (`growth.py`).
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from tirage.agents.draft import Policy
from tirage.agents.driver import Log, SearchDriver, StepEvent
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.core.budget import Budget, Meter
from tirage.core.problem import Problem
from tirage.core.tree import Tree
from tirage.sandbox.base import Sandbox
from tirage.search.base import Search, SearchMaker
from tirage.search.best_of_n import BestOfN
from tirage.tools.base import Tool
from tirage.verification.alike import Alike, quickly


class Agent(Protocol):
    """Drives one problem to an outcome."""

    async def solve(
        self,
        problem: Problem,
        *,
        seed: int,
        meter: Meter | None = None,
        on_step: Callable[[StepEvent], None] | None = None,
        log: Log | None = None,
    ) -> Tree:
        """Grow a tree for `problem` and choose its answer; what `log` knows is not done again."""
        ...


def one_chain(*, seed: int) -> Search:
    """The search of a single chain."""
    return BestOfN()


class Explorer:
    """The agent that runs every strategy."""

    def __init__(
        self,
        policy: Policy,
        *,
        tools: Mapping[str, Tool],
        sandbox: Sandbox | None,
        search: SearchMaker = one_chain,
        answer_of: Callable[[str], str | None] | None = None,
        alike: Alike = quickly,
        limits: PathLimits | None = None,
        search_options: SearchOptions | None = None,
    ) -> None:
        """See `Equipment`; a single chain by default. `sandbox` may be None when no tool needs a session."""
        self.policy = policy
        self.tools = tools
        self.sandbox = sandbox
        self.search = search
        self.answer_of = answer_of
        self.alike = alike
        self.search_options = search_options or SearchOptions()
        self.limits = (limits or PathLimits()).within(self.search_options.budget)

    @property
    def most_tokens(self) -> int | None:
        """Sampled on one path at most, where the policy says what it samples for a step."""
        step = getattr(self.policy, "most_tokens", None)
        return None if step is None else step * self.limits.max_steps

    async def solve(
        self,
        problem: Problem,
        *,
        seed: int,
        meter: Meter | None = None,
        on_step: Callable[[StepEvent], None] | None = None,
        log: Log | None = None,
    ) -> Tree:
        """Grow a tree until the search is done or a budget is spent. Raises only what `stepper.FATAL` names."""
        messages, prompt = self.policy.prompt(problem.asked)
        tree = Tree(problem_id=problem.id, policy_id=self.policy.id, seed=seed, prompt=prompt)
        growth = SearchDriver(self, problem, messages, tree, meter=meter or Meter(Budget()), log=log, on_step=on_step)
        try:
            await growth.run()
        finally:
            await growth.close()
        tree.chosen = await growth.choose()
        return tree
