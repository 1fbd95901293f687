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
    """Estimates prefixes and ended paths. A valuer is a subclass: what it does not declare has the defaults below."""

    sees_answer: bool = False
    """Whether it is handed the problem with its reference answer: for training data and upper bounds only."""
    most_tokens: int | None = None
    """Tokens that it samples for one value at most; None where it cannot say."""

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """The worth of `path`. `seed` fixes every draw. Raises the `TirageError` family when what it asks is broken."""
        ...


def shown_to(judge: Valuer | None, problem: Problem) -> Problem:
    """The problem as `judge` may see it: with its reference only where the judge declares `sees_answer`."""
    return problem if judge is not None and judge.sees_answer else problem.asked


def most_tokens_of(valuer: Valuer | None) -> int | None:
    """Tokens that a valuer samples for one value at most; 0 where it is none, None where it does not say."""
    return 0 if valuer is None else valuer.most_tokens


def together(*parts: int | None) -> int | None:
    """The sum; None as soon as a part is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
