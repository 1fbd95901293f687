"""Votes by the verifier's own equivalence: equal answers get one spelling, that of the first, and whoever counts compares texts."""

from collections.abc import Callable, Iterable

from tirage.core.problem import Problem
from tirage.verification.base import Equivalence
from tirage.verification.equality.equivalence import normalise, quick_equal

MOST_ASKED = 16
"""Spellings with which an answer is compared at a cost, the most frequent first; by then a vote is decided."""


class Quick:
    """What needs no verifier: equal as plain numbers, or as text but for notation that carries no meaning."""

    async def equal(self, answer: str, gold: str) -> bool | None:
        """As `quick_equal`, which is None where only algebra could tell."""
        return quick_equal(answer, gold)


Alike = Callable[[Problem], Equivalence]
"""Which answers to a problem are the same. It gets the problem without its reference."""
_BY_ALGEBRA = ("math", "gym")
"""Verifiers whose `equal` begins with `quick_equal`, and goes on to something that costs time."""


def quickly(problem: Problem) -> Equivalence:
    """The equivalence where no verifier is at hand."""
    return Quick()


class Spelling:
    """Gives every answer to one problem the spelling of the first one that means the same. Ask in a fixed order."""

    def __init__(self, problem: Problem, alike: Alike = quickly) -> None:
        """`problem`: without its reference."""
        self._equal = alike(problem).equal
        self._by_algebra = problem.verifier in _BY_ALGEBRA
        self._known: dict[str, str] = {}
        self._votes: dict[str, int] = {}

    async def of(self, answer: str | None) -> str | None:
        """The spelling of an answer; None for none. What cannot be told counts as different."""
        if answer is None:
            return None
        known = self._known.get(answer)
        if known is None:
            plain = normalise(answer)
            known = self._known.get(plain) or await self._found(answer) or answer
            self._known[answer] = known
            self._known.setdefault(plain, known)
        self._votes[known] = self._votes.get(known, 0) + 1
        return known

    async def all(self, answers: Iterable[str | None]) -> list[str | None]:
        """The spellings of several, in order."""
        return [await self.of(answer) for answer in answers]

    async def _found(self, answer: str) -> str | None:
        """The spelling among those that are known: first by what costs nothing, then by the verifier."""
        firsts = sorted(self._votes, key=lambda first: -self._votes[first])
        if self._by_algebra:
            quick = {first: quick_equal(answer, first) for first in firsts}
            same = next((first for first in firsts if quick[first]), None)
            if same is not None:
                return same
            firsts = [first for first in firsts if quick[first] is None]
        for first in firsts[:MOST_ASKED] if self._by_algebra else firsts:
            if await self._equal(answer, first):
                return first
        return None
