"""From a path to a model request, by what the back end declares: token ids, text, a prefilled turn, or whole turns."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tirage.core.errors import CapabilityError
from tirage.core.message import Message, ToolCall
from tirage.core.seeds import derive_seed
from tirage.core.step import Source, Span, Step, join_ids
from tirage.models.allowance import complete, share_of
from tirage.models.base import Completion, Model, Request, Sampling

_PARTS = 64
"""How often one completion is taken up again at most, for servers that do not tell what they sampled."""


class ContinuationMode(StrEnum):
    """How a path is continued."""

    TOKENS = "tokens"
    """Raw continuation of token ids: nothing is re-tokenised."""
    TEXT = "text"
    """Raw continuation of text; ids are not known."""
    PREFILL = "prefill"
    """A chat request whose last, open assistant message is the response so far."""
    TURNS = "turns"
    """A chat request in which observations and hints are turns of their own: the fallback everything supports."""
    NATIVE = "native"
    """A chat request with tool schemas, tool calls and tool messages."""


CONTINUING = frozenset({ContinuationMode.TOKENS, ContinuationMode.TEXT, ContinuationMode.PREFILL})
"""Modes in which a turn that was stopped can go on."""


def choose_mode(model: Model, *, uses_schemas: bool) -> ContinuationMode:
    """The most faithful way `model` declares. Raises `CapabilityError` when it cannot take tool schemas but must."""
    able = model.capabilities
    if uses_schemas:
        if not able.native_tools:
            raise CapabilityError(
                f"{model.name} does not declare native tool calls; use the fenced-python dialect, or a back end that "
                "parses tool calls (vllm/NAME with --enable-auto-tool-choice, openai/NAME, litellm/...)"
            )
        return ContinuationMode.NATIVE
    if able.raw_continuation and model.renderer is not None and able.token_ids:
        return ContinuationMode.TOKENS
    if able.raw_continuation:
        return ContinuationMode.TEXT
    return ContinuationMode.PREFILL if able.prefill else ContinuationMode.TURNS


def holds_schemas(model: Model, mode: ContinuationMode) -> bool:
    """Whether `model` declares that it holds replies to a schema when it is asked in this way."""
    able = model.capabilities
    return able.structured_raw if mode in (ContinuationMode.TOKENS, ContinuationMode.TEXT) else able.structured


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """What a policy continues: the prompt and the steps so far."""

    messages: tuple[Message, ...]
    prompt: tuple[Span, ...]
    steps: tuple[Step, ...]

    @property
    def response(self) -> str:
        """Everything after the prompt."""
        return "".join(step.text for step in self.steps)


def since_opening(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps of a path's last conversation: from the last one with an opening of its own, all of them where none has one."""
    first = next((place for place in range(len(steps) - 1, -1, -1) if steps[place].opening is not None), 0)
    return steps[first:]


def render_prompt(model: Model, mode: ContinuationMode, messages: tuple[Message, ...]) -> tuple[Span, ...]:
    """The prompt as spans; with ids where the model's tokenizer is at hand."""
    if model.renderer is not None and mode in (ContinuationMode.TOKENS, ContinuationMode.TEXT):
        return model.renderer.render(messages)
    return (Span(Source.PROMPT, "\n\n".join(message.content for message in messages)),)


def build_request(
    mode: ContinuationMode,
    path: Path,
    opening: Sequence[Span],
    sampling: Sampling,
    tools: tuple[dict[str, object], ...],
    tag: str,
    schema: Mapping[str, Any] | None = None,
) -> Request:
    """The request that continues `path` after `opening` (spans injected now, e.g. a hint).

    `tag`: who asks; `schema`: what a whole turn without tool schemas has to follow. A turn that has begun goes without.
    """
    if mode is ContinuationMode.NATIVE:
        return Request(messages=path.messages + _native_turns(path, opening), sampling=sampling, tools=tools, tag=tag)
    if mode is ContinuationMode.TURNS:
        return Request(messages=path.messages + _text_turns(path, opening), sampling=sampling, schema=schema, tag=tag)
    tail = path.response + "".join(span.text for span in opening)
    if mode is ContinuationMode.PREFILL:
        if not tail:
            return Request(messages=path.messages, sampling=sampling, schema=schema, tag=tag)
        partial = Message(role="assistant", content=tail)
        return Request(messages=(*path.messages, partial), continue_final=True, sampling=sampling, tag=tag)
    spans = [*path.prompt, *(span for step in path.steps for span in step.spans), *opening]
    ids = join_ids(spans) if mode is ContinuationMode.TOKENS else None
    held = None if tail else schema
    if ids is not None:
        return Request(ids=ids, sampling=sampling, schema=held, tag=tag)
    return Request(text="".join(span.text for span in spans), sampling=sampling, schema=held, tag=tag)


