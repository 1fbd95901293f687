"""Model doubles: `ScriptedModel` says what it is told to say, `ReplayModel` what a real model said before.

Both speak token ids through `ByteRenderer` (one id per UTF-8 byte), so that token spans, stop strings that end inside
a token-sized unit, and limits are exercised without weights.
"""

import codecs
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tirage.core.errors import ModelRequestError
from tirage.core.message import Message, ToolCall
from tirage.core.step import Source, Span, Usage
from tirage.models.base import Capabilities, Completion, Request, Sampling

END = 256
"""Id of the end-of-turn token of `ByteRenderer`."""


class ByteRenderer:
    """One id per UTF-8 byte, and `END`. Chat turns are written `<|role|>`, newline, content, newline."""

    eos_ids: frozenset[int] = frozenset({END})
    hash = "byte-level-1"

    def __init__(self, *, thinks: bool = False) -> None:
        """`thinks`: declare `<think>` and `</think>` as markers."""
        self.think_markers: tuple[str, str] | None = ("<think>", "</think>") if thinks else None

    def render(self, messages: tuple[Message, ...]) -> tuple[Span, ...]:
        """Messages plus the generation prompt; a final assistant message stays open."""
        turns = [f"<|{message.role}|>\n{message.content}\n" for message in messages]
        if messages and messages[-1].role == "assistant":
            turns[-1] = turns[-1][:-1]
        else:
            turns.append("<|assistant|>\n")
        text = "".join(turns)
        return (Span(Source.PROMPT, text, self.encode(text)),)

    def encode(self, text: str) -> tuple[int, ...]:
        """The UTF-8 bytes."""
        return tuple(text.encode())

    def decode(self, ids: tuple[int, ...]) -> str:
        """The text; `END` is dropped, broken UTF-8 becomes U+FFFD."""
        return bytes(token for token in ids if token < END).decode("utf-8", "replace")

    def token_ends(self, ids: tuple[int, ...]) -> list[int]:
        """A character ends with its last byte; what is broken at the very end ends with the last id."""
        decoder, place, ends = codecs.getincrementaldecoder("utf-8")("replace"), 0, []
        for token in ids:
            place += len(decoder.decode(bytes([token]))) if token < END else 0
            ends.append(place)
        if ends:
            ends[-1] += len(decoder.decode(b"", final=True))
        return ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One scripted completion."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    cut: bool = False
    """True: the model stops here as if its token limit had been reached."""


Said = str | Reply | Exception
"""What a script gives: a text that ends its turn, a reply in full, or an error to raise."""
Script = Sequence[Said] | Callable[[Request], Said] | Mapping[str, Said | Sequence[Said]]


class ScriptError(AssertionError):
    """The code under test called a scripted model in a way its script does not foresee."""


class ScriptedModel:
    """A model that says what a script tells it to.

    A script is a queue (each completion takes the next entry), a function of the request, or a mapping from a regular
    expression, searched in the prompt's text, to an entry (said every time) or a list (a queue). `tags` routes requests
    by `Request.tag` to scripts of their own. A reply is cut at the first stop string and at `max_tokens`; what a script
    says behind a stop string is never said.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        tags: Mapping[str, Script] | None = None,
        mode: Literal["ids", "text", "chat"] = "ids",
        thinks: bool = False,
        name: str = "scripted",
    ) -> None:
        """`mode`: `ids` takes and gives token ids, `text` continues text, `chat` takes whole turns, tools and reply schemas."""
        self.name = name
        self.renderer = ByteRenderer(thinks=thinks) if mode == "ids" else None
        raw = mode != "chat"
        self.capabilities = Capabilities(
            raw_continuation=raw,
            prefill=raw,
            token_ids=mode == "ids",
            logprobs=mode == "ids",
            native_tools=mode == "chat",
            structured=mode == "chat",
            seed=True,
            n=True,
        )
        self.requests: list[Request] = []
        """Every request, in order of arrival."""
        self.closed = False
        self._default = _Source("", script)
        self._tags = {tag: _Source(tag, entry) for tag, entry in (tags or {}).items()}
        self._unexpected: list[str] = []

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """The script's next words. Raises `ScriptError` when it has none for this request."""
        self.requests.append(request)
        self._check_capabilities(request)
        source = self._tags.get(request.tag, self._default)
        completions = []
        for draw in range(request.sampling.n):
            try:
                said = source.next(request, self._prompt(request))
            except ScriptError as error:
                self._unexpected.append(str(error))
                raise
            if isinstance(said, Exception):
                raise said
            completions.append(self._completion(request, Reply(text=said) if isinstance(said, str) else said, first=draw == 0))
        return tuple(completions)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def assert_done(self) -> None:
        """Raise `ScriptError` when entries of a queue were not said, or a call was not foreseen."""
        left = [note for source in (self._default, *self._tags.values()) for note in source.left()]
        if left or self._unexpected:
            raise ScriptError("; ".join([*self._unexpected, *left]))

    def _check_capabilities(self, request: Request) -> None:
        if request.messages is None and not self.capabilities.raw_continuation:
            raise ModelRequestError(f"{self.name} is a chat-only double; it takes no token-id or text prompt")
        if request.ids is not None and self.renderer is None:
            raise ModelRequestError(f"{self.name} takes no token ids; script it with mode='ids'")
        if request.tools and not self.capabilities.native_tools:
            raise ModelRequestError(f"{self.name} takes no tool schemas; script it with mode='chat'")
        able = self.capabilities.structured if request.messages is not None else self.capabilities.structured_raw
        if request.schema is not None and not able:
            raise ModelRequestError(f"{self.name} holds no reply to a schema; script it with mode='chat'")

    def _prompt(self, request: Request) -> str:
        if request.ids is not None:
            return ByteRenderer().decode(request.ids)
        return request.text if request.text is not None else ByteRenderer().render(request.messages or ())[0].text

    def _completion(self, request: Request, reply: Reply, *, first: bool) -> Completion:
        prompt = request.ids if request.ids is not None else tuple(self._prompt(request).encode())
        return write(reply, request.sampling, prompt, with_ids=self.renderer is not None, first=first)


