"""Tree: an index-linked, append-only list of nodes. Every strategy gives one; a single chain is a tree too.

Nodes are values; statistics a search keeps about them (visits, value sums) live beside them in lists, so
that looking one up, adding one and printing them are O(1) each and nothing recurses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tirage.core.step import Span, Step, Usage
from tirage.core.trajectory import Failure, StopReason, Trajectory

ROOT = 0


class Node(NamedTuple):
    """One step in the tree. Node 0 is the root: it holds the prompt and no step.

    A named tuple, because a frozen dataclass takes four times as long to make and searches make one per iteration.
    """

    index: int  # type: ignore[assignment]  # in place of the method of tuples, which nobody needs here
    parent: int
    """-1 for the root."""
    depth: int
    step: Step | None
    """None for the root only."""
    sample: int = 0
    """Which draw of its parent's continuation this is; with the depth it fixes the seed."""
    stop: StopReason = StopReason.OPEN
    """OPEN while the path can be extended."""
    error: Failure | None = None
    prior: float | None = None
    """Policy's weight on this step among its siblings, in [0, 1]; None when the policy gave none."""
    move: str = ""
    """Which of several moves the search had the policy make (a model, a role, an action, a hint); empty where there is only one."""


@dataclass(slots=True, kw_only=True)
class Tree:
    """All that was explored for one problem."""

    problem_id: str
    policy_id: str
    seed: int
    prompt: tuple[Span, ...]
    ended: str = ""
    """Why growing stopped early, e.g. `budget: tokens_out`; empty when the search finished by itself."""
    chosen: int = ROOT
    """Node whose path is the tree's answer; the root while there is none."""
    nodes: list[Node] = field(default_factory=list)
    children: list[list[int]] = field(default_factory=list)
    """`children[i]`: indices of node i's children, in order of arrival."""
    visits: list[int] = field(default_factory=list)
    """N: how often the search backed a value through each node."""
    value_sum: list[float] = field(default_factory=list)
    """W: sum of backed-up values; the mean value Q is W / N, undefined (not zero) while N is 0."""
    values: dict[int, float] = field(default_factory=dict)
    """What the valuer said of a node by itself, by index; no entry where nobody was asked or nobody could say."""
    notes: dict[int, str] = field(default_factory=dict)
    """What was said about nodes in words, by index: reflections on failures, critiques."""
    answers: dict[int, str] = field(default_factory=dict)
    """What agents that read answers in their own way read at ends of paths, by index, empty for none; of others, which leave the reading
    to the problem's verifier, there is no entry."""
    judging: Usage = field(default_factory=Usage)
    """What values and notes cost, on top of the steps."""

    def __post_init__(self) -> None:
        """A new tree has its root."""
        if not self.nodes:
            self._append(Node(index=ROOT, parent=-1, depth=0, step=None))

    def _append(self, node: Node) -> None:
        self.nodes.append(node)
        self.children.append([])
        self.visits.append(0)
        self.value_sum.append(0.0)

    def add(
        self,
        parent: int,
        step: Step,
        *,
        stop: StopReason = StopReason.OPEN,
        sample: int = 0,
        error: Failure | None = None,
        prior: float | None = None,
        move: str = "",
    ) -> Node:
        """Append a child of `parent` and return it.

        Raises ValueError when the parent's path has ended, unless `step` opens a conversation of its own.
        """
        above = self.nodes[parent]
        if above.stop is not StopReason.OPEN and step.opening is None:
            raise ValueError(f"node {parent} has ended ({above.stop}); it cannot have children")
        node = Node(len(self.nodes), parent, above.depth + 1, step, sample, stop, error, prior, move)
        self._append(node)
        self.children[parent].append(node.index)
        return node

    def path(self, index: int) -> list[Node]:
        """Nodes from the root (excluded) down to `index`; empty for the root."""
        nodes: list[Node] = []
        while index > ROOT:
            nodes.append(self.nodes[index])
            index = self.nodes[index].parent
        nodes.reverse()
        return nodes

    def conversation(self, index: int) -> list[Node]:
        """The nodes that one model wrote in one go and that end at `index`: the path, from the last step with an opening of its own."""
        nodes: list[Node] = []
        while index > ROOT:
            node = self.nodes[index]
            nodes.append(node)
            if node.step is not None and node.step.opening is not None:
                break
            index = node.parent
        nodes.reverse()
        return nodes

    def trajectory(self, index: int) -> Trajectory:
        """The conversation that ends at `index`, as a trajectory. Raises ValueError for the root, which has no step."""
        node = self.nodes[index]
        if node.step is None:
            raise ValueError("the root is not a trajectory: no step was taken")
        return self.extended(node.parent, node.step, stop=node.stop, error=node.error, answer=self.answers.get(index))

    def extended(self, parent: int, step: Step, *, stop: StopReason, error: Failure | None = None, answer: str | None = None) -> Trajectory:
        """What `trajectory` would give for a child of `parent` with this step."""
        before = self.conversation(parent) if step.opening is None else ()
        steps = (*(node.step for node in before if node.step is not None), step)
        opening = steps[0].opening
        return Trajectory(
            problem_id=self.problem_id,
            policy_id=self.policy_id,
            seed=self.seed,
            prompt=self.prompt if opening is None else opening.prompt,
            steps=steps,
            stop=stop,
            error=error,
            answer=answer,
        )

    def leaves(self) -> Iterator[int]:
        """Indices of nodes without children, the root excluded, in order of arrival."""
        return (node.index for node in self.nodes[1:] if not self.children[node.index])

    @property
    def usage(self) -> Usage:
        """Everything the tree cost, discarded branches included."""
        return sum((node.step.usage for node in self.nodes if node.step is not None), self.judging)
