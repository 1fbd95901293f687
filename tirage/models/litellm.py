"""LiteLLMModel: the chat models of many providers, through LiteLLM. Chat only: no ids, no raw continuation."""

import os
from dataclasses import replace
from typing import Any

from tirage.core.errors import (
    CapabilityError,
    MissingExtra,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelRequestError,
    ModelUnavailable,
)
from tirage.models.base import Capabilities, Completion, Request
from tirage.models.openai.wire import message_json, read_answer, response_format
from tirage.models.profile import NO_LIMIT


class LiteLLMModel:
    """A provider's chat model. Open it with `open_litellm`."""

    renderer = None

    def __init__(self, model: str, library: Any, *, api_key: str | None, api_base: str | None, timeout_s: float) -> None:
        """`model` is LiteLLM's `provider/name`; `library` the imported package."""
        self._model = model
        self._litellm = library
        # LiteLLM looks for MCP servers among the tools otherwise, which needs a package it does not require.
        self._options: dict[str, Any] = {"timeout": timeout_s, "max_retries": 0, "_skip_mcp_handler": True}
        if api_key is not None:
            self._options["api_key"] = api_key
        if api_base is not None:
            self._options["api_base"] = api_base
        info = _info(library, model)
        self._allowed = frozenset(library.get_supported_openai_params(model=model) or ())
        self._capabilities = Capabilities(
            prefill=bool(info.get("supports_assistant_prefill")),
            native_tools="tools" in self._allowed,
            structured="response_format" in self._allowed and bool(info.get("supports_response_schema")),
            seed="seed" in self._allowed,
            n="n" in self._allowed,
            top_k="top_k" in self._allowed,
            context=int(info.get("max_input_tokens") or info.get("max_tokens") or 0) or None,
        )

    @property
    def name(self) -> str:
        """`litellm/provider/name`."""
        return f"litellm/{self._model}"

    @property
    def capabilities(self) -> Capabilities:
        """What LiteLLM's tables say about the provider and the model."""
        return self._capabilities

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Sample completions of a chat request.

        Raises:
            CapabilityError: The request is not a chat, or needs what the provider lacks.
            ModelError: And its family, for what the provider answers.
        """
        self._check(request)
        try:
            response = await self._litellm.acompletion(**self._payload(request), **self._options)
        except Exception as error:  # LiteLLM's classes come from a package that is imported late; `_mapped` tells them apart
            raise self._mapped(error) from error
        completions = read_answer(self.name, response.model_dump(), request, None)
        cost = (getattr(response, "_hidden_params", None) or {}).get("response_cost")
        if not cost or not completions:
            return completions
        first = replace(completions[0], usage=replace(completions[0].usage, cost_usd=float(cost)))
        return (first, *completions[1:])

    async def close(self) -> None:
        """Nothing is held open for one model: LiteLLM keeps its connections for the whole process."""

    def _check(self, request: Request) -> None:
        sampling = request.sampling
        needs = [
            (request.messages is None, "raw continuation of ids or text", "nano, hf/PATH or vllm/NAME"),
            (request.continue_final and not self._capabilities.prefill, "continuing a final assistant message", "vllm/NAME or nano"),
            (bool(request.tools) and not self._capabilities.native_tools, "native tool calls", "a model that has them"),
            (request.schema is not None and not self._capabilities.structured, "replies that follow a JSON schema", "a model that does"),
            (sampling.logprobs, "log-probabilities of sampled ids", "nano, hf/PATH or vllm/NAME"),
            (sampling.n > 1 and "n" not in self._allowed, "several completions per request", "n=1"),
            (sampling.top_k > 0 and "top_k" not in self._allowed, "top_k", "top_p"),
            (bool(sampling.stop) and "stop" not in self._allowed, "stop strings", "another model"),
        ]
        for missing, what, remedy in needs:
            if missing:
                raise CapabilityError(f"{self.name} does not support {what}; use {remedy}")

    def _payload(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        messages = [message_json(message) for message in request.messages or ()]
        if request.continue_final:
            messages[-1]["prefix"] = True
        payload: dict[str, Any] = {"model": self._model, "messages": messages}
        if sampling.max_tokens < (self._capabilities.context or NO_LIMIT):
            # Else the provider's own limit holds, which may be less than the context.
            payload["max_tokens"] = sampling.max_tokens
        offers: list[tuple[str, Any, bool]] = [
            ("temperature", sampling.temperature, True),
            ("top_p", sampling.top_p, sampling.top_p != 1.0),
            ("top_k", sampling.top_k, sampling.top_k > 0),
            ("stop", list(sampling.stop), bool(sampling.stop)),
            ("n", sampling.n, sampling.n > 1),
            ("seed", sampling.seed, sampling.seed is not None),
            ("tools", [dict(tool) for tool in request.tools], bool(request.tools)),
        ]
        if request.schema is not None:
            payload["response_format"] = response_format(request.schema)
        payload |= {name: value for name, value, wanted in offers if wanted and name in self._allowed}
        return payload

    def _mapped(self, error: Exception) -> ModelError:
        kinds = self._litellm.exceptions
        said = f"{self.name}: {type(error).__name__}: {error}"
        if isinstance(error, kinds.RateLimitError):
            headers = getattr(error, "litellm_response_headers", None) or {}
            wait = headers.get("retry-after", "")
            return ModelRateLimited(said, retry_after_s=float(wait) if wait.isdigit() else None)
        if isinstance(error, (kinds.AuthenticationError, kinds.PermissionDeniedError)):
            return ModelAuthError(f"{said}; check the provider's API key")
        if isinstance(error, (kinds.BadRequestError, kinds.NotFoundError, kinds.UnprocessableEntityError)):
            return ModelRequestError(said)
        if isinstance(
            error, (kinds.APIConnectionError, kinds.Timeout, kinds.ServiceUnavailableError, kinds.InternalServerError, kinds.APIError)
        ):
            return ModelUnavailable(said)
        return ModelError(said)


async def open_litellm(model: str, *, api_key: str | None = None, api_base: str | None = None, timeout_s: float = 600.0) -> LiteLLMModel:
    """A model of LiteLLM, e.g. `anthropic/claude-sonnet-4-5`. No request is made.

    Args:
        model: LiteLLM's `provider/name`.
        api_key: The provider's key; from the provider's own variable by default.
        api_base: Address, for self-hosted providers.
        timeout_s: For one call.

    Raises:
        MissingExtra: litellm is not installed.
        ModelRequestError: LiteLLM knows no such provider.
        ModelAuthError: The provider's key is neither given nor in the environment.
    """
    # Without this, importing LiteLLM asks the network for a newer price table, and waits where there is none.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        import litellm
    except ImportError as error:
        raise MissingExtra("litellm", "all") from error
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    try:
        litellm.get_llm_provider(model, api_base=api_base)
    except litellm.exceptions.BadRequestError as error:
        raise ModelRequestError(
            f"LiteLLM knows no provider for {model!r}; write provider/name, e.g. anthropic/claude-sonnet-4-5"
        ) from error
    if api_key is None and api_base is None:
        missing = [name for name in litellm.validate_environment(model)["missing_keys"] if name.endswith("_API_KEY")]
        if missing:
            raise ModelAuthError(f"litellm/{model} needs a key; set {' or '.join(missing)} in the environment")
    return LiteLLMModel(model, litellm, api_key=api_key, api_base=api_base, timeout_s=timeout_s)


def _info(library: Any, model: str) -> dict[str, Any]:
    """What LiteLLM's table says about a model; empty when it is not in there."""
    try:
        return dict(library.get_model_info(model))
    except Exception:  # LiteLLM raises a bare Exception for a model that it does not know
        return {}
