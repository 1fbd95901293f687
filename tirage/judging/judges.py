"""Judges: which of two answers is better, how good is one; and what makes a judge fairer without its caller noticing.

Every wrapper is a judge itself, so they stack: `BothOrders(Presented(judge, each(blind, plain)))`. What `tirage.judging.bias` measures
is what they are against. Wrappers ask one ruling after the other, since a transcript takes one turn at a time.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from tirage.agents.valuation import Estimate, Valuer
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Source, Span, Step, Usage
from tirage.core.trajectory import Trajectory
from tirage.core.verdict import Preference
from tirage.judging.presentation import Present, Rewrite

SWAPPED: Mapping[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}


class PairJudge(Protocol):
    """Says which of two answers is better."""

    async def prefer(self, question: str, first: str, second: str, seed: int) -> Preference:
        """`tie` where neither is better. `seed` fixes every draw. Raises `NoRuling`, `OutOfBudget`, and what ends a run."""
        ...


class ScoreJudge(Protocol):
    """Says how good an answer is."""

    async def score(self, question: str, answer: str, seed: int) -> float | None:
        """In [0, 1], larger is better; None: cannot say. `seed` fixes every draw. Raises as `PairJudge.prefer`."""
        ...


class BothOrders:
    """Asked twice, the second time with the answers swapped; what the two rulings do not agree on is a tie. Doubles the calls."""

    def __init__(self, inner: PairJudge) -> None:
        """Any pair judge."""
        self._inner = inner

    async def prefer(self, question: str, first: str, second: str, seed: int) -> Preference:
        """The choice that both orders give."""
        straight = await self._inner.prefer(question, first, second, seed)
        swapped = await self._inner.prefer(question, second, first, seed)
        return straight if straight == SWAPPED[swapped] else "tie"


class Presented:
    """Another judge, shown both answers in another way: `each(blind)`, `each(blind, plain)`, `level`."""

    def __init__(self, inner: PairJudge, present: Present) -> None:
        """`present` rewrites the two answers together."""
        self._inner = inner
        self._present = present

    async def prefer(self, question: str, first: str, second: str, seed: int) -> Preference:
        """What the other judge says of the rewritten answers."""
        return await self._inner.prefer(question, *self._present(first, second), seed)


class Panel:
    """Several judges, of different models where their errors shall differ; a side wins with more than half of all votes."""

    def __init__(self, judges: Sequence[PairJudge], *, unanimous: bool = False) -> None:
        """`unanimous`: all must agree instead. Raises ValueError for fewer than two judges."""
        if len(judges) < 2:
            raise ValueError(f"a panel needs at least two judges, got {len(judges)}")
        self._judges = judges
        self._needed = len(judges) if unanimous else len(judges) // 2 + 1

    async def prefer(self, question: str, first: str, second: str, seed: int) -> Preference:
        """The side with enough votes, else a tie."""
        votes = Counter([await judge.prefer(question, first, second, derive_seed(seed, n)) for n, judge in enumerate(self._judges)])
        return next((choice for choice, count in votes.items() if count >= self._needed), "tie")


class ByScore:
    """A pair judge out of a score judge: the answer that scores more than `margin` higher wins; a tie where one has no score."""

    def __init__(self, inner: ScoreJudge, *, margin: float = 0.0) -> None:
        """`margin` >= 0, in the units of the scores."""
        self._inner = inner
        self._margin = margin

    async def prefer(self, question: str, first: str, second: str, seed: int) -> Preference:
        """The better one."""
        scores = [await self._inner.score(question, answer, seed) for answer in (first, second)]
        if scores[0] is None or scores[1] is None or abs(scores[0] - scores[1]) <= self._margin:
            return "tie"
        return "first" if scores[0] > scores[1] else "second"


class Shown:
    """Another score judge, shown the answer rewritten: `blind`, `plain`, `partial(shorten, words=200)`."""

    def __init__(self, inner: ScoreJudge, *rewrites: Rewrite) -> None:
        """One rewrite after the other."""
        self._inner = inner
        self._rewrites = rewrites

    async def score(self, question: str, answer: str, seed: int) -> float | None:
        """What the other judge says of the rewritten answer."""
        for rewrite in self._rewrites:
            answer = rewrite(answer)
        return await self._inner.score(question, answer, seed)


class Mean:
    """The mean of several scores: of judges of different models, of both orders of a scale, of draws. What cannot say does not count."""

    def __init__(self, judges: Sequence[ScoreJudge], *, spread: float = 1.0) -> None:
        """`spread`: scores further apart than this do not agree, and None is said. Raises ValueError for fewer than two judges."""
        if len(judges) < 2:
            raise ValueError(f"a mean needs at least two judges, got {len(judges)}")
        self._judges = judges
        self._spread = spread

    async def score(self, question: str, answer: str, seed: int) -> float | None:
        """In the units of the judges."""
        said = [await judge.score(question, answer, derive_seed(seed, n)) for n, judge in enumerate(self._judges)]
        scores = [score for score in said if score is not None]
        return sum(scores) / len(scores) if scores and max(scores) - min(scores) <= self._spread else None


class Debiased(Valuer):
    """A valuer behind wrappers of score judges; whoever asks it sees a valuer: `Debiased(critic, lambda judge: Shown(judge, blind))`."""

    def __init__(self, inner: Valuer, wrap: Callable[[ScoreJudge], ScoreJudge]) -> None:
        """`wrap` is given `inner` as a score judge of the path's text. Where it changes the text, `inner` sees a path of one step."""
        self._inner = inner
        self._wrap = wrap
        self.sees_answer = inner.sees_answer
        self.most_tokens = inner.most_tokens

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """The wrapped score; notes and costs of everything that `inner` was asked."""
        asked = _Bound(self._inner, problem, path)
        value = await self._wrap(asked).score(problem.prompt, path.response, seed)
        return Estimate(value=value, note=asked.note, usage=asked.usage)


@dataclass(slots=True)
class _Bound:
    """A valuer as the score judge of one path."""

    valuer: Valuer
    problem: Problem
    path: Trajectory
    note: str = ""
    usage: Usage = field(default_factory=Usage)

    async def score(self, question: str, answer: str, seed: int) -> float | None:
        path = self.path
        if answer != path.response:
            step = Step(spans=(Span(Source.POLICY, answer),), finish=path.steps[-1].finish)
            path = replace(path, steps=(step,))
        found = await self.valuer.value(self.problem, path, seed)
        self.note = self.note or found.note
        self.usage = self.usage + found.usage
        return found.value
