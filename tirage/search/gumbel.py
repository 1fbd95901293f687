"""Sequential halving at the root, the improved policy below: how to spend a small budget that is known in advance.

Danihelka et al. 2022, "Policy improvement by planning with Gumbel" (ICLR 2022), sections 3-5. There the m actions considered at the root
are drawn without replacement by Gumbel-top-m over known logits. A language model draws its steps itself, so the first m children are that
sample, and no noise is added to their logits again.
"""

import math
import sys
from collections.abc import Mapping

from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier, weight
from tirage.search.votes import best, elect, said, value

C_VISIT, C_SCALE = 50.0, 1.0


def halving(simulations: int, considered: int) -> list[tuple[int, int]]:
    """(candidates, further visits each) by phase: ceil(log2 m) phases of equal cost, halving the candidates, at least one visit each.

    The budget is `simulations`, from which the first phase pays the drawing of its candidates. The last phase takes what is left; what
    does not divide among its candidates goes to the best of them, one visit each. All is spent.
    """
    phases = max(1, math.ceil(math.log2(considered)))
    plan, left, count = [], simulations, considered
    for phase in range(phases):
        last = phase == phases - 1
        visits = max(1, (left if last else simulations // phases) // count)
        visits = min(visits, left // count)
        if not visits:
            break
        plan.append((count, visits))
        left -= visits * count
        count = max(2, count // 2)
    return [*plan, (left, 1)] if left else plan


class GumbelHalving:
    """m children of the root share a budget; after each phase the worse half is given up."""

    valued = True

    def __init__(
        self, *, simulations: int = 32, considered: int = 8, width: int = 3, c_visit: float = C_VISIT, c_scale: float = C_SCALE
    ) -> None:
        """Set the plan.

        Args:
            simulations: Nodes in all, n.
            considered: Children of the root, m <= n.
            width: Children of every other node.
            c_visit: Visits that the value scale starts from.
            c_scale: Weight of values against log-priors; values lie in [0, 1].

        Raises:
            ValueError: A value out of its range.
        """
        if not 1 <= considered <= simulations:
            raise ValueError(f"sequential halving needs 1 <= considered <= simulations, got {considered} and {simulations}")
        self.frontier = _Root(width, considered)
        self._c_visit, self._c_scale = c_visit, c_scale
        self._plan = halving(simulations, considered)
        self._phase = 0
        self._due: dict[int, int] = {}
        """Candidate that can be extended to the visits that this phase still owes it; candidates are children of the root."""
        self._lost: set[int] = set()
        """Candidates that were given up."""

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """The root's children first; then the candidates' visits, the one that is owed most first."""
        return self.frontier.batch(tree, most, self._select, self._order)

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Back the value up as a mean."""
        if self.frontier.is_news(trial):
            self.frontier.take(tree, trial, node)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again."""
        return self.frontier.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The best answer below the best candidate that survived, else below the next best, else the heaviest answer of all."""
        scores = self._scores(tree, ROOT)
        for child in sorted(scores, key=lambda item: (item in self._lost, -scores[item], item)):
            below = {leaf: answer for leaf, answer in answers.items() if answer is not None and tree.path(leaf)[0].index == child}
            if below:
                return best(tree, below)
        return elect(tree, answers, value)

    def policy_target(self, tree: Tree) -> dict[int, float]:
        """The improved policy over the root's children: a target for training the policy."""
        return self._improved(tree, ROOT)

    def _select(self, tree: Tree) -> int | None:
        if self.frontier.open[ROOT]:
            return ROOT
        while True:
            owed = [child for child, visits in self._due.items() if visits and self.frontier.free[child]]
            if owed:
                scores = self._scores(tree, ROOT)
                return self._below(tree, max(owed, key=lambda child: (self._due[child], scores[child], -child)))
            if self.frontier.in_flight(ROOT) or not self._next_phase(tree):
                return None

    def _order(self, tree: Tree, parent: int) -> Trial:
        if parent != ROOT:
            top = parent
            while self.frontier.parents[top] != ROOT:
                top = self.frontier.parents[top]
            self._due[top] -= 1
        return self.frontier.order(tree, parent)

    def _next_phase(self, tree: Tree) -> bool:
        """Share the next phase's visits among the best candidates that can be extended; with the last phase everything is given up.

        One whose subtree is exhausted takes no place and no visits, yet stays in the running for the answer.
        """
        owed = sum(self._due.values())
        count, visits = self._plan[self._phase] if self._phase < len(self._plan) else (len(self._due), 0)
        total = owed + count * visits
        if not self._phase:
            # The draw of a candidate was its first visit.
            total -= self.frontier.ordered[ROOT]
        self._phase += 1
        scores = self._scores(tree, ROOT)
        able = sorted((child for child in scores if self.frontier.free[child]), key=lambda child: (-scores[child], child))
        kept = able[:count] if total or self._phase < len(self._plan) else []
        for child in able[len(kept) :]:
            if kept:
                self._lost.add(child)
            self.frontier.give_up(tree, child)
        self._due = {child: total // len(kept) + (place < total % len(kept)) for place, child in enumerate(kept)}
        return bool(kept)

    def _below(self, tree: Tree, index: int) -> int:
        """Down from a candidate: argmax pi'(a) - N(a) / (1 + sum N) (section 5, eq. 14), until a node takes a new child."""
        seen = self.frontier.seen
        while not self.frontier.open[index]:
            free = [child for child in tree.children[index] if self.frontier.free[child]]
            if len(free) > 1:
                improved = self._improved(tree, index)
                total = 1 + sum(seen[child] for child in improved)
                free.sort(key=lambda child: seen[child] / total - improved[child])
            index = free[0]
        return index

    def _improved(self, tree: Tree, parent: int) -> dict[int, float]:
        """The improved policy, pi' = softmax(logits + sigma(completedQ)) over the children of a node (eq. 11)."""
        return softmax(self._scores(tree, parent))

    def _scores(self, tree: Tree, parent: int) -> dict[int, float]:
        """Logit + sigma(completedQ) of each child, sigma(q) = (c_visit + max_b N(b)) c_scale q (eq. 8)."""
        children, visits = tree.children[parent], tree.visits
        logits = {child: logit(tree.nodes[child].prior) for child in children}
        scale = (self._c_visit + max((visits[child] for child in children), default=0)) * self._c_scale
        visited = [child for child in children if visits[child]]
        # completedQ(a) is q(a), and the mixed value where nothing was backed up (eq. 10).
        blank = 0.0 if len(visited) == len(children) else self._mixed(tree, parent, logits, visited)
        return {child: logits[child] + scale * (self.frontier.q[child] if visits[child] else blank) for child in children}

    def _mixed(self, tree: Tree, parent: int, logits: dict[int, float], visited: list[int]) -> float:
        """What a child is worth of which nothing is known: between the parent's own value and its visited children's.

        v_mix = (v + sum N * sum_visited pi q / sum_visited pi) / (1 + sum N) (appendix D, eq. 33), without v where the valuer said nothing.
        """
        own = said(tree, parent)
        if not visited:
            return own or 0.0
        # The policy's shares among the visited: pi / sum_visited pi.
        shares = softmax({child: logits[child] for child in visited})
        mean = math.fsum(share * self.frontier.q[child] for child, share in shares.items())
        count = sum(tree.visits[child] for child in visited)
        return mean if own is None else (own + count * mean) / (1 + count)


def logit(prior: float | None) -> float:
    """Of a prior in [0, 1]: without one 0, as for a certain step; 0 is the least that a float can say, not nothing."""
    return math.log(max(weight(prior), sys.float_info.min))


def softmax(scores: Mapping[int, float]) -> dict[int, float]:
    """Shares that sum to 1."""
    top = max(scores.values(), default=0.0)
    weights = {index: math.exp(score - top) for index, score in scores.items()}
    total = math.fsum(weights.values())
    return {index: weight / total for index, weight in weights.items()}


class _Root(Frontier):
    """A root with room of its own."""

    def __init__(self, width: int, considered: int) -> None:
        super().__init__(width)
        self._considered = considered

    def allowed(self, tree: Tree, index: int) -> int | None:
        return self._considered if index == ROOT else self.width

    def give_up(self, tree: Tree, top: int) -> None:
        """Nothing below `top` is extended any more."""
        todo = [top]
        while todo:
            index = todo.pop()
            self.shut(index)
            todo.extend(tree.children[index])
