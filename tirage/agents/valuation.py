"""What a path is worth, estimated before or without its verdict. Nothing here sees a reference answer unless its name says so."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from tirage.core.problem import Problem
from tirage.core.step import Usage
from tirage.core.trajectory import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value and what it cost."""

    value: float | None
    """In [0, 1], larger is better (plan-space search: [-1, 1]); None: cannot say."""
    note: str = ""
    """In words: a critique, a reflection."""
    usage: Usage = field(default_factory=Usage)


@runtime_checkable
class Valuer(Protocol):
    """Estimates prefixes and ended paths."""

    # A valuer may have an attribute `sees_answer`: True hands it the problem with its reference. Without it nobody does. It may have an
    # attribute `most_tokens`: what it samples for one value at most. Without it nobody knows, see `most_tokens_of`.

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """The worth of `path`. `seed` fixes every draw. Raises the `TirageError` family when what it asks is broken."""
        ...


def shown_to(judge: object, problem: Problem) -> Problem:
    """The problem as `judge` may see it: with its reference only where the judge declares `sees_answer`."""
    return problem if getattr(judge, "sees_answer", False) else problem.asked


def most_tokens_of(valuer: object) -> int | None:
    """Tokens that a valuer samples for one value at most; 0 where it is none, None where it does not say."""
    return 0 if valuer is None else getattr(valuer, "most_tokens", None)


def together(*parts: int | None) -> int | None:
    """The sum; None as soon as a part is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
