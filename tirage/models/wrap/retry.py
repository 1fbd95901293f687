"""Retry: try again what may work later."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tirage.core.errors import ModelRateLimited, ModelUnavailable
from tirage.core.seeds import derive_seed
from tirage.models.base import Completion, Model, Request
from tirage.models.request_key import request_key
from tirage.models.wrap.around import Around


class Retry(Around):
    """Repeats a call that failed with `ModelUnavailable` (rate limits included), waiting longer each time.

    The wait before attempt k + 1 is min(most_s, first_s * 2 ** (k - 1)) times a factor in [0.5, 1) that depends on the
    request and the seed, so that calls which failed together do not come back together; a longer `retry_after_s` of the
    server wins. Refused requests and bad keys are not repeated: they fail the same way again.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_attempts: int = 6,
        max_seconds: float = 600.0,
        first_s: float = 0.5,
        most_s: float = 30.0,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most `max_attempts` calls in all, and no new one when waiting for it would pass `max_seconds` since the first."""
        super().__init__(model)
        if max_attempts < 1 or first_s < 0 or most_s < first_s:
            raise ValueError(f"need max_attempts >= 1 and 0 <= first_s <= most_s; got {max_attempts}, {first_s}, {most_s}")
        self._max_attempts = max_attempts
        self._max_seconds = max_seconds
        self._first_s = first_s
        self._most_s = most_s
        self._seed = seed
        self._sleep = sleep
        self._clock = clock
        self.retries = 0
        """Calls repeated so far."""

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Complete, repeating as described. Raises the last error when it gives up."""
        started = self._clock()
        attempt = 1
        while True:
            try:
                return await self.model.complete(request)
            except ModelUnavailable as error:
                wait = self._wait(request, attempt, error)
                if attempt >= self._max_attempts or self._clock() - started + wait > self._max_seconds:
                    raise
            attempt += 1
            self.retries += 1
            await self._sleep(wait)

    def _wait(self, request: Request, attempt: int, error: ModelUnavailable) -> float:
        backoff = min(self._most_s, self._first_s * 2.0 ** (attempt - 1))
        jitter = 0.5 + derive_seed(self._seed, request_key(self.name, request), attempt) / 2**64
        asked = error.retry_after_s if isinstance(error, ModelRateLimited) else None
        return max(backoff * jitter, asked or 0.0)
