"""Many problems at once: agent, tree, verdicts, trace. The only place with concurrency over problems.

A finished rollout is stored before the next one of its worker begins, under a key that is never rolled out again, so an
interrupted run is resumed by running it again.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tirage.agents.driver import Log, StepEvent
from tirage.agents.explorer import Agent, SolveContext
from tirage.core.budget import Budget, Meter
from tirage.core.errors import TirageError, boundary
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.seeds import derive_seed
from tirage.core.step import Usage
from tirage.core.trajectory import StopReason
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict
from tirage.rollouts.failures import error_of, failure_of
from tirage.traces.base import TraceSink
from tirage.verification.base import Verifier
from tirage.verification.extract import conclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a run: what to roll out, and the identity that goes into every rollout's key and seed."""

    name: str
    problems: tuple[Problem, ...]
    samples: int = 1
    """Rollouts per problem."""
    model: str
    """Model name with weights' hash, stored with every rollout."""
    tokenizer_hash: str = ""
    config_hash: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class StageProgress:
    """Where a stage stands."""

    stage: str
    total: int
    resumed: int = 0
    """Rollouts that were already finished before."""
    done: int = 0
    """Finished in all, resumed ones included."""
    graded: int = 0
    """Finished now with a verdict; the solve rate is correct / graded."""
    correct: int = 0
    usage: Usage = field(default_factory=Usage)
    """Spent now."""


T = TypeVar("T")
MOST_FAILURES = 16
"""Broken rollouts in a row, with no whole one between, that end a run: by then it is the surroundings, not the problems."""
_COLLECT_AFTER = 50_000
"""New container objects between two runs of the cyclic collector: a few megabytes."""


class Runner:
    """Rolls out stages into a store."""

    def __init__(
        self,
        agent: Agent,
        verifiers: Callable[[Problem], Verifier],
        store: TraceSink,
        *,
        seed: int,
        concurrency: int = 64,
        budget: Budget | None = None,
        logs: Callable[[str], Log] | None = None,
        keep_broken: bool = False,
    ) -> None:
        """`concurrency` rollouts are in flight at once; `budget` is shared by everything this runner does.

        `logs` gives the search log of a rollout by its key, from which an unfinished tree continues. `keep_broken` stores a stage in
        which everything broke too, for stages that are single problems of something larger.
        """
        self.agent = agent
        self.verifiers = verifiers
        self.store = store
        self.seed = seed
        self.concurrency = concurrency
        self.meter = Meter(budget or Budget())
        self._logs = logs
        self.keep_broken = keep_broken

    async def run(
        self,
        stage: Stage,
        *,
        on_progress: Callable[[StageProgress], None] | None = None,
        on_start: Callable[[str], None] | None = None,
        on_step: Callable[[StepEvent], None] | None = None,
    ) -> StageProgress:
        """Roll out what is missing of `stage`. `on_start` hears the key of each rollout that really begins.

        Raises when the surroundings fail (dead server, wrong key, exhausted disk), after `MOST_FAILURES` broken rollouts in a row, and when
        every rollout of the stage broke. These are not kept; what was finished is.
        """
        finished = self.store.keys(stage.name)
        jobs = [(problem, sample) for sample in range(stage.samples) for problem in stage.problems]
        missing = [job for job in jobs if rollout_key(stage.name, *job) not in finished]
        done = len(jobs) - len(missing)
        kept = _Kept(self.store, StageProgress(stage=stage.name, total=len(jobs), resumed=done, done=done), on_progress)
        kept.tell()
        queue, began = iter(missing), time.monotonic()

        async def work() -> None:
            for problem, sample in queue:
                if self.meter.exhausted(elapsed_s=time.monotonic() - began) is not None:
                    return
                key = rollout_key(stage.name, problem, sample)
                if on_start is not None:
                    on_start(key)
                rollout = await self._roll(stage, key, problem, sample, on_step)
                if rollout is None:
                    return
                kept.add(rollout)

        with _rare_collections():
            await together(work() for _ in range(min(self.concurrency, len(missing))))
        kept.end(keep_broken=self.keep_broken)
        return kept.progress

    async def _roll(
        self, stage: Stage, key: str, problem: Problem, sample: int, on_step: Callable[[StepEvent], None] | None
    ) -> Rollout | None:
        """One rollout; None when the shared budget left nothing to do."""
        started = time.monotonic()
        seed = derive_seed(self.seed, stage.name, problem.asked.id, sample)
        log = self._logs(key) if self._logs is not None else None
        tree = await self.agent.solve(problem, SolveContext(seed=seed, meter=self.meter, on_step=on_step, log=log))
        if len(tree.nodes) == 1 and self.meter.exhausted() is not None:
            return None
        return Rollout(
            key=key,
            stage=stage.name,
            problem=problem,
            sample=sample,
            tree=tree,
            verdicts=await judge(tree, problem, self.verifiers(problem)),
            model=stage.model,
            tokenizer_hash=stage.tokenizer_hash,
            config_hash=stage.config_hash,
            sampling=stage.sampling,
            wall_s=time.monotonic() - started,
            finished_at=time.time(),
        )


