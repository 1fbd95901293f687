"""Sequential halving at the root, the improved policy below: how to spend a small budget that is known in advance.

Danihelka et al. 2022, "Policy improvement by planning with Gumbel" (ICLR 2022), sections 3-5. There the m actions considered at the root
are drawn without replacement by Gumbel-top-m over known logits. A language model draws its steps itself, so the first m children are that
sample, and no noise is added to their logits again.
"""

import math
from collections.abc import Mapping

from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier
from tirage.search.votes import elect, value

C_VISIT, C_SCALE = 50.0, 1.0


def halving(simulations: int, considered: int) -> list[tuple[int, int]]:
    """(candidates, further visits each) by phase: ceil(log2 m) phases of equal cost, halving the candidates, at least one visit each.

    The budget is `simulations`, from which the first phase pays the drawing of its candidates. The last phase takes what is left.
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
    return plan


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
        """Candidate to the visits that this phase still owes it; candidates are children of the root."""

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """The root's children first; then the candidates' visits, the least visited first."""
        trials: list[Trial] = []
        while len(trials) < most:
            if self.frontier.open[ROOT]:
                trials.append(self.frontier.order(tree, ROOT))
                continue
            if self.frontier.in_flight(ROOT) and not any(self._due.values()):
                break
            if not any(self._due.values()) and not self._next_phase(tree):
                break
            free = [child for child, visits in self._due.items() if visits and self.frontier.free[child]]
            if not free:
                if any(self.frontier.in_flight(child) for child in self._due):
                    break
                # What is left of the phase has nowhere to go.
                self._due = dict.fromkeys(self._due, 0)
                continue
            child = min(free, key=lambda item: (self.frontier.seen[item], -self._score(tree, item), item))
            self._due[child] -= 1
            trials.append(self.frontier.order(tree, self._below(tree, child)))
        return trials

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Back the value up as a mean."""
        if self.frontier.is_news(trial):
            self.frontier.take(tree, trial, node)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again."""
        return self.frontier.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The best answer below the candidate that survived, else the heaviest answer of all."""
        for child in sorted(tree.children[ROOT], key=lambda item: (tree.visits[item], self._score(tree, item)), reverse=True):
            below = {leaf: answer for leaf, answer in answers.items() if answer is not None and tree.path(leaf)[0].index == child}
            if below:
                return elect(tree, below, value)
        return elect(tree, answers, value)

    def policy_target(self, tree: Tree) -> dict[int, float]:
        """The improved policy over the root's children, pi' = softmax(logits + sigma(q)) (eq. 11): a target for training the policy."""
        return self._improved(tree, tree.children[ROOT])

    def _next_phase(self, tree: Tree) -> bool:
        """Keep the better candidates of the next phase; False when the plan is at its end."""
        if self._phase == len(self._plan):
            return False
        count, visits = self._plan[self._phase]
        candidates = tree.children[ROOT] if not self._phase else list(self._due)
        kept = sorted(candidates, key=lambda child: (-self._score(tree, child), child))[:count]
        for child in set(candidates) - set(kept):
            self.frontier.give_up(tree, child)
        # The draw of a candidate was its first visit.
        self._due = dict.fromkeys(kept, visits - 1 if not self._phase else visits)
        self._phase += 1
        if self._phase == len(self._plan) and not any(self._due.values()):
            return False
        return bool(kept)

    def _below(self, tree: Tree, index: int) -> int:
        """Down from a candidate: argmax pi'(a) - N(a) / (1 + sum N) (eq. 14), until a node takes a new child."""
        while not self.frontier.open[index]:
            children = tree.children[index]
            improved = self._improved(tree, children)
            total = 1 + sum(self.frontier.seen[child] for child in children)
            free = [child for child in children if self.frontier.free[child]]
            index = max(free, key=lambda child: improved[child] - self.frontier.seen[child] / total)
        return index

    def _improved(self, tree: Tree, children: list[int]) -> dict[int, float]:
        scores = {child: self._score(tree, child) for child in children}
        top = max(scores.values(), default=0.0)
        weights = {child: math.exp(score - top) for child, score in scores.items()}
        total = math.fsum(weights.values())
        return {child: weight / total for child, weight in weights.items()}

    def _score(self, tree: Tree, child: int) -> float:
        """Logit + sigma(q), sigma(q) = (c_visit + max_b N(b)) c_scale q (eq. 8)."""
        prior = tree.nodes[child].prior
        most = max(tree.visits[sibling] for sibling in tree.children[tree.nodes[child].parent])
        logit = math.log(prior) if prior else 0.0
        return logit + (self._c_visit + most) * self._c_scale * self.frontier.q[child]


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
