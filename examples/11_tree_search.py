"""Tree search: a search of one's own against best-first and MCTS, on the same tree type, and a picture (`html` makes a page)."""

import random
from collections.abc import Mapping

from tirage.core import Finish, Problem, Rollout, Source, Span, Step, StopReason, Tree, Verdict
from tirage.core.tree import ROOT, Node
from tirage.search.base import Search, Trial
from tirage.search.frontier import Frontier
from tirage.search.strategies import strategy
from tirage.search.votes import best
from tirage.traces.pictures import draw

LOCK = "3142"


class Wanderer:
    """The smallest search there is: any open node, at random. What it needs to know of the tree, the frontier keeps."""

    valued = True

    def __init__(self) -> None:
        """Four children per node."""
        self.frontier, self.draw = Frontier(4), random.Random(0)

    def ask(self, tree: Tree, most: int) -> list[Trial]:
        """A random open node, `most` times."""
        trials: list[Trial] = []
        while len(trials) < most and self.frontier.free[ROOT]:
            ways = [node.index for node in tree.nodes if self.frontier.open[node.index]]
            trials.append(self.frontier.order(tree, self.draw.choice(ways)))
        return trials

    def tell(self, tree: Tree, trial: Trial, node: Node | None) -> None:
        """Take note."""
        if self.frontier.is_news(trial):
            self.frontier.settle(tree, trial, node)

    def is_closed(self, index: int) -> bool:
        """As the frontier says."""
        return self.frontier.is_closed(index)

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        """The best answer."""
        return best(tree, answers)


def open_the_lock(search: Search) -> Tree:
    """A world that answers at once: each step turns one wheel, the value tells how many are right. A model would stand here."""
    tree = Tree(problem_id="lock", policy_id="world", seed=0, prompt=(Span(Source.PROMPT, "Open the lock."),))
    for _ in range(400):
        for trial in search.ask(tree, 1):
            tried = "".join(node.step.text for node in tree.path(trial.parent) if node.step) + str(trial.sample + 1)
            ended = StopReason.ANSWERED if len(tried) == len(LOCK) else StopReason.OPEN
            step = Step(spans=(Span(Source.POLICY, tried[-1]),), finish=Finish.STOP)
            node = tree.add(trial.parent, step, stop=ended, sample=trial.sample)
            tree.values[node.index] = sum(a == b for a, b in zip(tried, LOCK, strict=False)) / len(LOCK)
            search.tell(tree, trial, node)
            if tree.values[node.index] == 1:
                tree.chosen = node.index
                return tree
    return tree


for name, search in (
    ("wanderer", Wanderer()),
    ("best-first", strategy("best-first")(seed=0)),
    ("mcts", strategy("mcts", {"c": 0.2})(seed=0)),
):
    tree = open_the_lock(search)
    print(f"{name}: {len(tree.nodes) - 1} nodes, {max(node.depth for node in tree.nodes)} deep, opened: {tree.chosen != ROOT}")

verdict = Verdict(correct=True, verifier="lock", answer=LOCK)
rollout = Rollout(
    key="lock", stage="s", problem=Problem(prompt="Open the lock."), sample=0, tree=tree, verdicts={tree.chosen: verdict}, model="world"
)
print(draw(rollout, "mermaid"))
