"""The verifier port: a problem and a response in, a verdict out."""

from typing import Protocol

from tirage.core.problem import Problem
from tirage.core.verdict import Verdict


class Equivalence(Protocol):
    """Says whether two final answers are the same: the one notion of votes, discriminators, agreement and grading."""

    async def equal(self, answer: str, gold: str) -> bool | None:
        """Whether two final answers (no prose, no box) mean the same; None when nobody can say. Never raises for what they contain.

        A unit or a name (`x = 5`) may be missing on one side. May be called concurrently and from any event loop.
        """
        ...


class Verifier(Equivalence, Protocol):
    """Says whether a response solves a problem. `verify` may be called concurrently and from any event loop."""

    @property
    def name(self) -> str:
        """Name and version, e.g. `math/1`; goes into every verdict. The version rises when a verdict may change."""
        ...

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the response (the policy's text after the prompt).

        Never raises for what the response says: a wrong or missing answer is `correct=False`, and what cannot be graded
        (no reference, the grader hung or broke) is `correct=None` with the reason in `detail`.
        """
        ...

    async def close(self) -> None:
        """End the worker processes; idempotent."""
        ...
