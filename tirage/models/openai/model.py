"""OpenAIModel: a language model behind an OpenAI-compatible server."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tirage.core.errors import CapabilityError, ConfigError, ModelRequestError, TirageError
from tirage.core.seeds import derive_seed
from tirage.models.base import Capabilities, Completion, Request
from tirage.models.keys import key_for
from tirage.models.openai.probe import find_model, probe
from tirage.models.openai.server import Refused, Server
from tirage.models.openai.wire import Facts, chat_payload, completion_payload, read_answer
from tirage.models.profile import NO_LIMIT
from tirage.models.template import HFRenderer, check_round_trip

UNKNOWN_ROOM = 2048
"""Tokens of a raw continuation at most, where the server does not tell its context: it has no default of its own that would do."""


class OpenAIModel:
    """A served model. Open it with `open_openai`, which finds out what the server can do."""

    def __init__(self, server: Server, model: str, facts: Facts, renderer: HFRenderer | None) -> None:
        """`renderer`: the served model's tokenizer; None when only text can be exchanged."""
        self._server = server
        self._model = model
        self._facts = facts
        self._renderer = renderer
        self._capabilities = Capabilities(
            raw_continuation=facts.completions,
            prefill=facts.prefill,
            token_ids=facts.ids,
            logprobs=facts.logprobs is not None,
            native_tools=facts.tools,
            structured=facts.structured,
            structured_raw=facts.structured_raw,
            seed=facts.seed,
            n=facts.n,
            top_k=facts.top_k,
            context=facts.context,
        )

    @property
    def name(self) -> str:
        """`<server>#<served name>`: a server does not tell a hash of its weights."""
        return f"{self._server.base_url}#{self._model}"

    @property
    def facts(self) -> Facts:
        """What the server was seen to do."""
        return self._facts

    @property
    def capabilities(self) -> Capabilities:
        """What the probe proved."""
        return self._capabilities

    @property
    def renderer(self) -> HFRenderer | None:
        """The served model's tokenizer, where its folder is at hand."""
        return self._renderer

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Sample completions.

        Raises:
            CapabilityError: The server was not seen to do what the request needs.
            ModelRequestError: It refused the request; for an unknown model the message lists those it serves.
            ModelUnavailable: It cannot be reached, failed, or answered nonsense; `ModelRateLimited` for 429.
            ModelAuthError: It refused the credentials.
            ModelError: It used other prompt ids than it was sent.
        """
        self._check(request)
        if request.sampling.n > 1 and not self._facts.n:
            return await self._one_by_one(request)
        if request.messages is not None:
            path, payload = "/chat/completions", chat_payload(self._model, request, self._facts)
            if self._room(request) < request.sampling.max_tokens or request.sampling.max_tokens >= NO_LIMIT:
                # The server knows best what its context leaves.
                payload = {name: value for name, value in payload.items() if name not in ("max_tokens", "max_completion_tokens")}
        else:
            path, payload = "/completions", completion_payload(self._model, request, self._facts, max_tokens=self._room(request))
        try:
            answer = await self._server.post(path, payload)
        except Refused as error:
            raise await self._explain(error) from error
        completions = read_answer(self._server.base_url + path, answer, request, self._renderer)
        if request.ids is not None:
            for completion in completions:
                if completion.prompt_ids is not None:
                    check_round_trip(request.ids, completion.prompt_ids)
        return completions

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._server.close()

    def _check(self, request: Request) -> None:
        sampling, facts = request.sampling, self._facts
        chat = request.messages is not None
        held = facts.structured if chat else facts.structured_raw
        needs = [
            (request.ids is not None and not facts.ids, "token-id prompts with ids returned", "vllm/NAME or nano"),
            (request.text is not None and not facts.completions, "raw continuation of text", "vllm/NAME or nano"),
            (chat and not facts.chat, "chat requests", "a model with a chat template"),
            (request.continue_final and not facts.prefill, "continuing a final assistant message", "vllm/NAME or nano"),
            (bool(request.tools) and not facts.tools, "native tool calls", "vLLM started with --enable-auto-tool-choice and a tool parser"),
            (request.schema is not None and not held, "replies that follow a JSON schema", "vllm/NAME or openai/NAME"),
            (sampling.top_k > 0 and not facts.top_k, "top_k", "vllm/NAME or nano"),
            (
                sampling.logprobs and not (facts.chat_logprobs if chat else facts.logprobs is not None),
                "log-probabilities of sampled tokens",
                "vllm/NAME or nano",
            ),
        ]
        for missing, what, remedy in needs:
            if missing:
                raise CapabilityError(f"{self.name} was not seen to support {what}; use {remedy}")

    def _room(self, request: Request) -> int:
        """`max_tokens`, cut to what the context leaves: the answer then ends by length instead of being refused."""
        limit, context = request.sampling.max_tokens, self._facts.context
        if context is None:
            return min(limit, UNKNOWN_ROOM) if request.messages is None else limit
        text = request.text if request.text is not None else "".join(message.content for message in request.messages or ())
        if request.ids is not None:
            length = len(request.ids)
        elif request.text is not None and self._renderer is not None:
            length = len(self._renderer.encode_prompt(text))
        else:
            # Rather too many: most texts have four characters to a token. A message brings its frame.
            length = len(text) // 3 + 8 + 16 * len(request.messages or ())
        return max(1, min(limit, context - length))

    async def _one_by_one(self, request: Request) -> tuple[Completion, ...]:
        """Several completions from a server that gives one at a time."""
        sampling = request.sampling
        seeds = [None if sampling.seed is None else derive_seed(sampling.seed, draw) for draw in range(sampling.n)]
        requests = [replace(request, sampling=replace(sampling, n=1, seed=seed)) for seed in seeds]
        answers = await asyncio.gather(*(self.complete(one) for one in requests))
        return tuple(answer[0] for answer in answers)

    async def _explain(self, error: Refused) -> ModelRequestError:
        """Add the served names to a refusal that may be about the model's name."""
        if error.status != 404:
            return error
        try:
            listed = (await self._server.get("/models")).get("data") or []
        except TirageError:
            return error
        names = ", ".join(sorted(str(entry.get("id")) for entry in listed if isinstance(entry, dict))[:20])
        return ModelRequestError(f"{error}; the server serves: {names or 'nothing'}")


