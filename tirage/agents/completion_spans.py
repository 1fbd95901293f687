"""What is kept of a completion: all of it, or up to a place, in whole tokens.

`renderer` reads the ids of a completion; None keeps text alone.
"""

from dataclasses import replace

from tirage.core.step import Source, Span
from tirage.models.base import Completion, Renderer


def whole(completion: Completion, renderer: Renderer | None) -> Span:
    """All that was written, with the token that ended the turn."""
    if renderer is None or completion.ids is None:
        return Span(Source.POLICY, completion.text)
    return Span(Source.POLICY, completion.text, completion.ids, completion.logprobs)


def kept(completion: Completion, end: int, renderer: Renderer | None, *, after: bool) -> Span:
    """The completion up to character `end`, widened (`after`) or narrowed to a token boundary; a token that ends the turn is dropped."""
    if completion.ids is None or renderer is None:
        return Span(Source.POLICY, completion.text[:end])
    ends = renderer.token_ends(completion.ids)
    if after:
        count = next(number for number, place in enumerate(ends, start=1) if place >= end)
    else:
        count = sum(place <= end for place in ends)
    while count and completion.ids[count - 1] in renderer.eos_ids:
        count -= 1
    ids = completion.ids[:count]
    logprobs = completion.logprobs[:count] if completion.logprobs is not None else None
    return Span(Source.POLICY, renderer.decode(ids), ids, logprobs)


def up_to(completion: Completion, end: int, renderer: Renderer | None) -> Span:
    """The completion up to character `end` and the end of that line, without a token that ended the turn."""
    text = completion.text
    end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    end += next((len(mark) for mark in ("\r\n", "\n") if text.startswith(mark, end)), 0)
    if end < len(text.rstrip()):
        return kept(completion, end, renderer, after=True)
    return kept(completion, len(text), renderer, after=False) if completion.finish == "stop" else whole(completion, renderer)


def without_eos(span: Span, renderer: Renderer | None) -> Span:
    """A span without the token that ended the turn: the path goes on."""
    if renderer is None or not span.ids or span.ids[-1] not in renderer.eos_ids:
        return span
    return replace(span, ids=span.ids[:-1], logprobs=span.logprobs[:-1] if span.logprobs is not None else None)
