"""A tree while it grows: its counts, its best paths, its spending."""

import time
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.text import Text

from tirage.agents.driver import StepEvent
from tirage.cli.terminal import SafeConsole
from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Tree
from tirage.rollouts.runner import StageProgress
from tirage.runtime.config import BudgetConfig

_EVERY_S = 0.2
_PLAIN_EVERY_S = 5.0
_LINES = 12


class TreeDisplay:
    """The live view of one search; lines every few seconds where there is no terminal."""

    def __init__(self, limits: BudgetConfig, *, quiet: bool = False) -> None:
        """`limits` are shown beside what is spent. `quiet` shows nothing at all. Everything goes to standard error."""
        self.console = SafeConsole(stderr=True, quiet=quiet, soft_wrap=True)
        self._animated = self.console.is_terminal and not quiet
        self._live = Live(console=self.console, refresh_per_second=4, transient=True)
        self._limits = limits
        self._started = time.monotonic()
        self._shown = self._started
        self._begun = False

    def __enter__(self) -> "TreeDisplay":
        """Start drawing."""
        if self._animated:
            self._live.start()
            self._live.update(Text("opening the model and the sandbox ..."))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Stop drawing, whatever happened."""
        if self._animated:
            self._live.stop()

    def step(self, event: StepEvent) -> None:
        """A node was added."""
        now = time.monotonic()
        if not self._begun:
            # Opening the model and the sandbox is no part of the search.
            self._begun, self._started = True, now
        if now - self._shown < (_EVERY_S if self._animated else _PLAIN_EVERY_S):
            return
        self._shown = now
        if self._animated:
            self._live.update(Group(self._line(event.tree), *self._best(event.tree)))
        else:
            self.console.print(self._line(event.tree))

    def stage(self, progress: StageProgress) -> None:
        """Ignore: the tree itself is shown."""

    def job(self, name: str, step: int, steps: int, loss: float | None) -> None:
        """Ignore: nothing is trained."""

    def note(self, text: str) -> None:
        """Something worth a line."""
        self.console.print(text)

    def _line(self, tree: Tree) -> Text:
        usage, seconds = tree.usage, time.monotonic() - self._started
        ended = [node.index for node in tree.nodes if node.stop is StopReason.ANSWERED]
        best = max((tree.values[index] for index in ended if index in tree.values), default=None)
        spent = _most_used(self._limits, tree, seconds)
        parts = [
            f"{len(tree.nodes) - 1} nodes",
            f"{max(node.depth for node in tree.nodes)} deep",
            f"{len(ended)} answered",
            *([f"best {best:.2f}"] if best is not None else []),
            f"{usage.tokens_out:,} tokens",
            f"{usage.model_calls} calls",
            f"{seconds:.0f} s",
        ]
        if spent is not None:
            name, share = spent
            left = "" if not 0 < share < 1 else f", about {seconds / share - seconds:.0f} s left"
            parts.append(f"{min(share, 1):.0%} of {name}{left}")
        return Text(" · ".join(parts), style="bold")

    def _best(self, tree: Tree) -> list[Text]:
        """The first lines of the tree: the children of the root by visits, and below each its best child."""
        lines: list[Text] = []
        todo = [(child, 0) for child in sorted(tree.children[ROOT], key=lambda index: (tree.visits[index], index))]
        while todo and len(lines) < _LINES:
            index, indent = todo.pop()
            node = tree.nodes[index]
            text = " ".join((node.step.policy_text if node.step is not None else "").split())[:90]
            seen = tree.visits[index]
            figures = f"N={seen} Q={tree.value_sum[index] / seen:.2f} " if seen else ""
            style = "green" if tree.values.get(index, 0) >= 1 and node.stop is StopReason.ANSWERED else "red" if node.error else ""
            lines.append(Text("  " * indent + figures, style="dim").append(text, style=style))
            if tree.children[index]:
                todo.append((max(tree.children[index], key=lambda child: tree.visits[child]), indent + 1))
        return lines


def _most_used(limits: BudgetConfig, tree: Tree, seconds: float) -> tuple[str, float] | None:
    """The limit that is nearest to its end, and how much of it is used."""
    usage = tree.usage
    spent = {
        "tokens": usage.tokens_out,
        "tokens_in": usage.tokens_in,
        "calls": usage.model_calls,
        "tool_calls": usage.tool_calls,
        "sandbox_s": usage.sandbox_s,
        "usd": usage.cost_usd,
        "nodes": len(tree.nodes) - 1,
        "seconds": seconds,
    }
    shares = [(name, used / limit) for name, used in spent.items() if (limit := getattr(limits, name))]
    return max(shares, key=lambda item: item[1], default=None)
