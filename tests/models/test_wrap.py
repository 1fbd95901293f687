import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tirage.core.errors import DataError, ModelAuthError, ModelRateLimited, ModelUnavailable
from tirage.core.message import Message
from tirage.core.step import Usage
from tirage.models.base import Completion, Model, Request, Sampling
from tirage.models.request_key import request_key
from tirage.models.wrap import Cached, Counted, RateLimit, Retry
from tirage.testing.models import ScriptedModel

SEEDED = Sampling(temperature=1.0, seed=1)
ASK = Request(text="Hi", sampling=SEEDED)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def retrying(script: list[str | Exception], clock: Clock, **options: float) -> Retry:
    return Retry(ScriptedModel(script), clock=clock, sleep=clock.sleep, **options)  # type: ignore[arg-type]


async def test_retry_waits_longer_each_time_and_gives_the_answer() -> None:
    clock = Clock()
    model = retrying([ModelUnavailable("a"), ModelUnavailable("b"), ModelUnavailable("c"), "done"], clock)
    (completion,) = await model.complete(ASK)
    assert completion.text == "done"
    assert model.retries == 3
    for wait, whole in zip(clock.slept, (0.5, 1.0, 2.0), strict=True):
        assert whole / 2 <= wait < whole


async def test_retry_jitter_depends_on_request_and_seed_only() -> None:
    async def waits(request: Request, seed: int) -> list[float]:
        clock = Clock()
        await retrying([ModelUnavailable("a"), ModelUnavailable("b"), "x"], clock, seed=seed).complete(request)
        return clock.slept

    other = Request(text="Ho", sampling=SEEDED)
    assert await waits(ASK, 1) == await waits(ASK, 1)
    assert await waits(ASK, 1) != await waits(ASK, 2)
    assert await waits(ASK, 1) != await waits(other, 1)


async def test_retry_respects_the_servers_wish() -> None:
    clock = Clock()
    await retrying([ModelRateLimited("slow", retry_after_s=17.0), "x"], clock).complete(ASK)
    assert clock.slept == [17.0]


async def test_retry_gives_up_by_count_and_by_time() -> None:
    clock = Clock()
    with pytest.raises(ModelUnavailable, match="second"):
        await retrying([ModelUnavailable("first"), ModelUnavailable("second")], clock, max_attempts=2).complete(ASK)
    with pytest.raises(ModelRateLimited, match="for ever"):
        await retrying([ModelRateLimited("for ever", retry_after_s=1e6)], clock).complete(ASK)
    assert len(clock.slept) == 1


async def test_retry_does_not_repeat_what_cannot_work() -> None:
    clock = Clock()
    with pytest.raises(ModelAuthError):
        await retrying([ModelAuthError("no"), "never"], clock).complete(ASK)
    assert clock.slept == []


async def test_requests_per_minute() -> None:
    clock = Clock()
    model = RateLimit(ScriptedModel(lambda _: "x"), requests_per_minute=3, clock=clock, sleep=clock.sleep)
    for _ in range(5):
        await model.complete(ASK)
    # The first three are free, then one every 20 seconds.
    assert clock.now == pytest.approx(40.0)


async def test_tokens_per_minute_settle_with_what_was_used() -> None:
    clock = Clock()
    model = RateLimit(ScriptedModel(lambda _: "x" * 9), tokens_per_minute=100, clock=clock, sleep=clock.sleep)
    request = Request(ids=(1,) * 10, sampling=Sampling(max_tokens=90))  # reserves 100, uses 10 + 10
    await model.complete(request)
    assert clock.now == 0.0
    await model.complete(request)  # 80 are left, so it waits for 20 of 100 per minute
    assert clock.now == pytest.approx(12.0)


async def test_a_failed_call_gives_its_reservation_back() -> None:
    clock = Clock()
    model = RateLimit(ScriptedModel([ModelUnavailable("a"), "x"]), tokens_per_minute=100, clock=clock, sleep=clock.sleep)
    request = Request(ids=(1,) * 10, sampling=Sampling(max_tokens=90))
    with pytest.raises(ModelUnavailable):
        await model.complete(request)
    await model.complete(request)
    assert clock.now == 0.0


async def test_a_request_larger_than_the_limit_still_runs() -> None:
    clock = Clock()
    model = RateLimit(ScriptedModel(lambda _: "x"), tokens_per_minute=50, clock=clock, sleep=clock.sleep)
    await asyncio.wait_for(model.complete(Request(ids=(1,), sampling=Sampling(max_tokens=500))), 5)
    assert clock.now == 0.0


async def test_concurrency_is_bounded() -> None:
    running = peak = 0

    class Slow(ScriptedModel):
        async def complete(self, request: Request) -> tuple[Completion, ...]:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0.005)
            running -= 1
            return await super().complete(request)

    model = RateLimit(Slow(lambda _: "x"), concurrency=3)
    await asyncio.gather(*(model.complete(ASK) for _ in range(10)))
    assert peak == 3


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute", "concurrency"])
def test_limits_must_be_positive(limit: str) -> None:
    with pytest.raises(ValueError, match=limit):
        RateLimit(ScriptedModel(), **{limit: 0})  # type: ignore[arg-type]


