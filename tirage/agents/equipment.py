"""What an agent brings to a tree."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tirage.agents.policy import Policy
from tirage.agents.valuers import Valuer
from tirage.core.budget import Budget
from tirage.sandbox.base import Sandbox
from tirage.search.base import SearchMaker
from tirage.search.stopping import StopRule
from tirage.tools.base import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """Limits of one path."""

    max_calls: int = 6
    """Tool calls (START: 6; Qwen2.5-Math: 4)."""
    max_steps: int = 16
    """Steps of a path; it is part of no budget, for budgets are totals of a tree."""
    max_failures: int = 3
    """Failing calls in a row before the policy is told to go on without code."""
    concurrency: int = 16
    """Trials of one tree in flight at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What guides the growth of a tree, besides its search."""

    valuer: Valuer | None = None
    """Values nodes for searches that go by values."""
    budget: Budget = field(default_factory=Budget)
    """Of each tree by itself."""
    stop_rules: Callable[[], Sequence[StopRule]] = tuple
    """Makes the rules by which a tree may stop early."""
    merge: bool = False
    """Whether a step that repeats a sibling's calls and their results, or its answer, is taken for the sibling's state."""


class Equipment(Protocol):
    """Everything that growing a tree uses; `Explorer` is one."""

    policy: Policy
    tools: Mapping[str, Tool]
    sandbox: Sandbox | None
    search: SearchMaker
    answer_of: Callable[[str], str | None]
    """Finds the final answer in a response."""
    limits: PathLimits
    steering: Steering
