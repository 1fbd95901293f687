"""Independent chains: greedy decoding is one chain, best-of-N is N of them, both on the same tree."""

import heapq
from collections.abc import Mapping

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.votes import WEIGHTS, elect


class BestOfN:
    """N chains from the root; the answer is elected by their votes (`votes.WEIGHTS`), the majority by default."""

    def __init__(self, n: int = 1, *, vote: str = "majority") -> None:
        """`n` >= 1 chains; raises ValueError below 1 and for an unknown vote."""
        if n < 1:
            raise ValueError(f"best-of-N needs N >= 1, got {n}")
        if vote not in WEIGHTS:
            raise ValueError(f"vote {vote!r} is not known; known: {', '.join(WEIGHTS)}")
        self.n = n
        self.valued = vote == "value"
        self._weigh = WEIGHTS[vote]
        self._ready: list[tuple[int, int]] = []
        """(chain, tip) of those that can be extended now."""
        self._ids = 0
        self._tips: set[int] = set()
        """Ends of the chains that go on."""
        self._chains: dict[int, int] = {}
        """Node to the chain that it is in."""
        self._flying: dict[int, int] = {}
        """Chain to its trial in flight."""
        self._started = 0

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Extend every chain that is neither pending nor ended, in chain order, then start those that are missing."""
        trials: list[Trial] = []
        while len(trials) < most and (self._ready or self._started < self.n):
            if self._ready:
                sample, tip = heapq.heappop(self._ready)
            else:
                sample, tip = self._started, ROOT
                self._started += 1
            self._flying[sample] = self._ids
            trials.append(Trial(id=self._ids, parent=tip, sample=sample, exclusive=tip != ROOT))
            self._ids += 1
        return trials

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Move the chain's tip; a chain whose path has ended or that gave nothing is over. Telling it again has no effect."""
        if self._flying.get(trial.sample) != trial.id:
            return
        del self._flying[trial.sample]
        self._tips.discard(trial.parent)
        if node is not None:
            self._chains[node.index] = trial.sample
        if node is not None and node.stop is StopReason.OPEN:
            heapq.heappush(self._ready, (trial.sample, node.index))
            self._tips.add(node.index)

    def is_closed(self, index: int) -> bool:
        """All but the ends of chains that go on and what is above a step in flight; the root once every chain has started."""
        if index == ROOT:
            return self._started == self.n and not self._flying
        return index not in self._tips and self._chains[index] not in self._flying

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The elected chain, ties to the earliest; without any answer the first leaf."""
        return elect(tree, answers, self._weigh)
