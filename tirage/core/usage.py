"""What something cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What something cost. Sums with +, and - takes away."""

    tokens_in: int = 0
    """Prompt tokens sent."""
    tokens_out: int = 0
    """Tokens sampled, including sampled tokens that were cut away."""
    tokens_cached: int = 0
    """Prompt tokens the server took from its prefix cache; 0 when it does not tell."""
    model_calls: int = 0
    tool_calls: int = 0
    sandbox_s: float = 0.0
    """Seconds spent in tools."""
    cost_usd: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        """Add field by field."""
        return Usage(
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            model_calls=self.model_calls + other.model_calls,
            tool_calls=self.tool_calls + other.tool_calls,
            sandbox_s=self.sandbox_s + other.sandbox_s,
            cost_usd=self.cost_usd + other.cost_usd,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        """Subtract field by field."""
        return Usage(
            tokens_in=self.tokens_in - other.tokens_in,
            tokens_out=self.tokens_out - other.tokens_out,
            tokens_cached=self.tokens_cached - other.tokens_cached,
            model_calls=self.model_calls - other.model_calls,
            tool_calls=self.tool_calls - other.tool_calls,
            sandbox_s=self.sandbox_s - other.sandbox_s,
            cost_usd=self.cost_usd - other.cost_usd,
        )
