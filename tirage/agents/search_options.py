"""Parts, options and limits of a tree search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Protocol

from tirage.agents.policy import Policy
from tirage.agents.siblings import Sameness
from tirage.agents.valuation import Valuer
from tirage.core.budget import Budget
from tirage.core.problem import Problem
from tirage.core.step import Usage
from tirage.core.tree import Tree
from tirage.sandbox.base import Sandbox
from tirage.search.base import Search, SearchMaker
from tirage.search.best_of_n import BestOfN
from tirage.search.stopping import StopRule
from tirage.tools.base import Tool
from tirage.verification.alike import Alike, quickly


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """Limits of one path."""

    max_calls: int = 6
    """Tool calls (START: 6; Qwen2.5-Math: 4)."""
    last_word: bool = True
    """Whether the policy may continue after its last call; else the path ends there, unsolved (Qwen2.5-Math)."""
    max_steps: int = 16
    """Steps of a path."""
    max_failures: int = 3
    """Failing calls in a row before the policy is asked to continue without code."""
    concurrency: int = 16
    """Trials of one tree in flight at once."""

    def within(self, budget: Budget) -> "PathLimits":
        """These limits, and no path longer than the budget's depth."""
        return self if budget.depth is None else replace(self, max_steps=min(self.max_steps, budget.depth))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which path is the answer, and what finding out cost."""

    node: int
    """The root for none."""
    usage: Usage = field(default_factory=Usage)


class Chooser(Protocol):
    """Chooses the answer of a tree that is grown. It never sees the reference."""

    async def choose(self, problem: Problem, tree: Tree, answers: Mapping[int, str | None], seed: int) -> Choice:
        """One of the ended paths. `answers`: of each ended leaf, equal answers spelt the same. Raises the `TirageError` family."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What guides the growth of a tree, besides its search."""

    valuer: Valuer | None = None
    """Values nodes for searches that go by values."""
    budget: Budget = field(default_factory=Budget)
    """Of each tree by itself."""
    stop_rules: Callable[[], Sequence[StopRule]] = tuple
    """Makes the rules by which a tree may stop early."""
    merge: Sameness | None = None
    """When a step is taken for the state of a sibling: for the same state, or for the same text; None: never."""
    lm_share: float | None = None
    """LATS' l, in [0, 1]: the valuer's share of a value, the rest being how many siblings agree; None: the valuer alone."""
    chooser: Chooser | None = None
    """Has the last word on which path is the answer."""


def one_chain(*, seed: int) -> Search:
    """The search of a single chain."""
    return BestOfN()


@dataclass(eq=False)
class SearchParts:
    """Everything that growing a tree uses; a single chain by default."""

    policy: Policy
    _: KW_ONLY
    tools: Mapping[str, Tool]
    sandbox: Sandbox | None
    """None when no tool needs a session."""
    search: SearchMaker = one_chain
    answer_of: Callable[[str], str | None] | None = None
    """Finds the final answer in what the policy said; None leaves that to the problem's verifier."""
    alike: Alike = quickly
    """Which answers are the same, in votes and between siblings."""
    limits: PathLimits = PathLimits()
    """No path is longer than the depth of the tree's budget."""
    search_options: SearchOptions = SearchOptions()

    def __post_init__(self) -> None:
        self.limits = self.limits.within(self.search_options.budget)
