"""The model port: a request in, completions out. Capabilities are declared, never guessed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tirage.core.message import Message, ToolCall
from tirage.core.step import Span, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a back end can do. An agent asks for a capability by name and gets an error naming one that has it."""

    raw_continuation: bool = False
    """Continues an arbitrary token or text prompt (`Request.ids` or `Request.text`)."""
    prefill: bool = False
    """Continues a final assistant message of a chat request."""
    token_ids: bool = False
    """Takes token-id prompts and returns the ids it sampled."""
    logprobs: bool = False
    native_tools: bool = False
    """Takes tool schemas and returns structured tool calls."""
    structured: bool = False
    """Holds the reply to a chat request to a JSON Schema (`Request.schema`)."""
    structured_raw: bool = False
    """Holds what continues token ids or a text to one."""
    seed: bool = False
    """The same request with the same seed gives the same completion."""
    n: bool = False
    """Several completions of one prompt in one request."""
    top_k: bool = True
    """Takes `Sampling.top_k`."""
    context: int | None = None
    """Tokens of prompt plus completion; None when unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to sample."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 switches it off."""
    max_tokens: int = 512
    """Upper limit on sampled tokens per completion, >= 1."""
    stop: tuple[str, ...] = ()
    """Stop strings; the returned text and ids INCLUDE the stop string that fired (and its whole last token)."""
    n: int = 1
    seed: int | None = None
    logprobs: bool = False
    """Ask for the log-probability of each sampled token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One model call. Exactly one of `ids`, `text`, `messages` is set."""

    sampling: Sampling
    ids: tuple[int, ...] | None = None
    """Token-id prompt: raw continuation, nothing is re-tokenised."""
    text: str | None = None
    """Text prompt: raw continuation of text."""
    messages: tuple[Message, ...] | None = None
    """Chat request; a final assistant message is continued when `continue_final` is set."""
    continue_final: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    """OpenAI tool schemas, chat requests only."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema that the reply has to follow: all of it, so nothing of it stands in the prompt."""
    tag: str = ""
    """Who asks, for call logs and scripted models: e.g. `policy`, `critic`. Not sent."""

    def __post_init__(self) -> None:
        """Refuse ambiguous requests."""
        if sum(part is not None for part in (self.ids, self.text, self.messages)) != 1:
            raise ValueError("a Request has exactly one of ids, text, messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled continuation."""

    text: str
    """Decoded text, including a stop string that fired; without the end-of-turn token."""
    finish: Literal["stop", "stop_string", "length", "tool_calls", "abort"]
    """`stop`: end-of-turn token; `stop_string`: one of `Sampling.stop` fired."""
    stop_string: str | None = None
    """Which stop string fired."""
    ids: tuple[int, ...] | None = None
    """Every sampled id, including the end-of-turn token when `finish` is `stop`; None when the back end gives none."""
    logprobs: tuple[float, ...] | None = None
    """Same length as `ids`."""
    prompt_ids: tuple[int, ...] | None = None
    """The prompt ids the server says it used; None when it does not tell."""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    """Cost of this completion; the prompt is charged to the first of n only."""


class Renderer(Protocol):
    """A model's tokenizer and chat template: messages to spans, ids to text."""

    @property
    def hash(self) -> str:
        """12+ hex digits over the tokenizer's content and the chat template."""
        ...

    @property
    def eos_ids(self) -> frozenset[int]:
        """Ids that end a turn."""
        ...

    @property
    def think_markers(self) -> tuple[str, str] | None:
        """Opening and closing thinking marker, e.g. `("<think>", "</think>")`; None for models without visible thinking."""
        ...

    def render(self, messages: tuple[Message, ...]) -> tuple[Span, ...]:
        """Messages plus the generation prompt, as PROMPT spans with ids. A final assistant message is continued (its turn stays open)."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text` alone, without any special tokens added."""
        ...

    def decode(self, ids: tuple[int, ...]) -> str:
        """Text of `ids`, end-of-turn and other special tokens dropped."""
        ...

    def token_ends(self, ids: tuple[int, ...]) -> list[int]:
        """For each id, the character offset in `decode(ids)` at which its text ends; non-decreasing."""
        ...


class Model(Protocol):
    """A language model. `complete` may be called concurrently."""

    @property
    def name(self) -> str:
        """Model string with what identifies the weights, e.g. `nano@3f2a91`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; final after `open`."""
        ...

    @property
    def renderer(self) -> Renderer | None:
        """Tokenizer and template; None when only text can be exchanged."""
        ...

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Sample `request.sampling.n` completions. Raises the `ModelError` family of `tirage.core.errors`."""
        ...

    async def close(self) -> None:
        """Release servers, threads and sockets; idempotent."""
        ...
