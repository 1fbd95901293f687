"""Trajectory: what happened on one path, in order."""

from dataclasses import dataclass
from enum import StrEnum

from tirage.core.hint import HintUse
from tirage.core.own_text import OwnText, read_own
from tirage.core.step import Source, Span, Step, Usage, join_ids


class StopReason(StrEnum):
    """Why a path ended."""

    ANSWERED = "answered"
    """The policy ended its turn."""
    LENGTH = "length"
    """A step ran into its token limit or the context is full."""
    CALLS = "calls"
    """The limit of tool calls was reached."""
    BUDGET = "budget"
    """A shared budget ran out; the path is partial."""
    MALFORMED = "malformed"
    """The policy's tool call could not be read and no further attempt was allowed."""
    ERROR = "error"
    """Something around the policy broke; see `error`."""
    GAVE_UP = "gave-up"
    """The policy gave the path up, to start again elsewhere."""
    MERGED = "merged"
    """A sibling leads to the same state; the search goes on there."""
    OPEN = "open"
    """Not ended: an inner node of a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What broke around the policy, stamped once with the boundary it crossed."""

    boundary: str
    """model, tool, sandbox or verifier."""
    kind: str
    """Exception class name."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One path from the prompt to an end; a value that shares its past with its siblings."""

    problem_id: str
    policy_id: str
    """Model name plus whatever makes the policy what it is (dialect, hint plan)."""
    seed: int
    prompt: tuple[Span, ...]
    """The rendered prompt; sources PROMPT."""
    steps: tuple[Step, ...]
    stop: StopReason
    error: Failure | None = None
    answer: str | None = None
    """What its agent reads as its answer, empty for none; None where the agent leaves the reading to whoever grades the problem."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Prompt and all steps' spans, in reading order."""
        return self.prompt + tuple(span for step in self.steps for span in step.spans)

    @property
    def response(self) -> str:
        """Everything after the prompt, as text."""
        return "".join(step.text for step in self.steps)

    @property
    def own(self) -> OwnText:
        """What the policy said itself, and whether its last code was left unrun."""
        return read_own(self.steps)

    @property
    def own_text(self) -> str:
        """What the policy said itself: the only place where its answer may be looked for.

        That is what it sampled, what was forced right before that in the same step (the beginning of an answer that it was made to
        finish), and what it handed to a tool that ends the path. Prompts, hints, glue, notices and what tools returned are left out;
        where they stood a new line begins, so that nothing grows together. A fenced block of its own keeps its fences, whoever wrote them.
        """
        return self.own.text

    @property
    def token_ids(self) -> tuple[int, ...] | None:
        """Exactly what the model read and wrote; None when some span has no ids."""
        return join_ids(self.spans)

    @property
    def token_sources(self) -> tuple[Source, ...] | None:
        """One source per entry of `token_ids`."""
        if self.token_ids is None:
            return None
        return tuple(span.source for span in self.spans for _ in span.ids or ())

    @property
    def hints(self) -> tuple[HintUse, ...]:
        """Hints given along the path."""
        return tuple(step.hint for step in self.steps if step.hint is not None)

    @property
    def usage(self) -> Usage:
        """Sum over the steps."""
        return sum((step.usage for step in self.steps), Usage())

    @property
    def used_tool(self) -> bool:
        """True when at least one call was run."""
        return any(step.observations for step in self.steps)
