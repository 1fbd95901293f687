"""Which ended path is the answer: the heaviest answer wins, and of its paths the heaviest, ties to the earliest.

Wang et al. 2022 (arXiv 2203.11171), eq. 1: argmax_a sum_i w_i 1[a_i = a], with w_i = 1 for self-consistency. Weighted best-of-N
(arXiv 2408.03314, section 5.1) takes the verifier's value for w_i.
"""

from collections.abc import Callable, Mapping

from tirage.core.step import mean_probability
from tirage.core.tree import ROOT, Tree

Weigh = Callable[[Tree, int], float]


def ones(tree: Tree, index: int) -> float:
    """Self-consistency: every path counts the same."""
    return 1.0


def value(tree: Tree, index: int) -> float:
    """The valuer's word on the ended path; 0 where it said nothing."""
    return tree.values.get(index, 0.0)


def visits(tree: Tree, index: int) -> float:
    """How often the search came through the path's end or its parent: where it spent its effort."""
    return float(max(tree.visits[index], tree.visits[tree.nodes[index].parent]))


def confidence(tree: Tree, index: int) -> float:
    """Geometric mean of the probabilities of the path's sampled tokens, in (0, 1]; 0 where the model gave none."""
    steps = (node.step for node in tree.conversation(index) if node.step is not None)
    return mean_probability(score for step in steps for span in step.spans for score in span.logprobs or ()) or 0.0


WEIGHTS: dict[str, Weigh] = {"majority": ones, "value": value, "visits": visits, "confidence": confidence}


def elect(tree: Tree, answers: Mapping[int, str | None], weigh: Weigh = ones) -> int:
    """The winning leaf; without any answer the first leaf, without any leaf the root. Weights that are all 0 count as 1."""
    voters = sorted((index for index, answer in answers.items() if answer is not None), key=lambda index: (tree.nodes[index].sample, index))
    if not voters:
        return min(tree.leaves(), key=lambda index: (tree.nodes[index].sample, index), default=ROOT)
    weights = {index: weigh(tree, index) for index in voters}
    if not any(weights.values()):
        weights = dict.fromkeys(voters, 1.0)
    totals: dict[str | None, float] = {}
    for index in voters:
        totals[answers[index]] = totals.get(answers[index], 0.0) + weights[index]
    return max(voters, key=lambda index: (totals[answers[index]], weights[index]))


def best(tree: Tree, answers: Mapping[int, str | None]) -> int:
    """Best-of-N by value: the answered path that the valuer likes most, ties to the earliest; else as `elect`."""
    voters = [index for index in sorted(answers) if answers[index] is not None and index in tree.values]
    return max(voters, key=lambda index: tree.values[index]) if voters else elect(tree, answers)