async def test_a_kept_answer_is_the_same_and_survives_reopening(tmp_path: Path) -> None:
    request = Request(ids=(72,), sampling=Sampling(temperature=1.0, seed=1, logprobs=True, n=2))
    first = Cached(ScriptedModel(["one", "two"]), tmp_path / "deep" / "cache.sqlite")
    said = await first.complete(request)
    await first.close()
    again = Cached(ScriptedModel([]), tmp_path / "deep" / "cache.sqlite")
    assert await again.complete(request) == said
    assert (again.hits, again.misses) == (1, 0)
    await again.close()


async def test_different_requests_and_models_do_not_share_answers(tmp_path: Path) -> None:
    model = Cached(ScriptedModel(["a", "b", "c"]), tmp_path / "c.sqlite")
    texts = [(await model.complete(Request(text="Hi", sampling=Sampling(temperature=1.0, seed=seed))))[0].text for seed in (1, 2, 1)]
    assert texts == ["a", "b", "a"]
    await model.close()
    other = Cached(ScriptedModel(["z"], name="other"), tmp_path / "c.sqlite")
    assert (await other.complete(ASK))[0].text == "z"
    await other.close()


async def test_unseeded_samples_and_errors_are_not_kept(tmp_path: Path) -> None:
    model = Cached(ScriptedModel(["a", "b", ModelUnavailable("down"), "c"]), tmp_path / "c.sqlite")
    hot = Request(text="Hi", sampling=Sampling(temperature=1.0))
    assert [(await model.complete(hot))[0].text for _ in range(2)] == ["a", "b"]
    with pytest.raises(ModelUnavailable):
        await model.complete(ASK)
    assert (await model.complete(ASK))[0].text == "c"
    await model.close()


async def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are my notes, not a database" * 100)
    with pytest.raises(DataError, match="not a response cache"):
        Cached(ScriptedModel(), tmp_path / "notes.txt")
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("pragma user_version = 99")
    newer.close()
    with pytest.raises(DataError, match="format 99"):
        Cached(ScriptedModel(), tmp_path / "newer.sqlite")


async def test_usage_is_counted_by_tag_and_priced() -> None:
    model = Counted(ScriptedModel(["abc", "d", ModelUnavailable("x")]), usd_per_million_in=1.0, usd_per_million_out=10.0)
    (first,) = await model.complete(Request(ids=(1, 2), sampling=SEEDED, tag="policy"))
    await model.complete(Request(ids=(1, 2, 3), sampling=SEEDED, tag="critic"))
    with pytest.raises(ModelUnavailable):
        await model.complete(ASK)
    assert first.usage.cost_usd == pytest.approx((2 * 1.0 + 4 * 10.0) / 1e6)
    assert model.total.tokens_in == 5
    assert model.total.tokens_out == 4 + 2
    assert model.by_tag["critic"] == Usage(tokens_in=3, tokens_out=2, model_calls=1, cost_usd=pytest.approx(23e-6))  # type: ignore[arg-type]
    assert model.failures == {"ModelUnavailable": 1}


@pytest.mark.parametrize(
    "wrap", [Retry, RateLimit, Counted, lambda model: Cached(model, ":memory:")], ids=["Retry", "RateLimit", "Counted", "Cached"]
)
async def test_a_wrapper_is_a_model(wrap: Callable[[Model], Model]) -> None:
    inner = ScriptedModel(["x"])
    model = wrap(inner)
    assert (model.name, model.capabilities, model.renderer) == (inner.name, inner.capabilities, inner.renderer)
    assert (await model.complete(ASK))[0].text == "x"
    await model.close()
    assert inner.closed


def test_the_key_ignores_the_tag_and_nothing_else() -> None:
    requests = [
        ASK,
        Request(text="Hi", sampling=Sampling(temperature=1.0, seed=2)),
        Request(text="Hi", sampling=Sampling(temperature=0.5, seed=1)),
        Request(ids=(72, 105), sampling=SEEDED),
        Request(messages=(Message(role="user", content="Hi"),), sampling=SEEDED),
        Request(messages=(Message(role="user", content="Hi"),), sampling=SEEDED, continue_final=True),
        Request(messages=(Message(role="user", content="Hi"),), sampling=SEEDED, tools=({"type": "function"},)),
        Request(messages=(Message(role="user", content="Hi"),), sampling=SEEDED, schema={"type": "object"}),
    ]
    assert len({request_key("m", request) for request in requests}) == len(requests)
    assert request_key("m", ASK) == request_key("m", Request(text="Hi", sampling=SEEDED, tag="critic"))
    assert request_key("m", ASK) != request_key("n", ASK)
    assert json.dumps(request_key("m", ASK)).isascii()
