"""START's hints as moves of a search: siblings continue their parent with different hints, or one path takes hint after hint.

arXiv 2503.04625, section 3: hints differ in family; repeated at the end of thinking they scale test time sequentially. The policy places
the hint that a move names; these wrappers only say which. Moves that the wrapped search gives itself are left alone.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from tirage.core.seeds import derive_seed
from tirage.core.tree import Node, Tree
from tirage.search.base import Search, Trial

PREFIX = "hint:"
"""A move that names a hint: this, then its id."""


class _Hinted(ABC):
    """A search whose trials are given moves on the way out; it is told the same trials, by their ids."""

    def __init__(self, search: Search, families: Mapping[str, str], *, seed: int) -> None:
        """`families`: each hint's family by its id, at least one hint, else ValueError."""
        if not families:
            raise ValueError("hint moves need at least one hint")
        self._search = search
        self._families = dict(families)
        self._seed = seed
        self.valued = search.valued

    @abstractmethod
    def _hint(self, tree: Tree, trial: Trial) -> str | None:
        """The id of the hint for a trial; None leaves it to the policy."""

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """The wrapped search's trials with moves."""
        return [self._moved(tree, trial) for trial in self._search.ask(tree, most)]

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Passed on."""
        self._search.tell(tree, trial, node)

    def is_closed(self, index: int) -> bool:
        """As the wrapped search says."""
        return self._search.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """As the wrapped search says."""
        return self._search.choose(tree, answers)

    def _moved(self, tree: Tree, trial: Trial) -> Trial:
        hint = None if trial.move else self._hint(tree, trial)
        return trial if hint is None else replace(trial, move=PREFIX + hint)


class HintedChildren(_Hinted):
    """A node's first child is the policy's own; each further one has a hint that no sibling has, as long as there are any."""

    def _hint(self, tree: Tree, trial: Trial) -> str | None:
        drawn = draw(self._families, derive_seed(self._seed, trial.parent))
        return drawn[trial.sample - 1] if 0 < trial.sample <= len(drawn) else None


class HintedRounds(_Hinted):
    """Each path is given `rounds` hints of different families, one after the other, then left to answer.

    A hint that the policy had no occasion to place (the step has no record of it) is offered again with the next step.
    """

    def __init__(self, search: Search, families: Mapping[str, str], *, seed: int, rounds: int) -> None:
        """`rounds` from 1 to the number of families, else ValueError."""
        super().__init__(search, families, seed=seed)
        if not 1 <= rounds <= len(set(families.values())):
            raise ValueError(f"rounds must be from 1 to the number of families ({len(set(families.values()))}), got {rounds}")
        self._rounds = rounds

    def _hint(self, tree: Tree, trial: Trial) -> str | None:
        path = tree.path(trial.parent)
        # As the explorer seeds hints: they belong to the draw from the root with which the path began.
        drawn = draw(self._families, derive_seed(self._seed, path[0].sample if path else trial.sample))
        given = sum(node.step is not None and node.step.hint is not None for node in path)
        return drawn[given] if given < self._rounds else None


def draw(families: Mapping[str, str], seed: int) -> list[str]:
    """All ids in random order without replacement, no family again before every other had its turn or is used up."""
    rng = random.Random(seed)
    ids = sorted(families)
    rng.shuffle(ids)
    turns: dict[str, int] = {}
    turn: dict[str, int] = {}
    for name in ids:
        turn[name] = turns[families[name]] = turns.get(families[name], -1) + 1
    return sorted(ids, key=turn.__getitem__)
