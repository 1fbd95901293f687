"""Budget: limits shared by a whole tree or team. Hitting one ends the work with a reason and the partial result."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tirage.core.step import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Upper limits; None means unlimited. All but `depth` are totals over everything that shares the budget."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    sandbox_s: float | None = None
    wall_s: float | None = None
    cost_usd: float | None = None
    nodes: int | None = None
    """Steps of a tree, whatever became of them."""
    depth: int | None = None
    """Steps of one path; of one turn where several roles speak."""

    def __post_init__(self) -> None:
        """Refuse negative limits; zero is a valid limit (nothing may be spent)."""
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and value < 0:
                raise ValueError(f"budget {item.name}={value} is negative; use None for unlimited")


_COUNTED = ("tokens_in", "tokens_out", "model_calls", "tool_calls", "sandbox_s", "cost_usd")
"""What `Usage` and `Budget` both name."""


@dataclass(slots=True)
class Meter:
    """Spending against a budget: reserve before dispatch, settle on return.

    Reservations keep concurrent work from jointly overshooting: what is in flight counts as spent.
    """

    budget: Budget
    above: "Meter | None" = None
    """What shares in everything that is spent here: the budget of a run above that of a team."""
    spent: Usage = field(default_factory=Usage)
    reserved: Usage = field(default_factory=Usage)
    _limits: tuple[tuple[str, float], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Note what is limited at all: it is asked before every step."""
        limits = ((name, getattr(self.budget, name)) for name in _COUNTED)
        self._limits = tuple((name, limit) for name, limit in limits if limit is not None)

    def exhausted(self, *, elapsed_s: float = 0.0, in_flight: bool = True) -> str | None:
        """Name of the first limit that is reached by spent plus reserved (by spent alone without `in_flight`), None while there is room.

        `elapsed_s` is the wall time used so far; the clock is the caller's.
        """
        if self.budget.wall_s is not None and elapsed_s >= self.budget.wall_s:
            return "wall_s"
        if self.budget.depth == 0:
            return "depth"
        for name, limit in self._limits:
            if getattr(self.spent, name) + (getattr(self.reserved, name) if in_flight else 0) >= limit:
                return name
        return self.above.exhausted(in_flight=in_flight) if self.above is not None else None

    def left(self, name: str, *, in_flight: bool = True) -> float | None:
        """What is left of a limit here and above, spent and (with `in_flight`) reserved taken off; None when unlimited."""
        limit = getattr(self.budget, name)
        own = None if limit is None else limit - getattr(self.spent, name) - (getattr(self.reserved, name) if in_flight else 0)
        above = self.above.left(name, in_flight=in_flight) if self.above is not None else None
        return own if above is None else above if own is None else min(own, above)

    def reserve(self, usage: Usage) -> None:
        """Count `usage` as in flight."""
        self.reserved = self.reserved + usage
        if self.above is not None:
            self.above.reserve(usage)

    def settle(self, reserved: Usage, actual: Usage) -> None:
        """Give back a reservation and record what was really used."""
        left = self.reserved - reserved
        if min(left.tokens_in, left.tokens_out, left.model_calls, left.tool_calls, left.sandbox_s, left.cost_usd) < 0:
            name = next(name for name in _COUNTED if getattr(left, name) < 0)
            raise ValueError(f"settling more {name} than was reserved")
        self.reserved = left
        self.spent = self.spent + actual
        if self.above is not None:
            self.above.settle(reserved, actual)

    def recall(self, actual: Usage) -> None:
        """Count what an interrupted run of the same work spent, here alone: budgets above are of this run."""
        self.spent = self.spent + actual


class OutOfBudget(Exception):
    """A limit is reached; the message names it. The agent turns it into `Tree.ended`."""

    def __init__(self, reason: str, turns: Sequence[Any] = ()) -> None:
        """`turns`: of several that were asked for together, those that were still taken."""
        super().__init__(reason)
        self.turns = turns
