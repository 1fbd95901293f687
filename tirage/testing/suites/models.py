"""What every model promises.

require(await check_model(MyModel()))
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tirage.core.message import Message
from tirage.models.base import Capabilities, Completion, Model, Request, Sampling
from tirage.testing.suites.findings import Finding, Skipped, demand, try_each

PROMPT = "What is 6 times 7? Answer in a few words."
FINISHES = ("stop", "stop_string", "length", "tool_calls", "abort")


async def check_model(model: Model) -> list[Finding]:
    """Check an open model, with some ten short requests; the last promise closes it."""
    return await try_each("model", model, PROMISES)


def request_for(model: Model, **sampling: Any) -> Request:
    """A request in a form that the model declares: ids, else text, else messages."""
    able, given = model.capabilities, Sampling(**{"max_tokens": 24, **sampling})
    messages = (Message(role="user", content=PROMPT),)
    if able.token_ids and model.renderer is not None:
        spans = model.renderer.render(messages)
        return Request(ids=tuple(token for span in spans for token in span.ids or ()), sampling=given)
    return Request(text=PROMPT, sampling=given) if able.raw_continuation else Request(messages=messages, sampling=given)


async def _one(model: Model, **sampling: Any) -> Completion:
    completions = await model.complete(request_for(model, **sampling))
    demand(isinstance(completions, tuple) and len(completions) == 1, f"asked for one completion it gave {completions!r:.80}")
    return completions[0]


async def _port(model: Model) -> None:
    demand(isinstance(model.name, str) and model.name.strip(), f"its name is {model.name!r}; name it")
    able = model.capabilities
    demand(isinstance(able, Capabilities), f"its capabilities are a {type(able).__name__}")
    demand(not able.token_ids or model.renderer is not None, "it takes token ids and has no renderer to make any")


async def _completes(model: Model) -> None:
    found = await _one(model)
    demand(isinstance(found, Completion), f"it gave a {type(found).__name__}")
    demand(isinstance(found.text, str), f"the text is a {type(found.text).__name__}")
    demand(found.finish in FINISHES, f"it finished by {found.finish!r}; one of {', '.join(FINISHES)}")
    demand(found.usage.model_calls == 1, f"one call was counted as {found.usage.model_calls}; set usage.model_calls")
    demand(found.usage.tokens_out > 0 or not found.text, "text was written and usage.tokens_out is 0: budgets could not hold")


async def _limit(model: Model) -> None:
    for limit in (1, 4):
        found = await _one(model, max_tokens=limit)
        demand(found.usage.tokens_out <= limit, f"max_tokens={limit} gave {found.usage.tokens_out} tokens")
        demand(found.ids is None or len(found.ids) <= limit, f"max_tokens={limit} gave {len(found.ids or ())} ids")


async def _stops(model: Model) -> None:
    whole = (await _one(model)).text
    if len(whole.strip()) < 2:
        raise Skipped("it wrote too little to be stopped")
    stop = whole.strip()[1:3]
    found = await _one(model, stop=(stop,))
    if found.finish == "stop_string":
        demand(found.stop_string == stop, f"stopped at {stop!r} it says {found.stop_string!r}")
        demand(stop in found.text, f"the text {found.text!r} lacks the stop string {stop!r} that fired; it belongs to the text")
    else:
        demand(stop not in found.text, f"{stop!r} is a stop string, stands in {found.text!r}, and did not stop it")


async def _ids(model: Model) -> None:
    if not model.capabilities.token_ids or model.renderer is None:
        raise Skipped("it gives no token ids")
    found = await _one(model)
    demand(found.ids, "it declares token_ids and gave none")
    said = model.renderer.decode(found.ids or ())
    demand(said == found.text, f"its ids decode to {said!r}, its text is {found.text!r}")
    ended = bool(found.ids) and (found.ids or ())[-1] in model.renderer.eos_ids
    demand(found.finish != "stop" or ended, "it finished by `stop`, and the last id does not end a turn")


async def _logprobs(model: Model) -> None:
    if not model.capabilities.logprobs:
        raise Skipped("it gives no log-probabilities")
    found = await _one(model, logprobs=True)
    demand(found.logprobs is not None, "it declares logprobs and gave none")
    demand(len(found.logprobs or ()) == len(found.ids or ()), f"{len(found.logprobs or ())} for {len(found.ids or ())} ids")
    demand(all(score <= 1e-4 for score in found.logprobs or ()), "a log-probability is above 0")


async def _several(model: Model) -> None:
    if not model.capabilities.n:
        raise Skipped("it draws one completion per request")
    found = await model.complete(request_for(model, n=3, temperature=1.0))
    demand(len(found) == 3, f"n=3 gave {len(found)} completions")
    demand(not any(item.usage.tokens_in for item in found[1:]), "the prompt of one request is charged more than once")


async def _seeds(model: Model) -> None:
    if not model.capabilities.seed:
        raise Skipped("it takes no seed")
    first, second = [(await _one(model, temperature=1.0, seed=5)).text for _ in range(2)]
    demand(first == second, f"one seed gave {first!r} and {second!r}")


async def _together(model: Model) -> None:
    request = request_for(model)
    alone = (await model.complete(request))[0].text
    found = await asyncio.gather(*(model.complete(replace(request)) for _ in range(4)))
    demand(all(len(item) == 1 for item in found), "of four requests at once one was not answered")
    if model.capabilities.seed:
        demand(all(item[0].text == alone for item in found), "greedy requests at once were answered differently from one alone")


async def _closes(model: Model) -> None:
    await model.close()
    await model.close()


PROMISES: dict[str, Callable[[Model], Any]] = {
    "it has a name and says what it can do": _port,
    "it completes, and counts what that took": _completes,
    "max_tokens holds": _limit,
    "a stop string ends the text and stands in it": _stops,
    "its ids decode to its text": _ids,
    "each id has its log-probability": _logprobs,
    "n completions are n, the prompt charged once": _several,
    "one seed, one completion": _seeds,
    "requests may be made at once": _together,
    "closing twice does no harm": _closes,
}