async def write(model: Model, request: Request, goes_on: Callable[[Completion], bool]) -> Completion:
    """One completion, taken up again while `goes_on` says so of what was written so far; its parts are one completion.

    For requests that continue a turn. What is taken up has a seed of its own, and `max_tokens` holds for all parts together.
    """
    (whole,) = await complete(model, request)
    part = 0
    while part < _PARTS and (left := request.sampling.max_tokens - whole.usage.tokens_out) > 0 and goes_on(whole):
        part += 1
        seed = None if request.sampling.seed is None else derive_seed(request.sampling.seed, "part", part)
        (more,) = await complete(model, _behind(request, whole, replace(request.sampling, seed=seed, max_tokens=left)))
        whole = _joined(whole, more)
    return whole


def _behind(request: Request, whole: Completion, sampling: Sampling) -> Request:
    """The request that goes on behind what was written."""
    if request.ids is not None and whole.ids is not None:
        return replace(request, ids=request.ids + whole.ids, sampling=sampling)
    if request.text is not None:
        return replace(request, text=request.text + whole.text, sampling=sampling)
    messages = request.messages or ()
    begun = messages[-1].content if request.continue_final else ""
    turn = Message(role="assistant", content=begun + whole.text)
    return replace(
        request, messages=(*(messages[:-1] if request.continue_final else messages), turn), continue_final=True, sampling=sampling
    )


def _joined(first: Completion, then: Completion) -> Completion:
    known = first.ids is not None and then.ids is not None
    scored = known and first.logprobs is not None and then.logprobs is not None
    return replace(
        then,
        text=first.text + then.text,
        ids=(first.ids or ()) + (then.ids or ()) if known else None,
        logprobs=(first.logprobs or ()) + (then.logprobs or ()) if scored else None,
        prompt_ids=first.prompt_ids,
        usage=first.usage + then.usage,
    )


async def draw(model: Model, request: Request, count: int) -> list[Completion]:
    """Up to `count` completions of one request, fewer where fewer tokens are left of an allowance.

    In one call where the back end can, else side by side with seeds derived from its own.
    """
    sampling = request.sampling
    if count == 1 or model.capabilities.n:
        return list(await complete(model, replace(request, sampling=replace(sampling, n=count))))
    sampling = share_of(sampling, count)
    seeds = [None if sampling.seed is None else derive_seed(sampling.seed, "draw", number) for number in range(count)]
    requests = [replace(request, sampling=replace(sampling, seed=seed)) for seed in seeds]
    return [completion for found in await asyncio.gather(*(complete(model, single) for single in requests)) for completion in found]


async def ask(model: Model, text: str, sampling: Sampling, *, tag: str, begun: str = "") -> Completion:
    """One answer to a question that stands by itself, going on from `begun`; `tag` says who asks."""
    mode = choose_mode(model, uses_schemas=False)
    if begun and mode is ContinuationMode.TURNS:
        text, begun = f"{text}\n\nThe solution begins like this; go on from there:\n{begun}", ""
    messages = (Message(role="user", content=text),)
    ids = model.renderer.encode(begun) if mode is ContinuationMode.TOKENS and model.renderer is not None else None
    opening = (Span(Source.FORCED, begun, ids),) if begun else ()
    path = Path(messages=messages, prompt=render_prompt(model, mode, messages), steps=())
    (completion,) = await complete(model, build_request(mode, path, opening, sampling, (), tag))
    return completion


def _text_turns(path: Path, opening: Sequence[Span]) -> tuple[Message, ...]:
    """Policy text as assistant turns, everything injected as user turns; neighbours of one role are merged."""
    turns: list[tuple[str, str]] = []
    for span in [*(span for step in path.steps for span in step.spans), *opening]:
        role = "assistant" if span.source is Source.POLICY else "user"
        if turns and turns[-1][0] == role:
            turns[-1] = (role, turns[-1][1] + span.text)
        else:
            turns.append((role, span.text))
    return tuple(Message(role="assistant" if role == "assistant" else "user", content=text) for role, text in turns)


def _native_turns(path: Path, opening: Sequence[Span]) -> tuple[Message, ...]:
    messages: list[Message] = []
    for number, step in enumerate(path.steps):
        if step.hint is not None:
            messages.append(Message(role="user", content="".join(span.text for span in step.spans if span.source is Source.HINT)))
        calls = tuple(
            call if call.id else ToolCall(name=call.name, arguments=call.arguments, id=f"call_{number}_{place}")
            for place, call in enumerate(step.calls)
        )
        messages.append(Message(role="assistant", content=step.policy_text, tool_calls=calls))
        for call, observation in zip(calls, step.observations, strict=True):
            messages.append(Message(role="tool", content=observation.text, tool_call_id=call.id))
        forced = "".join(span.text for span in step.spans if span.source is Source.FORCED)
        if forced:
            messages.append(Message(role="user", content=forced))
    if opening:
        messages.append(Message(role="user", content="".join(span.text for span in opening)))
    return tuple(messages)
