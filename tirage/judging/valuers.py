"""Valuers that need no critic: confidence, execution, the verdict itself; and what combines valuers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from tirage.agents.valuation import Estimate, Valuer, most_tokens_of, shown_to, together
from tirage.core.message import ObservationStatus
from tirage.core.problem import Problem
from tirage.core.step import Source, mean_probability
from tirage.core.trajectory import StopReason, Trajectory
from tirage.core.verdict import Verdict
from tirage.verification.extract import conclusion


class Judge(Protocol):
    """What a verdict valuer needs of a verifier."""

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """A verdict on a whole response."""
        ...


class Confidence(Valuer):
    """Geometric mean of the probabilities of the tokens that the policy sampled on the path, in (0, 1]. Costs nothing."""

    most_tokens = 0

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """None where the model gave no log-probabilities."""
        scores = (score for span in path.spans if span.source is Source.POLICY for score in span.logprobs or ())
        return Estimate(value=mean_probability(scores))


class Execution(Valuer):
    """Did its code run? 1 when the last observation is whole, 0.5 before any, 0 when the last one is an error. Costs nothing."""

    most_tokens = 0

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """The last observation decides."""
        last = next((item for step in reversed(path.steps) for item in reversed(step.observations)), None)
        return Estimate(value=0.5 if last is None else float(last.status is ObservationStatus.OK))


class Oracle(Valuer):
    """The verifier's verdict on ended paths: it sees the reference answer, so it is for making training data and upper bounds only."""

    sees_answer = True

    def __init__(self, verifiers: Callable[[Problem], Judge], inner: Valuer | None = None) -> None:
        """`inner` values the paths that have not ended."""
        self._verifiers = verifiers
        self._inner = inner
        self.most_tokens = most_tokens_of(inner)

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """The score, or 1 and 0; None when ungraded."""
        if path.stop is StopReason.OPEN:
            return await self._inner.value(shown_to(self._inner, problem), path, seed) if self._inner is not None else Estimate(value=None)
        verdict = await self._verifiers(problem).verify(problem, conclusion(path))
        if verdict.correct is None:
            return Estimate(value=None)
        return Estimate(value=float(verdict.correct) if verdict.score is None else verdict.score, note=verdict.detail)


class Stages(Valuer):
    """The cheap estimate first, the costly one on demand: only where the cheap one reaches `gate`."""

    def __init__(self, cheap: Valuer, full: Valuer, *, gate: float = 0.5) -> None:
        """Both in the same units."""
        self._cheap = cheap
        self._full = full
        self._gate = gate
        self.most_tokens = together(most_tokens_of(cheap), most_tokens_of(full))
        self.sees_answer = cheap.sees_answer or full.sees_answer

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """The full estimate, or the cheap one below the gate or where the full one cannot say."""
        first = await self._cheap.value(shown_to(self._cheap, problem), path, seed)
        if first.value is not None and first.value < self._gate:
            return first
        second = await self._full.value(shown_to(self._full, problem), path, seed)
        usage = first.usage + second.usage
        if second.value is None:
            return Estimate(value=first.value, note=second.note or first.note, usage=usage)
        return Estimate(value=second.value, note=second.note or first.note, usage=usage)


class Signed(Valuer):
    """Another valuer's [0, 1] as [-1, 1], for searches that take the middle for unknown."""

    def __init__(self, inner: Valuer) -> None:
        """`inner` says values in [0, 1]."""
        self._inner = inner
        self.sees_answer = inner.sees_answer
        self.most_tokens = most_tokens_of(inner)

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """Twice the value, less 1; None stays None."""
        found = await self._inner.value(problem, path, seed)
        return found if found.value is None else replace(found, value=2 * found.value - 1)


class Batched(Valuer):
    """Gathers what is asked within one turn of the event loop into one call, for valuers that are faster on many paths at once."""

    def __init__(self, values: Callable[[Sequence[tuple[Problem, Trajectory]]], Sequence[float | None]], *, most: int = 64) -> None:
        """`values` scores up to `most` paths; it may be slow and runs in a thread."""
        self._values = values
        self._most = most
        self.most_tokens = 0
        self._waiting: list[tuple[Problem, Trajectory, asyncio.Future[float | None]]] = []

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """This path's share of the batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[float | None] = loop.create_future()
        self._waiting.append((problem, path, future))
        if len(self._waiting) == 1:
            loop.call_soon(lambda: loop.create_task(self._flush()))
        return Estimate(value=await future)

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        for start in range(0, len(batch), self._most):
            part = batch[start : start + self._most]
            try:
                scores = await asyncio.to_thread(self._values, [(problem, path) for problem, path, _ in part])
            except Exception as error:  # every one that waits has to hear of it
                for _, _, future in part:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, _, future), score in zip(part, scores, strict=True):
                if not future.done():
                    future.set_result(score)
