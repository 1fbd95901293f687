"""Hint: text placed into a policy's own thinking, never credited to the policy unless a recipe says so."""

from dataclasses import dataclass
from enum import StrEnum


class HintPosition(StrEnum):
    """Where a hint is put (START, arXiv 2503.04625)."""

    START = "start"
    """Before the first thought."""
    MARKER = "marker"
    """Right after a reflective connective such as "Wait" or "Alternatively"; what followed is discarded."""
    END_OF_THINKING = "end_of_thinking"
    """In place of the end-of-thinking marker; may repeat, which is sequential test-time scaling."""
    BEFORE_STOP = "before_stop"
    """In place of the stop token, after a first answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """One entry of a hint library."""

    id: str
    family: str
    text: str
    positions: tuple[HintPosition, ...]
    domains: tuple[str, ...] = ()
    """Problem kinds for which it is offered; empty for all."""

    def suits(self, kind: str) -> bool:
        """Whether it is offered for problems of this kind."""
        return not self.domains or kind in self.domains


@dataclass(frozen=True, slots=True, kw_only=True)
class HintUse:
    """The record that a hint was given in a step."""

    hint_id: str
    family: str
    position: HintPosition
    offset: int
    """Token offset of the hint span within the response (all spans after the prompt); characters where no ids exist."""
    reason: str
    """Why here: the connective found, `end-of-thinking`, `stop`, `start`."""
    as_user_turn: bool = False
    """True when the back end has no raw continuation and the hint was sent as a user message instead."""
