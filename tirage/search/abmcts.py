"""AB-MCTS-A: wider or deeper, decided at every node by Thompson sampling, over several models if there are several.

Inoue et al. 2025 (arXiv 2503.04412), section 3.3 and appendix: at a node GEN makes a new child, CONT goes into one that exists.
"""

import math
import random
from collections.abc import Mapping
from typing import Literal

from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Node, Tree
from tirage.search.base import Trial
from tirage.search.frontier import Frontier
from tirage.search.votes import best, elect, value

REFINE = "refine"
"""The move below a path that has ended with an answer: improve it. `refine:ARM` where there are arms."""
LIE = 0.0
"""What a trial in flight counts as: the lowest value, so that a batch is spread."""


class Scores:
    """Observations of one arm, kept as count, mean and sum of squared deviations (Welford 1962)."""

    __slots__ = ("count", "mean", "pending", "squares")

    def __init__(self) -> None:
        """None yet."""
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0
        self.pending = 0

    def add(self, score: float) -> None:
        """One more observation."""
        self.count += 1
        before = score - self.mean
        self.mean += before / self.count
        self.squares += before * (score - self.mean)

    def with_pending(self) -> tuple[int, float, float]:
        """Count, mean and squares as if all that is in flight had given `LIE`."""
        if not self.pending:
            return self.count, self.mean, self.squares
        total = self.count + self.pending
        shift = LIE - self.mean
        return total, self.mean + shift * self.pending / total, self.squares + shift * shift * self.count * self.pending / total


def gaussian_posterior(count: int, mean: float, squares: float) -> tuple[float, float, float, float]:
    """(m, kappa, nu, tau^2) of the normal-inverse-gamma posterior under the prior m = 0, kappa = 1, nu = 1, tau^2 = 0.1.

    kappa_n = kappa + n, nu_n = nu + n, m_n = (kappa m + n x) / kappa_n,
    tau_n^2 = (nu tau^2 + SS + n kappa (m - x)^2 / (kappa + n)) / nu_n.
    """
    kappa, nu = 1.0 + count, 1.0 + count
    return count * mean / kappa, kappa, nu, (0.1 + squares + count * mean * mean / kappa) / nu


def beta_posterior(count: int, mean: float) -> tuple[float, float]:
    """(a, b) under the prior a = b = 1/2: a + sum of scores, b + sum of (1 - score). Scores lie in [0, 1]."""
    return 0.5 + count * mean, 0.5 + count * (1.0 - mean)


class ABMCTS:
    """One new node per trial; its score is an observation of every choice that led to it."""

    valued = True

    def __init__(
        self,
        *,
        posterior: Literal["gaussian", "beta"] = "gaussian",
        moves: tuple[str, ...] = (),
        arms: Literal["thompson", "ucb"] = "thompson",
        width: int | None = None,
        refine: bool = False,
        seed: int = 0,
    ) -> None:
        """Set the model.

        Args:
            posterior: `gaussian` for scores around a mean, `beta` for scores in [0, 1].
            moves: Several models (or hints, roles) as arms; a new child's arm is drawn over all scores that the arm has had in the tree.
            arms: Arms by Thompson sampling, or by mean + sqrt(2 ln n / n_arm).
            width: Children per node; None for no limit.
            refine: A path that ended with an answer can be extended too, by the move `refine`: going deeper means improving an answer.
            seed: Of the draws.

        Raises:
            ValueError: A repeated or unknown name.
        """
        if len(set(moves)) != len(moves) or posterior not in ("gaussian", "beta") or arms not in ("thompson", "ucb"):
            raise ValueError(
                f"AB-MCTS needs distinct moves, a gaussian or beta posterior, arms by thompson or ucb; got {moves}, {posterior}, {arms}"
            )
        self.frontier = Frontier(width)
        self._beta = posterior == "beta"
        self._ucb = arms == "ucb"
        self._refine = refine
        self._moves = {move: Scores() for move in moves}
        self._gen, self._cont, self._own = [Scores()], [Scores()], [Scores()]
        self._chosen: list[Scores] = []
        """What the selection that was last made chose."""
        self._flying: dict[int, list[Scores]] = {}
        self._draw = random.Random(seed)

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """Up to `most` trials; each counts as a failure in flight for the choices of the next."""
        return self.frontier.batch(tree, most, self._select, self._order)

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """The score goes to GEN of the parent, to CONT and the child taken above it, to the arm, and to the new child itself."""
        if not self.frontier.is_news(trial):
            return
        chosen = self._flying.pop(trial.id)
        for scores in chosen:
            scores.pending -= 1
        outcome = self.frontier.take(tree, trial, node)
        if node is None:
            return
        if self._refine and node.stop is StopReason.ANSWERED:
            self.frontier.review(tree, node.index)
        for arms in (self._gen, self._cont, self._own):
            arms.append(Scores())
        if outcome is not None:
            for scores in (self._own[node.index], *chosen):
                scores.add(outcome)

    def is_closed(self, index: int) -> bool:
        """True when node `index` will never be extended again."""
        return self.frontier.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The heaviest answer, each ended path weighing its value; with refinements, which repeat answers, the one that is worth most."""
        return best(tree, answers) if self._refine else elect(tree, answers, value)

    def _select(self, tree: Tree) -> int:
        """Down from the root until GEN is drawn; what was chosen on the way is noted."""
        index = ROOT
        chosen: list[Scores] = []
        free, own = self.frontier.free, self.frontier.open
        while True:
            children = [child for child in tree.children[index] if free[child]]
            gen, cont = self._gen[index], self._cont[index]
            if not children or (own[index] and self._sample(gen) >= self._sample(cont)):
                self._chosen = [*chosen, gen]
                return index
            # One way on needs no draw.
            index = children[0] if len(children) == 1 else max(children, key=lambda child: self._sample(self._own[child]))
            chosen += [cont, self._own[index]]

    def _order(self, tree: Tree, parent: int) -> Trial:
        chosen = self._chosen
        move = self._arm(chosen)
        if tree.nodes[parent].stop is StopReason.ANSWERED:
            move = f"{REFINE}:{move}" if move else REFINE
        trial = self.frontier.order(tree, parent, move=move)
        for scores in chosen:
            scores.pending += 1
        self._flying[trial.id] = chosen
        return trial

    def _arm(self, chosen: list[Scores]) -> str:
        """Which of the moves makes the new child."""
        if not self._moves:
            return ""
        if self._ucb:
            total = sum(scores.count + scores.pending for scores in self._moves.values())
            move = max(self._moves, key=lambda name: _upper(self._moves[name], total))
        else:
            move = max(self._moves, key=lambda name: self._sample(self._moves[name]))
        chosen.append(self._moves[move])
        return move

    def _sample(self, scores: Scores) -> float:
        """A draw of the arm's mean from its posterior."""
        count, mean, squares = scores.with_pending()
        if self._beta:
            return self._draw.betavariate(*beta_posterior(count, min(max(mean, 0.0), 1.0)))
        m, kappa, nu, tau = gaussian_posterior(count, mean, squares)
        # sigma^2 ~ InvGamma(nu / 2, nu tau^2 / 2), mu ~ N(m, sigma^2 / kappa).
        variance = 1.0 / self._draw.gammavariate(nu / 2, 2 / (nu * tau))
        return self._draw.gauss(m, math.sqrt(variance / kappa))


def _upper(scores: Scores, total: int) -> float:
    count, mean, _ = scores.with_pending()
    return mean + math.sqrt(2 * math.log(total) / count) if count else math.inf
