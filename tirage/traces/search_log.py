"""The log of a search: what became of every trial, one line each, in the order in which the outcomes came.

It is the checkpoint of trees that are not finished. A search is deterministic, so its decisions follow from the
outcomes: a resumed one asks the same trials again and takes from here what was settled, wherever it was interrupted. The finished tree
is a rollout in `traces.jsonl` like any other, and its lines here are only history.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from tirage.core.codec import decode, encode
from tirage.core.errors import DataError
from tirage.core.step import Step, Usage
from tirage.core.trajectory import Failure, StopReason
from tirage.traces.lines import LineLog

SEARCHES = "searches.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What became of one step below a node: the step with why its path ends or goes on, its value, and where it was to hang."""

    trial: int
    parent: int
    sample: int
    move: str = ""
    step: Step
    stop: StopReason = StopReason.OPEN
    error: Failure | None = None
    prior: float | None = None
    value: float | None = None
    """What the valuer estimates of the path with this step; before it was asked, what the policy itself says."""
    note: str = ""
    """What was said about the node in words."""
    judging: Usage = field(default_factory=Usage)
    """What value and note cost."""


class SearchLog:
    """The search log of a run folder."""

    def __init__(self, folder: Path, finished: Set[str]) -> None:
        """Read what was settled of trees whose rollout is not among the `finished`. Raises `DataError` for a line that does not fit."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / SEARCHES
        self._log = LineLog(path)
        self._log.heal()
        self._known: dict[str, dict[int, StepOutcome]] = {}
        for number, line in enumerate(LineLog.lines(path), start=1):
            try:
                key, data = line["key"], line["settled"]
            except (KeyError, TypeError):
                raise DataError(
                    f"{path}, line {number}: no search record; delete the line, or the file to start its searches again"
                ) from None
            if key not in finished:
                settled = decode(StepOutcome, data)
                self._known.setdefault(key, {})[settled.trial] = settled

    def of(self, key: str) -> "TreeLog":
        """The log of one tree."""
        return TreeLog(self._log, key, self._known.pop(key, {}))

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()


class TreeLog:
    """What is settled of one tree."""

    def __init__(self, log: LineLog, key: str, known: Mapping[int, StepOutcome]) -> None:
        """`known`: outcomes by trial."""
        self._log = log
        self._key = key
        self._known = dict(known)

    def take(self, trial: int, parent: int, sample: int, move: str) -> StepOutcome | None:
        """What became of a trial before; None when it was not settled. Raises `DataError` when the log is of another search."""
        settled = self._known.pop(trial, None)
        if settled is not None and (settled.parent, settled.sample, settled.move) != (parent, sample, move):
            raise DataError(
                f"the search log of {self._key!r} does not fit: trial {trial} extended node {settled.parent} there and node {parent} now; "
                f"was {SEARCHES} written by another version or configuration? Delete it to start its searches again"
            )
        return settled

    def add(self, settled: StepOutcome) -> None:
        """Keep an outcome; when this returns, it survives the death of the process."""
        self._log.append({"key": self._key, "settled": encode(settled)})