async def judge(tree: Tree, problem: Problem, verifier: Verifier) -> dict[int, Verdict]:
    """Verdicts on all ends of `tree` that answer the problem; a broken verifier gives ungraded verdicts, a broken path gives none."""
    verdicts: dict[int, Verdict] = {}
    for leaf in _answers(tree):
        try:
            with boundary("verifier"):
                verdicts[leaf] = await verifier.verify(problem, conclusion(tree.trajectory(leaf)))
        except TirageError as error:
            verdicts[leaf] = Verdict(correct=None, verifier=verifier.name, detail=f"verifier failed: {error}")
    return verdicts


def _answers(tree: Tree) -> Iterator[int]:
    """Nodes to judge: what ended, and paths of the problem's own prompt that were left open. What a role left open was no answer."""
    for node in tree.nodes[1:]:
        left = node.stop is StopReason.OPEN and not tree.children[node.index] and tree.trajectory(node.index).steps[0].opening is None
        if left or node.stop not in (StopReason.OPEN, StopReason.ERROR):
            yield node.index


def rollout_key(stage: str, problem: Problem, sample: int) -> str:
    """Identity of a rollout within a run."""
    return f"{stage}/{problem.id}/{sample}"


class _Kept:
    """Rollouts of a stage on their way into the store: whole ones at once, broken ones when they are not the surroundings' fault."""

    def __init__(self, store: TraceSink, progress: StageProgress, on_progress: Callable[[StageProgress], None] | None) -> None:
        self.progress = progress
        self._store = store
        self._on_progress = on_progress
        self._waiting: list[Rollout] = []
        self._some = progress.resumed > 0

    def add(self, rollout: Rollout) -> None:
        """Store a whole rollout and the few broken ones before it. Raises when too many in a row are broken."""
        self._waiting.append(rollout)
        failure = failure_of(rollout.tree)
        if failure is None:
            self._some = True
            self._flush()
        elif len(self._waiting) >= MOST_FAILURES:
            raise error_of(failure, f"{len(self._waiting)} rollouts in a row broke: fix the cause and run again to resume")

    def end(self, *, keep_broken: bool) -> None:
        """Store what is waiting. Raises when the stage has no whole rollout, unless these are kept as well."""
        failure = failure_of(self._waiting[-1].tree) if self._waiting else None
        if failure is not None and not self._some and not keep_broken:
            count = len(self._waiting)
            broke = "the rollout broke" if count == 1 else f"all {count} rollouts broke"
            raise error_of(failure, f"{broke} and nothing is kept: fix the cause and run again")
        self._flush()

    def _flush(self) -> None:
        for rollout in self._waiting:
            self._store.append(rollout)
            self.progress.done += 1
            self.progress.usage = self.progress.usage + rollout.tree.usage
            if rollout.correct is not None:
                self.progress.graded += 1
                self.progress.correct += rollout.correct
        if self._waiting:
            self._waiting.clear()
            self.tell()

    def tell(self) -> None:
        """Report the progress."""
        if self._on_progress is not None:
            self._on_progress(self.progress)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the cyclic collector run seldom: hundreds of living rollouts hold no cycles, yet each collection walks through them.

    The default threshold costs a fifth of all processor time at 500 rollouts in flight. A collector that is off, or runs seldom
    already, is left alone.
    """
    first, *older = gc.get_threshold()
    if not 0 < first < _COLLECT_AFTER:
        yield
        return
    gc.set_threshold(_COLLECT_AFTER, *older)
    try:
        yield
    finally:
        gc.set_threshold(first, *older)


async def together(works: Iterable[Awaitable[T]]) -> list[T]:
    """The results of works that run side by side; the first failure cancels the others and is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def unique(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Drop repeated problems (same content, same id), keeping the first; keys are per problem id."""
    return tuple({problem.id: problem for problem in problems}.values())
