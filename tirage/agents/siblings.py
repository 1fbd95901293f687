"""Which of a node's children are in the same state: merged on request, or counted as agreement."""

import ast
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal

from tirage.core.message import ToolCall
from tirage.core.step import Step
from tirage.core.trajectory import StopReason
from tirage.core.tree import Tree
from tirage.tools.base import text_argument

Sameness = Literal["state", "text"]
"""`state`: the same calls with the same results, or without calls the same answer or text. `text`: the same text, outer blanks aside."""


class Siblings:
    """Remembers the children of one tree by what they change. Children are told in the order of the tree's nodes."""

    def __init__(self, tree: Tree, answer_in: Callable[[Step], Awaitable[str | None]], same: Sameness) -> None:
        """`answer_in` finds the final answer in a step that ended its path; equal answers are spelt the same."""
        self._tree = tree
        self._answer_in = answer_in
        self._same = same
        self._first: dict[object, int] = {}
        self._sizes: Counter[int] = Counter()
        self._class: dict[int, int] = {}
        self._judged: dict[int, float] = {}

    async def first(self, parent: int, step: Step, stop: StopReason) -> int:
        """The earliest child of `parent` in the state that `step` leads to; the tree's next node when there is none."""
        return self._first.setdefault((parent, *await self._effect(step, stop)), len(self._tree.nodes))

    def agree(self, index: int, first: int, share: float) -> None:
        """Node `index` was added in the state of `first`: blend the values of the open siblings with how many siblings agree with each.

        LATS, section 4.2: V = l LM + (1 - l) SC, l = `share`, LM the valuer's word, SC the part of the siblings that are in the same state.
        """
        tree = self._tree
        self._class[index] = first
        self._sizes[first] += 1
        if index in tree.values and tree.nodes[index].stop is StopReason.OPEN:
            self._judged[index] = tree.values[index]
        known = [child for child in tree.children[tree.nodes[index].parent] if child in self._class]
        for child in known:
            if child in self._judged:
                agreement = self._sizes[self._class[child]] / len(known)
                tree.values[child] = share * self._judged[child] + (1 - share) * agreement

    async def _effect(self, step: Step, stop: StopReason) -> tuple[object, ...]:
        """What a step changes."""
        text = step.text.strip()
        if self._same == "state" and step.calls:
            return tuple(plain_call(call) for call in step.calls) + tuple(item.text for item in step.observations)
        answer = await self._answer_in(step) if self._same == "state" and stop is not StopReason.OPEN else None
        return answer or text, stop


def plain_call(call: ToolCall) -> str:
    """A call without what changes nothing: comments and layout of Python code."""
    code = text_argument(call, "code")
    try:
        return f"{call.name}:{call.arguments if code is None else ast.unparse(ast.parse(code))}"
    except (ValueError, SyntaxError, RecursionError):
        return f"{call.name}:{call.arguments}"
