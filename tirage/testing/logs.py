"""A log of a tree in memory, for tests of what is done again when a run goes on and what is not."""

from collections.abc import Iterable

from tirage.traces.search_log import StepOutcome


class MemoryLog:
    """Fits the `Log` port; it gives a trial's outcome as often as it is asked."""

    def __init__(self, kept: Iterable[StepOutcome] = ()) -> None:
        """`kept`: what an earlier run had outcome."""
        self.kept = list(kept)
        """In the order of arrival."""

    def take(self, trial: int, parent: int, sample: int, move: str) -> StepOutcome | None:
        """What became of a trial before."""
        return next((item for item in self.kept if item.trial == trial), None)

    def add(self, outcome: StepOutcome) -> None:
        """Keep an outcome."""
        self.kept.append(outcome)
