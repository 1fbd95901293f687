"""Votes over answers that mean the same: grouped by the framework's equivalence, not by how they are written."""

from collections.abc import Callable, Sequence

from tirage.verification.equality.equivalence import normalise, quick_equal

Same = Callable[[str, str], bool]
"""Whether an answer means what the first of a class means."""


def equal(answer: str, first: str) -> bool:
    """Equal as numbers, or as text but for notation that carries no meaning."""
    return bool(quick_equal(answer, first)) or normalise(answer) == normalise(first)


def classes(answers: Sequence[str | None], same: Same = equal) -> list[int]:
    """The number of each answer's class, counted from 0 in order of first appearance; -1 for None, which never counts."""
    found: list[str] = []
    known: dict[str, int] = {}
    numbers = []
    for answer in answers:
        if answer is None:
            numbers.append(-1)
            continue
        if answer not in known:
            known[answer] = next((place for place, first in enumerate(found) if same(answer, first)), len(found))
            if known[answer] == len(found):
                found.append(answer)
        numbers.append(known[answer])
    return numbers


def winners(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> list[int]:
    """Places of the answers of the heaviest class, in order; ties go to the class that came first, and without any answer there is none.

    `weights`: one per answer, >= 0; 1 each by default. Where all are 0 they count as 1.
    """
    heavy = weights if weights is not None and any(weights) else [1.0] * len(answers)
    totals: dict[int, float] = {}
    numbers = classes(answers)
    for number, weight in zip(numbers, heavy, strict=True):
        if number >= 0:
            totals[number] = totals.get(number, 0.0) + weight
    best = max(totals, key=lambda number: totals[number], default=-1)
    return [place for place, number in enumerate(numbers) if number == best >= 0]


def plurality(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> int | None:
    """Place of the first answer of the heaviest class (see `winners`); None without any answer."""
    return next(iter(winners(answers, weights)), None)
