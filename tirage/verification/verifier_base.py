"""A base for verifiers of one's own: one class with a name and one method, which answers are the same.

    class Roman(VerifierBase):
        name = "roman/1"

        async def equal(self, answer: str, gold: str) -> bool | None:
            return value(answer) == value(gold)

The base finds the final answer where `tirage` shows and counts it, and compares it with every reference that the problem accepts.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from tirage.core.problem import Problem
from tirage.core.verdict import Verdict
from tirage.verification.answer import judge_answer
from tirage.verification.extract import MATH_POLICY, extract


class VerifierBase(ABC):
    """Judges the final answer of a response by `equal`. A verifier that judges something else implements the port `Verifier` itself."""

    name: ClassVar[str]
    """Name and version, such as `roman/1`; goes into every verdict. The version rises when a verdict may change."""

    @abstractmethod
    async def equal(self, answer: str, gold: str) -> bool | None:
        """Whether two final answers mean the same; None when nobody can say, never an error for what they contain."""

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Right when the final answer equals an accepted reference, wrong without an answer, ungraded without a reference."""
        return await judge_answer(self.name, problem, extract(response, MATH_POLICY), self._compare)

    async def close(self) -> None:  # noqa: B027 - optional
        """Nothing to end; a subclass with workers ends them here."""

    async def _compare(self, answer: str, gold: str) -> tuple[bool | None, str]:
        found = await self.equal(answer, gold)
        return found, f"{self.name} cannot compare {answer[:40]!r} with {gold[:40]!r}" if found is None else ""