def write(reply: Reply, sampling: Sampling, prompt: tuple[int, ...], *, with_ids: bool, first: bool) -> Completion:
    """A reply as a model would have sampled it, byte by byte: cut at a stop string, at the limit, or ended.

    Log-probabilities are made up: -1/8 for every id.
    """
    found = [(place + len(stop), stop) for stop in sampling.stop if stop and (place := reply.text.find(stop)) >= 0]
    end, stop_string = min(found, default=(len(reply.text), None))
    data = reply.text[:end].encode()
    finish: Literal["stop", "stop_string", "length", "tool_calls", "abort"] = "stop_string" if stop_string is not None else "stop"
    if reply.cut and stop_string is None:
        finish = "length"
    if len(data) + (finish == "stop") > sampling.max_tokens:
        data, finish, stop_string = data[: sampling.max_tokens], "length", None
    ids = (*data, END) if finish == "stop" else tuple(data)
    if reply.tool_calls:
        finish = "tool_calls"
    usage = Usage(tokens_in=len(prompt) if first else 0, tokens_out=len(ids), model_calls=1 if first else 0)
    return Completion(
        text=data.decode("utf-8", "replace"),
        finish=finish,
        stop_string=stop_string,
        ids=ids if with_ids else None,
        logprobs=(-0.125,) * len(ids) if with_ids and sampling.logprobs else None,
        prompt_ids=prompt if with_ids else None,
        tool_calls=reply.tool_calls,
        usage=usage,
    )


@dataclass(slots=True)
class _Source:
    """A script and what is left of it."""

    tag: str
    script: Script
    queues: dict[str, deque[Said]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.script, str):
            raise TypeError(f"a script is a list, a function or a mapping, not one text; write [{self.script!r:.40}]")
        if isinstance(self.script, Mapping):
            self.queues = {pattern: deque(said) for pattern, said in self.script.items() if not isinstance(said, (str, Reply, Exception))}
        elif not callable(self.script):
            self.queues = {"": deque(self.script)}

    def next(self, request: Request, prompt: str) -> Said:
        if isinstance(self.script, Mapping):
            for pattern, said in self.script.items():
                if re.search(pattern, prompt):
                    if isinstance(said, (str, Reply, Exception)):
                        return said
                    return self._take(pattern, request, prompt)
            raise ScriptError(f"{self._who(request)}: no pattern of the script matches the prompt ...{prompt[-120:]!r}")
        return self.script(request) if callable(self.script) else self._take("", request, prompt)

    def left(self) -> Iterable[str]:
        """One note per queue that was not emptied."""
        return [
            f"script{f' for tag {self.tag!r}' if self.tag else ''}{f' at {pattern!r}' if pattern else ''}: "
            f"{len(queue)} entries were never said, first {queue[0]!r:.60}"
            for pattern, queue in self.queues.items()
            if queue
        ]

    def _take(self, pattern: str, request: Request, prompt: str) -> Said:
        queue = self.queues[pattern]
        if not queue:
            where = f" at {pattern!r}" if pattern else ""
            raise ScriptError(f"{self._who(request)}: the script{where} has nothing left to say to ...{prompt[-120:]!r}")
        return queue.popleft()

    def _who(self, request: Request) -> str:
        return f"unexpected call{f' tagged {request.tag!r}' if request.tag else ''}"
