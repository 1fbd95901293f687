"""RateLimit: stay below what a provider allows, instead of running into its refusals."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from tirage.models.base import Completion, Model, Request
from tirage.models.wrap.around import Around

_LIKELY = 4096
"""Tokens that a completion is expected to have at most, whatever it may have."""
_CHARACTERS_PER_TOKEN = 4
"""For prompts that are text; settled with the real count afterwards."""


class _Bucket:
    """A token bucket: holds at most a minute's worth and refills steadily. Takers are served in order of arrival."""

    def __init__(self, per_minute: float, clock: Callable[[], float], sleep: Callable[[float], Awaitable[object]]) -> None:
        self._size = per_minute
        self._level = per_minute
        self._clock = clock
        self._sleep = sleep
        self._filled = clock()
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until `amount` (or a full bucket, if that is less) is there, and take it."""
        needed = min(amount, self._size)
        async with self._turn:
            while (missing := needed - self._refill()) > 1e-9:
                await self._sleep(missing * 60.0 / self._size)
            self._level -= amount

    def settle(self, reserved: float, used: float) -> None:
        """Correct a reservation by what was really used; the level may become negative, so that later takers wait."""
        self._level = min(self._size, self._refill() + reserved - used)

    def _refill(self) -> float:
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._filled) * self._size / 60.0)
        self._filled = now
        return self._level


class RateLimit(Around):
    """Holds calls back so that requests per minute, tokens per minute and calls in flight stay below given limits."""

    def __init__(
        self,
        model: Model,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        concurrency: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """None switches a limit off. A call reserves its prompt plus n times `max_tokens`, or 4,096, and settles what it used."""
        super().__init__(model)
        for name, value in (
            ("requests_per_minute", requests_per_minute),
            ("tokens_per_minute", tokens_per_minute),
            ("concurrency", concurrency),
        ):
            if value is not None and value <= 0:
                raise ValueError(f"{name}={value} must be positive; use None for no limit")
        self._requests = _Bucket(requests_per_minute, clock, sleep) if requests_per_minute is not None else None
        self._tokens = _Bucket(tokens_per_minute, clock, sleep) if tokens_per_minute is not None else None
        self._room = asyncio.Semaphore(concurrency) if concurrency is not None else nullcontext()

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Complete when it is this call's turn. Raises what the wrapped model raises."""
        async with self._room:
            if self._requests is not None:
                await self._requests.take(1)
            if self._tokens is None:
                return await self.model.complete(request)
            reserved = _estimate(request)
            await self._tokens.take(reserved)
            used = 0
            try:
                completions = await self.model.complete(request)
                used = sum(one.usage.tokens_in + one.usage.tokens_out for one in completions)
                return completions
            finally:
                # A failed call counts as unused: providers do not charge for it.
                self._tokens.settle(reserved, used)


def _estimate(request: Request) -> int:
    if request.ids is not None:
        prompt = len(request.ids)
    elif request.text is not None:
        prompt = len(request.text) // _CHARACTERS_PER_TOKEN
    else:
        prompt = sum(len(message.content) for message in request.messages or ()) // _CHARACTERS_PER_TOKEN
    return prompt + request.sampling.n * min(request.sampling.max_tokens, _LIKELY)
