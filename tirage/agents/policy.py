"""The policy's port: what proposes the next step of a path, and what a proposal is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tirage.agents.continuation import Path
from tirage.core.hint import HintUse
from tirage.core.message import Message, Observation, ToolCall
from tirage.core.problem import Problem
from tirage.core.step import Finish, Opening, Source, Span, Step, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the policy offers as the next step, before its calls are run."""

    spans: tuple[Span, ...]
    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    hint: HintUse | None = None
    ephemeral: str = ""
    """What was shown for this step alone."""
    prior: float | None = None
    """Geometric mean of the sampled tokens' probabilities, in (0, 1]; None where the model gave none."""
    value: float | None = None
    """What the policy itself says the path is worth with this step; None where it does not say."""
    usage: Usage
    problem: str = ""
    """For MALFORMED: what could not be read."""
    corrected: bool = False
    """For MALFORMED: the policy is told at once, although its turn has ended, and the path goes on."""
    opening: Opening | None = None
    """The prompt that was read instead of the path, for a policy of several roles."""


class Policy(Protocol):
    """Proposes steps."""

    @property
    def id(self) -> str:
        """Model and everything that makes the policy what it is."""
        ...

    @property
    def most_tokens(self) -> int | None:
        """Tokens that one step samples at most; None where it cannot say."""
        ...

    def prompt(self, problem: Problem) -> tuple[tuple[Message, ...], tuple[Span, ...]]:
        """The messages for `problem` and their rendering."""
        ...

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", ephemeral: str = ""
    ) -> Draft:
        """The next step after `path`.

        `seed` fixes the draw, `hint_seed` the trajectory's hints. `move` is one of the policy's moves, empty for its own choice;
        `ephemeral` is shown for this step alone. Raises `ConfigError` for a move that it does not have.
        """
        ...

    @property
    def waiting(self) -> tuple[str, ...]:
        """Texts at whose end the policy waits for an observation."""
        ...

    def show(self, path: Path, draft: Draft, observations: Sequence[Observation]) -> tuple[Span, ...]:
        """The spans by which the policy will read `observations`."""
        ...

    def inject(self, source: Source, text: str) -> Span:
        """A span that the policy did not write."""
        ...

    def reopened(self, path: Path, step: Step) -> Step | None:
        """`step`, which would end the path, as one after which an answer is elicited; None where it ends there."""
        ...


Inner = TypeVar("Inner", bound=Policy)


class WrappedPolicy(Generic[Inner]):
    """The policy port over another policy; a subclass changes what it has to."""

    def __init__(self, inner: Inner) -> None:
        """`inner` does what the subclass leaves to it."""
        self.inner = inner

    @property
    def id(self) -> str:
        """The inner one's."""
        return self.inner.id

    @property
    def waiting(self) -> tuple[str, ...]:
        """The inner one's."""
        return self.inner.waiting

    @property
    def most_tokens(self) -> int | None:
        """The inner one's."""
        return self.inner.most_tokens

    def prompt(self, problem: Problem) -> tuple[tuple[Message, ...], tuple[Span, ...]]:
        """By the inner one."""
        return self.inner.prompt(problem)

    def show(self, path: Path, draft: Draft, observations: Sequence[Observation]) -> tuple[Span, ...]:
        """By the inner one."""
        return self.inner.show(path, draft, observations)

    def inject(self, source: Source, text: str) -> Span:
        """By the inner one."""
        return self.inner.inject(source, text)

    def reopened(self, path: Path, step: Step) -> Step | None:
        """By the inner one."""
        return self.inner.reopened(path, step)
