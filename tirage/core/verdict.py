"""Verdict and Reward: is it right, and the number training sees. "Could not grade" is not zero."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Preference = Literal["first", "second", "tie"]
"""Which of two answers is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A verifier's judgement of one outcome."""

    correct: bool | None
    """True, False, or None: ungraded (the verifier failed, timed out or has nothing to compare with)."""
    score: float | None = None
    """In [0, 1]; None when ungraded. Scorers with partial credit set `correct` at 1.0 only."""
    verifier: str
    """Verifier name and version, e.g. `math/1`."""
    answer: str | None = None
    """The final answer that was extracted; None when extraction found nothing."""
    extraction: str = ""
    """How the answer was found: boxed, tag, phrase, fenced, last-number, choice, whole, none."""
    detail: str = ""
    """One line for people; for an ungraded verdict the reason."""

    @property
    def ungraded(self) -> bool:
        """True when nobody could say."""
        return self.correct is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """Named parts with weights; the total is derived, the unweighted parts are kept."""

    parts: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    """Missing names weigh 1."""

    @property
    def total(self) -> float:
        """Weighted sum of the parts, in name order (so that it is the same float every time)."""
        return sum(self.parts[name] * self.weights.get(name, 1.0) for name in sorted(self.parts))