async def open_openai(
    base_url: str,
    model: str = "",
    *,
    api_key: str | None = None,
    tokenizer: str | Path | None = None,
    timeout_s: float = 600.0,
    connections: int = 1000,
    facts: Facts | None = None,
    read: Callable[[Path], HFRenderer] = HFRenderer,
) -> OpenAIModel:
    """Connect to a server and find out what it can do.

    Args:
        base_url: With the API version, e.g. `http://127.0.0.1:8000/v1`.
        model: Served name; empty for the only one.
        api_key: Sent as a bearer token; `key_for(base_url)` when None.
        tokenizer: Folder of the served model's tokenizer. By default the folder the server names, if it is on this machine.
        timeout_s: For one call, waiting included.
        connections: Upper limit on requests in flight.
        facts: What the server can do, when it is known: nothing is probed then.
        read: Reads tokenizer and template, as in `open_local`.

    Raises:
        ModelUnavailable: The server cannot be reached.
        ModelRequestError: It has no such model.
        ConfigError: `tokenizer` is not the tokenizer of the served model.
    """
    api_key = api_key or key_for(base_url)
    server = Server(base_url, api_key=api_key, timeout_s=timeout_s, connections=connections)
    try:
        if facts is None:
            model, found = await find_model(server, model)
            facts = await probe(server, model, found)
        renderer = await _find_renderer(server, model, facts, tokenizer, read)
    except BaseException:
        await server.close()
        raise
    return OpenAIModel(server, model, facts, renderer)


async def _find_renderer(
    server: Server, model: str, facts: Facts, tokenizer: str | Path | None, read: Callable[[Path], HFRenderer]
) -> HFRenderer | None:
    """The served model's tokenizer, checked against the ids the server makes of a text; None when there is none at hand."""
    folder = Path(tokenizer) if tokenizer is not None else Path(facts.root) if facts.root else None
    if folder is None or (tokenizer is None and not (folder / "tokenizer.json").is_file()):
        return None
    renderer = read(folder)
    if not facts.ids:
        return renderer
    text = "Check: 12 + 34 = [46], naïve café.\n"
    answer = await server.post(
        "/completions", {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0, "return_token_ids": True}
    )
    used = tuple(answer["choices"][0]["prompt_token_ids"])
    # A server may put a beginning-of-sequence token in front of a text prompt.
    if used[-len(renderer.encode_prompt(text)) :] == renderer.encode_prompt(text):
        return renderer
    if tokenizer is None:
        return None
    raise ConfigError(
        f"the tokenizer in {folder} is not the one {server.base_url} uses for {model!r}: they encode the same text differently"
    )
