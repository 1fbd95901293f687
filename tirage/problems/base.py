"""ProblemSet: a named, ordered, immutable sequence of problems."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed

HELDOUT_SHARE = 5
"""One question text in this many belongs to the held-out side."""


@dataclass(frozen=True, slots=True)
class ProblemSet(Sequence[Problem]):
    """Problems in a fixed order. Slices, filters and splits are problem sets again."""

    name: str
    problems: tuple[Problem, ...]

    def __len__(self) -> int:
        return len(self.problems)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> "ProblemSet": ...
    def __getitem__(self, index: int | slice) -> "Problem | ProblemSet":
        """One problem, or a slice as a set under the same name."""
        if isinstance(index, slice):
            return ProblemSet(self.name, self.problems[index])
        return self.problems[index]

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the problems' ids in order: equal exactly when the same problems come in the same order."""
        return hashlib.sha256("\n".join(problem.id for problem in self.problems).encode()).hexdigest()[:16]

    def filter(self, keep: Callable[[Problem], bool]) -> "ProblemSet":
        """The problems for which `keep` is true, in order; possibly empty."""
        return ProblemSet(self.name, tuple(problem for problem in self.problems if keep(problem)))

    def of_split(self, split: str) -> "ProblemSet":
        """The problems marked with this split, in order; possibly empty."""
        return self.filter(lambda problem: problem.split == split)

    def marked(self, split: str) -> "ProblemSet":
        """The same problems, all marked with `split`; ids do not change."""
        return ProblemSet(self.name, tuple(replace(problem, split=split) for problem in self.problems))

    def split(self, share: float, *, seed: int = 0) -> "tuple[ProblemSet, ProblemSet]":
        """Part the set in two: about `share` of it, and the rest, both in order.

        Each problem is decided by its own id and the seed, so problems that are added later move none of the others, and
        equal problems always land on the same side.

        Raises:
            ValueError: `share` is not in [0, 1].
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share={share} is not in [0, 1]")
        limit = share * 2.0**63
        first = {problem.id for problem in self.problems if derive_seed("split", seed, problem.id) < limit}
        return self.filter(lambda problem: problem.id in first), self.filter(lambda problem: problem.id not in first)

    def distinct(self) -> "ProblemSet":
        """Without repeated ids; the first of equals stays."""
        first: dict[str, Problem] = {}
        for problem in self.problems:
            first.setdefault(problem.id, problem)
        return ProblemSet(self.name, tuple(first.values()))

    def by_family(self) -> "dict[str, ProblemSet]":
        """One set per family, in order of first appearance."""
        groups: dict[str, list[Problem]] = {}
        for problem in self.problems:
            groups.setdefault(problem.family, []).append(problem)
        return {family: ProblemSet(f"{self.name}/{family}", tuple(group)) for family, group in groups.items()}


def interleave(groups: Iterable[Sequence[Problem]]) -> tuple[Problem, ...]:
    """Take one problem of every group in turn until all are used up, so that any prefix is a fair mixture."""
    order = [(position, number, problem) for number, group in enumerate(groups) for position, problem in enumerate(group)]
    order.sort(key=lambda entry: entry[:2])
    return tuple(problem for _, _, problem in order)


def is_heldout(question: str) -> bool:
    """Whether a question text belongs to the held-out side: a fixed fifth of all texts, by hash.

    Independent of seeds, counts and versions, so two runs that never heard of each other agree. White space and case do not matter.
    """
    digest = hashlib.sha256(" ".join(question.lower().split()).encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELDOUT_SHARE == 0
