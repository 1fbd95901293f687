"""One turn's share of the log of a transcript, so that turns of several roles can be told apart and resumed."""

from dataclasses import dataclass, replace

from tirage.agents.driver import Log
from tirage.core.budget import Meter
from tirage.traces.search_log import StepOutcome

TRIALS = 1 << 20
"""Room for the trials of one turn in the numbering of the log."""


@dataclass(frozen=True, slots=True)
class TurnLog:
    """The log of turn `number`; what it gives back counts on the transcript's own budget as if it had been done now."""

    log: Log
    number: int
    meter: Meter

    def take(self, trial: int, parent: int, sample: int, move: str) -> StepOutcome | None:
        """See `Log.take`."""
        outcome = self.log.take(self.number * TRIALS + trial, parent, sample, move)
        if outcome is None:
            return None
        self.meter.recall(outcome.step.usage + outcome.judging)
        return replace(outcome, trial=trial)

    def add(self, outcome: StepOutcome) -> None:
        """See `Log.add`."""
        self.log.add(replace(outcome, trial=self.number * TRIALS + outcome.trial))
