"""rStar: tree search with five reasoning actions under a grammar (arXiv 2408.06195, section 3).

The second half of the method, the discriminator, is `consistency`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Tree
from tirage.search.expander import Expander
from tirage.search.votes import elect, value

Schedule = Literal["constant", "exponential", "linear"]

ONE_STEP, ANSWER, SUBQUESTION, REANSWER, REPHRASE = "A1", "A2", "A3", "A4", "A5"
"""One step of thought; the rest and the answer; the next sub-question and its answer; the last one again; the question rephrased."""

FOLLOWING: dict[str, tuple[str, ...]] = {
    "": (ONE_STEP, ANSWER, SUBQUESTION, REPHRASE),
    REPHRASE: (ONE_STEP, ANSWER, SUBQUESTION),
    SUBQUESTION: (ONE_STEP, ANSWER, SUBQUESTION, REANSWER),
    REANSWER: (ONE_STEP, ANSWER, SUBQUESTION),
    ONE_STEP: (ONE_STEP, ANSWER),
    ANSWER: (),
}
"""Which moves may follow which; "" is the question."""

TIMES: dict[str, int] = {ONE_STEP: 3, SUBQUESTION: 3}
"""How often a move is made below one node; once where nothing is said."""

CHILDREN = {move: tuple(after for after in following for _ in range(TIMES.get(after, 1))) for move, following in FOLLOWING.items()}


class RStar(Expander):
    """One iteration: down by UCT, all children, on at random to an end, whose confidence is backed up. Ends may be visited again."""

    def __init__(self, *, seed: int, c: float = 2.0, schedule: Schedule = "constant", depth: int = 5, rollouts: int = 16) -> None:
        """`depth`: steps after which a path without an answer is worth 0. Raises ValueError for a value out of its range."""
        if c < 0 or depth < 1 or schedule not in get_args(Schedule):
            known = ", ".join(get_args(Schedule))
            raise ValueError(f"rStar needs c >= 0, depth >= 1 and a schedule of {known}, got c={c}, depth={depth}, schedule={schedule!r}")
        self._c, self._schedule, self._depth = c, schedule, depth
        self._rewarding: set[int] = set()
        """Nodes at or below which there is an end that is worth something known."""
        super().__init__(iterations=rollouts, seed=seed)

    def moves(self, tree: Tree, index: int) -> Sequence[str]:
        """What the grammar allows after the node's own move."""
        node = tree.nodes[index]
        return CHILDREN[node.move] if node.depth < self._depth else ()

    def weight(self, rollout: int) -> float:
        """C in the rollout with this number, from 0: constant, c * 0.1^(t/T) or c * (1 - 0.9 t/T)."""
        part = rollout / self.limit
        if self._schedule == "exponential":
            return float(self._c * 0.1**part)
        return self._c * (1 - 0.9 * part) if self._schedule == "linear" else self._c

    def score(self, tree: Tree, parent: int, child: int) -> float:
        """UCT; a child that no rollout has come through is first, at random among several."""
        seen = self.frontier.seen
        if not seen[child]:
            return math.inf
        # rStar, section 3.2: Q / N + c sqrt(ln N_p / N), N with what is in flight. This rollout's number is one less than those begun.
        return self.frontier.q[child] + self.weight(self.iterations - 1) * math.sqrt(math.log(seen[parent] or 1) / seen[child])

    def ended(self, tree: Tree, index: int, reward: float | None) -> None:
        """An end that is worth something known makes the way to it worth going."""
        while reward is not None and index >= ROOT and index not in self._rewarding:
            self._rewarding.add(index)
            index = tree.nodes[index].parent

    def leads_on(self, index: int) -> bool:
        """Known ends too: a rollout may come back to them."""
        return self.frontier.free[index] > 0 or index in self._rewarding

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The solutions' vote, each weighing its confidence."""
        return elect(tree, solutions(tree, answers), value)


def solutions(tree: Tree, answers: Mapping[int, str | None]) -> dict[int, str]:
    """The answer set: paths that ended with an answer, and steps of thought that hold one though nothing followed."""
    return {
        index: answer
        for index, answer in answers.items()
        if answer is not None and (tree.nodes[index].stop is StopReason.ANSWERED or tree.nodes[index].move == ONE_STEP)
    }
