"""Budget: limits shared by a whole tree or team. Hitting one ends the work with a reason and the partial result."""

from dataclasses import dataclass, field, fields

from tirage.core.step import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Upper limits; None means unlimited. All are totals over everything that shares the budget."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    sandbox_s: float | None = None
    wall_s: float | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        """Refuse negative limits; zero is a valid limit (nothing may be spent)."""
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and value < 0:
                raise ValueError(f"budget {item.name}={value} is negative; use None for unlimited")


@dataclass(slots=True)
class Meter:
    """Spending against a budget: reserve before dispatch, settle on return.

    Reservations keep concurrent work from jointly overshooting: what is in flight counts as spent.
    """

    budget: Budget
    spent: Usage = field(default_factory=Usage)
    reserved: Usage = field(default_factory=Usage)

    def exhausted(self, *, elapsed_s: float = 0.0) -> str | None:
        """Name of the first limit that is reached by spent plus reserved, None while there is room.

        `elapsed_s` is the wall time used so far; the clock is the caller's.
        """
        if self.budget.wall_s is not None and elapsed_s >= self.budget.wall_s:
            return "wall_s"
        for name in ("tokens_in", "tokens_out", "model_calls", "tool_calls", "sandbox_s", "cost_usd"):
            limit = getattr(self.budget, name)
            if limit is not None and getattr(self.spent, name) + getattr(self.reserved, name) >= limit:
                return name
        return None

    def reserve(self, usage: Usage) -> None:
        """Count `usage` as in flight."""
        self.reserved = self.reserved + usage

    def settle(self, reserved: Usage, actual: Usage) -> None:
        """Give back a reservation and record what was really used."""
        for name in ("tokens_in", "tokens_out", "model_calls", "tool_calls", "sandbox_s", "cost_usd"):
            if getattr(reserved, name) > getattr(self.reserved, name):
                raise ValueError(f"settling more {name} than was reserved")
        self.reserved = Usage(
            tokens_in=self.reserved.tokens_in - reserved.tokens_in,
            tokens_out=self.reserved.tokens_out - reserved.tokens_out,
            model_calls=self.reserved.model_calls - reserved.model_calls,
            tool_calls=self.reserved.tool_calls - reserved.tool_calls,
            sandbox_s=self.reserved.sandbox_s - reserved.sandbox_s,
            cost_usd=self.reserved.cost_usd - reserved.cost_usd,
        )
        self.spent = self.spent + actual
