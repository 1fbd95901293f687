"""Frozen nodes under a memory budget: the one that was not used for longest goes first."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

NODE_MB = 4.0
"""What a frozen process and the one forked ahead of it take beyond their pages: page tables, kernel stacks, touched pages."""
PAGE_MB = 4096 / (1 << 20)


def resident_mb(pid: int) -> float:
    """Resident memory of a process, pages shared with others included; 0 when it is gone. Costs 15 microseconds."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE_MB
    return 0.0


def half_of_memory_mb() -> float:
    """Half of what the host can give now."""
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2048
    return 2048.0


Node = TypeVar("Node")


class Shelf(Generic[Node]):
    """What lives, oldest use first, with what each is taken to cost."""

    def __init__(self, budget_mb: float, evict: Callable[[Node], bool]) -> None:
        """`evict` ends a node's process, or says False when it is in use."""
        self.budget_mb = budget_mb
        self.total_mb = 0.0
        self._evict = evict
        self._cost: OrderedDict[Node, float] = OrderedDict()

    def __len__(self) -> int:
        """How many nodes live."""
        return len(self._cost)

    def put(self, node: Node, own_mb: float) -> None:
        """Note a node that has just come to life with `own_mb` of memory of its own; others go where it is too much."""
        self.take(node)
        self._cost[node] = NODE_MB + own_mb
        self.total_mb += self._cost[node]
        if self.total_mb <= self.budget_mb:
            return
        for oldest in list(self._cost):
            if self.total_mb <= self.budget_mb:
                return
            if oldest is not node and self._evict(oldest):
                self.take(oldest)

    def use(self, node: Node) -> None:
        """Note that a node is needed now."""
        if node in self._cost:
            self._cost.move_to_end(node)

    def take(self, node: Node) -> float:
        """Forget a node; its own memory, which those forked from it may still hold."""
        cost = self._cost.pop(node, 0.0)
        self.total_mb -= cost
        return max(0.0, cost - NODE_MB)
