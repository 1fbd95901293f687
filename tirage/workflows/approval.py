"""A person between two turns: approve, modify, reject, escalate, terminate. A run that waits is a file, from which it goes on anywhere.

What was settled before stands in the file, so no model is asked again: the workflow is performed again on the recorded outcomes up
to the turn that waits.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from tirage.core.codec import decode, encode
from tirage.core.errors import DataError
from tirage.core.problem import Problem
from tirage.traces.search_log import StepOutcome


class Action(StrEnum):
    """What a person can decide."""

    APPROVE = "approve"
    MODIFY = "modify"
    """Go on with the person's own text instead."""
    REJECT = "reject"
    """The turn is taken again; the text says why and is shown to the role."""
    ESCALATE = "escalate"
    """The next one in charge decides."""
    TERMINATE = "terminate"
    """The run ends with the best answer so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecision:
    """What was decided."""

    action: Action
    text: str = ""
    """The new text of `modify`, the reason of `reject`."""
    by: str = ""
    """Who decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A turn that waits for a decision."""

    number: int
    """Which decision of the run this is, from 0."""
    role: str
    text: str
    """What the role wrote."""
    asked: str
    """What it was asked."""
    level: int = 0
    """How often it was escalated."""


class Approver(Protocol):
    """Someone in charge."""

    async def decide(self, request: ApprovalRequest) -> ApprovalDecision | None:
        """A decision; None when nobody is there now, so that the run pauses."""
        ...


class Paused(Exception):
    """The run waits for a decision; go on with `tirage resume`."""

    def __init__(self, request: ApprovalRequest) -> None:
        super().__init__(f"the {request.role}'s turn waits for a decision")
        self.request = request


class Terminated(Exception):
    """A person ended the run."""


@dataclass(slots=True)
class ApprovalGate:
    """Where turns wait. Decisions that were given before are taken from `decided`, so a resumed run does not ask again."""

    approvers: Sequence[Approver] = ()
    """Those in charge, the next one for what is escalated."""
    decided: dict[int, ApprovalDecision] = field(default_factory=dict)
    """By request number."""
    on_wait: Callable[[ApprovalRequest], None] | None = None
    """Called before anybody is asked: the place to write the run down."""
    asked: int = 0

    async def decide(self, role: str, asked: str, text: str) -> ApprovalDecision:
        """The decision on a turn. Raises `Paused` when nobody decides, `Terminated` when that is the decision."""
        level = 0
        while True:
            request = ApprovalRequest(number=self.asked, role=role, text=text, asked=asked, level=level)
            decision = self.decided.get(request.number)
            if decision is None:
                if self.on_wait is not None:
                    self.on_wait(request)
                decision = await self.approvers[level].decide(request) if level < len(self.approvers) else None
            if decision is None:
                raise Paused(request)
            self.decided[request.number] = decision
            self.asked += 1
            if decision.action is Action.TERMINATE:
                raise Terminated(f"ended by {decision.by or 'a person'}{f': {decision.text}' if decision.text else ''}")
            if decision.action is not Action.ESCALATE:
                return decision
            level += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedRun:
    """A run as it stands while a turn waits."""

    problem: Problem
    seed: int
    agent: Mapping[str, Any]
    """What the caller needs to make the same agent again; opaque here. No secrets."""
    settled: tuple[StepOutcome, ...]
    decided: Mapping[str, ApprovalDecision] = field(default_factory=dict)
    """By request number."""
    waiting: ApprovalRequest | None = None
    """What waits; None once the run has ended."""

    def save(self, path: Path) -> None:
        """Write it whole or not at all. Raises `DataError` when the file cannot be written."""
        text = json.dumps({"tirage": "paused-run", "version": 1, **encode(self)}, ensure_ascii=True, indent=1)
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise DataError(f"paused run {path} cannot be written: {error.strerror}; give another file") from error

    @classmethod
    def load(cls, path: Path) -> "PausedRun":
        """Read a file that `save` wrote. Raises `DataError` naming the file and what is wrong."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"paused run {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise DataError(f"paused run {path} is no JSON: {error}") from error
        if not isinstance(data, dict) or data.pop("tirage", None) != "paused-run" or data.pop("version", None) != 1:
            raise DataError(f"{path} is no paused run of this version; `tirage solve --approve ... --pause FILE` writes them")
        try:
            return decode(cls, data)
        except DataError as error:
            raise DataError(f"paused run {path}: {error}") from error


class PausedLog:
    """A log in memory, whose outcomes go into a `PausedRun`."""

    def __init__(self, settled: Sequence[StepOutcome] = ()) -> None:
        """`settled`: what is known already."""
        self._known = {item.trial: item for item in settled}
        self.settled = list(settled)

    def take(self, trial: int, parent: int, sample: int, move: str) -> StepOutcome | None:
        """What became of a trial before; None when it was not settled. Raises `DataError` when it is of another run."""
        found = self._known.pop(trial, None)
        if found is not None and (found.parent, found.sample, found.move) != (parent, sample, move):
            raise DataError("the paused run does not fit the agent; was it written by another version or configuration?")
        return found

    def add(self, settled: StepOutcome) -> None:
        """Keep an outcome."""
        self.settled.append(settled)
