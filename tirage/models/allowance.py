"""What the work at hand may still sample: every model call made for it is cut to that, however deep inside it is made.

Whoever starts a piece of work (a trial of a search, a turn of a role) sets its allowance with `spending`; whoever asks a model does so
by `complete`. The allowance goes with the running task and the tasks that it starts, like a deadline.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from tirage.core.budget import Budget, Meter
from tirage.core.usage import Usage
from tirage.models.base import Completion, Model, Request, Sampling

_PURSE: ContextVar[Meter | None] = ContextVar("tirage_allowance", default=None)


@contextmanager
def spending(tokens: int | None) -> Iterator[None]:
    """Within this, at most `tokens` are sampled, and no more than is left of the allowance outside; None sets no limit of its own."""
    if tokens is None:
        yield
        return
    token = _PURSE.set(Meter(Budget(tokens_out=max(0, tokens)), above=_PURSE.get()))
    try:
        yield
    finally:
        _PURSE.reset(token)


def allowed() -> int | None:
    """Tokens that may still be sampled here, what is in flight taken off; None without a limit."""
    purse = _PURSE.get()
    left = purse.left("tokens_out") if purse is not None else None
    return None if left is None else max(0, int(left))


def share_of(sampling: Sampling, count: int) -> Sampling:
    """The sampling of each of `count` completions that are asked for side by side, so that none of them takes what the others need."""
    left = allowed()
    return sampling if left is None else replace(sampling, max_tokens=max(1, min(sampling.max_tokens, left // max(1, count))))


async def complete(model: Model, request: Request) -> tuple[Completion, ...]:
    """What `model` makes of a request, cut to what may still be sampled: fewer tokens, then fewer completions; yet one token at least.

    Raises the `ModelError` family.
    """
    purse, left = _PURSE.get(), allowed()
    if purse is None or left is None:
        return await model.complete(request)
    count = max(1, min(request.sampling.n, left))
    most = max(1, min(request.sampling.max_tokens, left // count))
    if (count, most) != (request.sampling.n, request.sampling.max_tokens):
        request = replace(request, sampling=replace(request.sampling, n=count, max_tokens=most))
    reserved, spent = Usage(tokens_out=count * most), Usage()
    purse.reserve(reserved)
    try:
        completions = await model.complete(request)
        spent = Usage(tokens_out=sum(completion.usage.tokens_out for completion in completions))
    finally:
        purse.settle(reserved, spent)
    return completions
