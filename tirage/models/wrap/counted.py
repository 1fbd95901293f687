"""Counted: what was spent, in all and by who asked."""

from collections import Counter
from dataclasses import replace

from tirage.core.errors import ModelError
from tirage.core.step import Usage
from tirage.models.base import Completion, Model, Request
from tirage.models.wrap.around import Around


class Counted(Around):
    """Adds up the usage of all calls. With prices, it also puts the cost into each completion's usage, where budgets see it."""

    def __init__(self, model: Model, *, usd_per_million_in: float = 0.0, usd_per_million_out: float = 0.0) -> None:
        """Prices in US dollars per million prompt and sampled tokens; a cost that the model itself reports is kept."""
        super().__init__(model)
        self.total = Usage()
        self.by_tag: dict[str, Usage] = {}
        """Usage by `Request.tag`."""
        self.failures: Counter[str] = Counter()
        """Calls that raised, by error class."""
        self._price_in = usd_per_million_in / 1e6
        self._price_out = usd_per_million_out / 1e6

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Complete and count. Raises what the wrapped model raises, after counting it."""
        try:
            completions = await self.model.complete(request)
        except ModelError as error:
            self.failures[type(error).__name__] += 1
            raise
        if self._price_in or self._price_out:
            completions = tuple(self._priced(one) for one in completions)
        spent = sum((one.usage for one in completions), Usage())
        self.total = self.total + spent
        self.by_tag[request.tag] = self.by_tag.get(request.tag, Usage()) + spent
        return completions

    def _priced(self, completion: Completion) -> Completion:
        usage = completion.usage
        if usage.cost_usd:
            return completion
        cost = usage.tokens_in * self._price_in + usage.tokens_out * self._price_out
        return replace(completion, usage=replace(usage, cost_usd=cost))
