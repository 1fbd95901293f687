"""Step and Span: one policy turn, with every token's author.

A step holds only the tokens it adds, so a root-to-leaf walk is exactly what the model read and wrote;
loss masks are derived from the sources, never stored.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tirage.core.codec import formerly
from tirage.core.hint import HintUse
from tirage.core.message import Message, Observation, ToolCall
from tirage.core.usage import Usage as Usage


class Source(StrEnum):
    """Who wrote a span."""

    PROMPT = "prompt"
    """The question, system text and chat-template glue before the response."""
    SCAFFOLD = "scaffold"
    """Glue the framework adds inside a response: the fence that closes an observation, a turn separator."""
    HINT = "hint"
    POLICY = "policy"
    """Sampled by the policy: the only source that is trained by default."""
    TOOL = "tool"
    """Output of a tool or retriever."""
    FORCED = "forced"
    """Text put into the policy's mouth that is neither hint nor tool: a prefill, a limit notice."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text with one author."""

    source: Source
    text: str
    ids: tuple[int, ...] | None = None
    """Token ids exactly as sent or sampled; None when the back end gives none. Never re-tokenised."""
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each id under the behaviour policy, same length as `ids`; None when not returned."""

    def __post_init__(self) -> None:
        """Refuse log-probabilities that do not line up with the ids."""
        if self.logprobs is not None and (self.ids is None or len(self.ids) != len(self.logprobs)):
            raise ValueError("Span.logprobs must have one entry per id")


class Finish(StrEnum):
    """Why the policy's text of a step ended."""

    STOP = "stop"
    """End-of-turn token: the policy considers itself done."""
    CALL = "call"
    """It asked for a tool and waits for the observation."""
    LENGTH = "length"
    """The token limit cut it off."""
    MALFORMED = "malformed"
    """It tried to call a tool and the call cannot be read."""
    STEP = "step"
    """A step separator ended it; the path goes on in the next step."""
    CUT = "cut"
    """The framework cut it at a hint position; the next step goes on from there."""
    ELICIT = "elicit"
    """It ended without a readable answer; the next step is begun for it, with the words that state one."""
    ERROR = "error"
    """The model call failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a conversation begins that does not go on from the path before it: a role's own prompt."""

    messages: tuple[Message, ...]
    prompt: tuple[Span, ...]
    """Their rendering; sources PROMPT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One policy turn: what was injected before it, what the policy wrote, what the tools answered."""

    spans: tuple[Span, ...]
    """In the order in which the model reads them. Without raw continuation the texts still line up, ids are None."""
    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    observations: tuple[Observation, ...] = ()
    """One per call, in order."""
    hint: HintUse | None = None
    """The hint that opens this step, if any."""
    ephemeral: str = field(default="", metadata=formerly("aside"))
    """Text that was shown for this step alone, between the path and what the policy wrote: earlier attempts, reflections. The steps
    that follow do not see it, and no row holds it."""
    usage: Usage = field(default_factory=Usage)
    opening: Opening | None = None
    """What the model read instead of the path before this step; the steps that follow go on from here. None: it read that path."""

    @property
    def text(self) -> str:
        """All text of the step, in reading order."""
        return "".join(span.text for span in self.spans)

    @property
    def policy_text(self) -> str:
        """Only what the policy wrote."""
        return "".join(span.text for span in self.spans if span.source is Source.POLICY)


def mean_probability(logprobs: Iterable[float]) -> float | None:
    """Geometric mean of the probabilities, exp(mean log-probability), in (0, 1]; None without any."""
    scores = list(logprobs)
    return math.exp(math.fsum(scores) / len(scores)) if scores else None


def join_ids(spans: "tuple[Span, ...] | list[Span] | Iterator[Span]") -> tuple[int, ...] | None:
    """Concatenate the ids of `spans`; None as soon as one span has no ids."""
    ids: list[int] = []
    for span in spans:
        if span.ids is None:
            return None
        ids.extend(span.ids)
    return tuple(ids)
