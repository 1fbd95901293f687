"""Many problems: keys, resuming, failures, budgets, verdicts."""

import asyncio

import pytest

from tirage.agents.explorer import SolveContext
from tirage.core import Budget, Failure, Finish, Problem, Rollout, Source, Span, Step, StopReason, Tree, Usage, Verdict
from tirage.core.errors import ModelUnavailable, SandboxError
from tirage.rollouts.runner import Runner, Stage, StageProgress, unique
from tirage.verification.verifier_base import VerifierBase

PROBLEMS = tuple(Problem(prompt=f"{number}?", answer=str(number)) for number in range(20))


class Store:
    def __init__(self) -> None:
        self.rollouts: list[Rollout] = []

    def append(self, rollout: Rollout) -> None:
        self.rollouts.append(rollout)

    def keys(self, stage: str | None = None) -> set[str]:
        return {rollout.key for rollout in self.rollouts if stage in (None, rollout.stage)}


class Echo:
    """Answers with the problem's own number; counts what it was asked and how much ran at once."""

    def __init__(self, *, fail_at: int | None = None, breaks: tuple[str, ...] = ("13?",)) -> None:
        self.asked: list[tuple[str, int]] = []
        self.breaks = breaks
        self.fail_at = fail_at
        self.running = self.most = 0

    async def solve(self, problem: Problem, context: SolveContext) -> Tree:
        if self.fail_at is not None and len(self.asked) >= self.fail_at:
            raise ModelUnavailable("the server is gone")
        self.asked.append((problem.id, context.seed))
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        tree = Tree(problem_id=problem.id, policy_id="echo", seed=context.seed, prompt=())
        meter = context.meter
        if meter is not None and meter.exhausted() is not None:
            return tree
        broken = problem.prompt in self.breaks
        usage = Usage(tokens_out=10, model_calls=1)
        step = Step(spans=(Span(Source.POLICY, problem.prompt),), finish=Finish.ERROR if broken else Finish.STOP, usage=usage)
        failure = Failure(boundary="sandbox", kind="SandboxError", message="gone") if broken else None
        tree.chosen = tree.add(0, step, stop=StopReason.ERROR if broken else StopReason.ANSWERED, error=failure).index
        if meter is not None:
            meter.spent = meter.spent + usage
        return tree


class Parity(VerifierBase):
    """Even numbers are right, odd ones wrong, 7 cannot be graded, 8 breaks the verifier."""

    name = "parity/1"

    async def equal(self, answer: str, gold: str) -> bool | None:
        return answer == gold

    async def verify(self, problem: Problem, response: str) -> Verdict:
        number = int(problem.answer or 0)
        if number == 8:
            raise RuntimeError("verifier bug")
        return Verdict(correct=None if number == 7 else number % 2 == 0, verifier=self.name)


def runner(agent: Echo, store: Store, **options: object) -> Runner:
    return Runner(agent, lambda _: Parity(), store, seed=5, **options)  # type: ignore[arg-type]


STAGE = Stage(name="try", problems=PROBLEMS, samples=2, model="echo")


async def test_every_problem_and_sample_is_rolled_out_once_with_a_seed_of_its_own() -> None:
    agent, store = Echo(), Store()
    progress = await runner(agent, store, concurrency=4).run(STAGE)
    assert (progress.done, progress.total, progress.resumed) == (40, 40, 0)
    assert len(store.keys("try")) == 40
    assert len({seed for _, seed in agent.asked}) == 40
    assert agent.most == 4
    again = Echo()
    await runner(again, Store(), concurrency=9).run(STAGE)
    assert sorted(again.asked) == sorted(agent.asked), "seeds must not depend on order or concurrency"


async def test_wrong_ungraded_and_broken_are_different_things() -> None:
    store = Store()
    progress = await runner(Echo(), store).run(Stage(name="try", problems=PROBLEMS, model="echo"))
    verdicts = {int(rollout.problem.answer or 0): rollout.correct for rollout in store.rollouts}
    assert verdicts[2] is True
    assert verdicts[3] is False
    assert verdicts[7] is None
    assert verdicts[8] is None
    assert verdicts[13] is None, "a rollout that broke is not a wrong answer"
    (eighth,) = [rollout for rollout in store.rollouts if rollout.problem.answer == "8"]
    assert eighth.verdict is not None
    assert "verifier bug" in eighth.verdict.detail
    assert (progress.graded, progress.correct) == (17, 9)


async def test_a_dead_server_stops_the_run_and_the_next_start_does_only_the_rest() -> None:
    store, begun = Store(), list[str]()
    with pytest.raises(ModelUnavailable):
        await runner(Echo(fail_at=12), store, concurrency=3).run(STAGE)
    finished = store.keys()
    assert 0 < len(finished) <= 12
    progress = await runner(Echo(), store).run(STAGE, on_start=begun.append)
    assert progress.resumed == len(finished)
    assert progress.done == 40
    assert not finished & set(begun)
    assert len(store.rollouts) == len(store.keys()) == 40
    idle = Echo()
    await runner(idle, store).run(STAGE)
    assert idle.asked == []


async def test_many_broken_rollouts_in_a_row_end_the_run_and_are_not_kept() -> None:
    store = Store()
    everything = tuple(problem.prompt for problem in PROBLEMS[2:])
    with pytest.raises(SandboxError, match=r"16 rollouts in a row broke: fix the cause .*; the last: SandboxError: gone"):
        await runner(Echo(breaks=everything), store, concurrency=1).run(Stage(name="t", problems=PROBLEMS, model="echo"))
    assert len(store.rollouts) == 2
    few = Store()
    await runner(Echo(breaks=("1?", "2?", "19?")), few).run(Stage(name="t", problems=PROBLEMS, model="echo"))
    assert len(few.rollouts) == 20


async def test_a_shared_budget_ends_the_run_early_with_what_was_done() -> None:
    store = Store()
    progress = await runner(Echo(), store, concurrency=1, budget=Budget(tokens_out=50)).run(STAGE)
    assert progress.done == len(store.rollouts) == 5
    nothing = await runner(Echo(), Store(), budget=Budget(tokens_out=0)).run(STAGE)
    assert nothing.done == 0


async def test_cancelling_keeps_what_was_finished() -> None:
    store = Store()

    def stop(progress: StageProgress) -> None:
        if progress.done == 3:
            task.cancel()

    task = asyncio.ensure_future(runner(Echo(), store, concurrency=1).run(STAGE, on_progress=stop))
    with pytest.raises(asyncio.CancelledError):
        await task
    count = len(store.rollouts)
    await asyncio.sleep(0.01)
    assert len(store.rollouts) == count


async def test_progress_counts_up() -> None:
    seen: list[int] = []

    def told(progress: StageProgress) -> None:
        seen.append(progress.done)

    await runner(Echo(), Store(), concurrency=2).run(Stage(name="t", problems=PROBLEMS[:5], model="echo"), on_progress=told)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_repeated_problems_are_dropped() -> None:
    assert unique([*PROBLEMS, *PROBLEMS]) == PROBLEMS


async def test_a_stage_in_which_everything_broke_is_an_error_and_is_begun_again() -> None:
    store = Store()
    with pytest.raises(SandboxError, match=r"the rollout broke and nothing is kept: .*; the last: SandboxError: gone"):
        await runner(Echo(breaks=("3?",)), store).run(Stage(name="s", problems=(PROBLEMS[3],), model="m"))
    assert store.rollouts == []
    progress = await runner(Echo(), store).run(Stage(name="s", problems=(PROBLEMS[3],), model="m"))
    assert (progress.done, progress.resumed) == (1, 0)
