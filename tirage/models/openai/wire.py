"""Requests to JSON and JSON to completions. Only fields that the probe proved are sent beyond the plain OpenAI ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tirage.core.errors import ModelRequestError, ModelUnavailable
from tirage.core.message import Message, ToolCall
from tirage.core.step import Usage
from tirage.models.base import Completion, Renderer, Request, Sampling
from tirage.models.model_json import read_object

Finish = Literal["stop", "stop_string", "length", "tool_calls", "abort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a server was seen to do."""

    engine: str = "unknown"
    """Name and version where the server tells, e.g. `vllm 0.32.0`."""
    root: str | None = None
    """Where the server says the weights come from: a folder, or a hub name."""
    context: int | None = None
    completions: bool = False
    """Continues a text prompt."""
    ids: bool = False
    """Takes ids, uses exactly these, and returns the ids it sampled."""
    logprobs: int | None = None
    """The value of the completions field `logprobs` that gives the sampled token's own; None when none does."""
    stop_included: bool = False
    """`include_stop_str_in_output` works."""
    seed: bool = False
    top_k: bool = False
    n: bool = False
    chat: bool = False
    prefill: bool = False
    """`continue_final_message` works."""
    tools: bool = False
    structured: bool = False
    """`response_format` with a JSON Schema holds the reply to it."""
    structured_raw: bool = False
    """So does vLLM's `structured_outputs` with a continuation."""
    chat_logprobs: bool = False


def completion_payload(model: str, request: Request, facts: Facts, *, max_tokens: int) -> dict[str, Any]:
    """Body of a `/completions` request."""
    prompt = list(request.ids) if request.ids is not None else request.text
    payload = {"model": model, "prompt": prompt, "max_tokens": max_tokens, **_sampling(request.sampling, facts)}
    if facts.ids:
        payload["return_token_ids"] = True
    if request.sampling.logprobs and facts.logprobs is not None:
        payload["logprobs"] = facts.logprobs
    if request.schema is not None:
        payload["structured_outputs"] = {"json": dict(request.schema)}
    return payload


def chat_payload(model: str, request: Request, facts: Facts) -> dict[str, Any]:
    """Body of a `/chat/completions` request."""
    messages = [message_json(message) for message in request.messages or ()]
    payload = {"model": model, "messages": messages, "max_tokens": request.sampling.max_tokens, **_sampling(request.sampling, facts)}
    if request.continue_final:
        payload |= {"add_generation_prompt": False, "continue_final_message": True}
    if request.tools:
        payload |= {"tools": [dict(tool) for tool in request.tools], "tool_choice": "auto"}
    if request.schema is not None:
        payload["response_format"] = response_format(request.schema)
    if facts.ids:
        payload["return_token_ids"] = True
    if request.sampling.logprobs:
        payload["logprobs"] = True
    return payload


def message_json(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form."""
    out: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        out["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _as_json(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        out["tool_call_id"] = message.tool_call_id
    return out


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema in OpenAI's form."""
    return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)}}


def read_answer(url: str, data: Mapping[str, Any], request: Request, renderer: Renderer | None) -> tuple[Completion, ...]:
    """The completions of an answer, in the order of their index.

    Raises:
        ModelRequestError: It holds an error, or nothing; with what the server says of it.
        ModelUnavailable: The answer has not the shape of one (a proxy's page, a truncated relay): a retry may work.
    """
    refused = data.get("error")
    if refused or ("choices" in data and not data["choices"]):
        said = refused.get("message") or refused if isinstance(refused, dict) else refused or data.get("message") or data.get("detail")
        raise ModelRequestError(f"{url} answered without a completion: {str(said or 'no choices, and no reason given')[:600]}")
    try:
        choices = sorted(data["choices"], key=lambda choice: int(choice.get("index", 0)))
        costs = _costs(choices, data.get("usage") or {})
        prompt_ids = data.get("prompt_token_ids")
        return tuple(_completion(choice, prompt_ids, request, renderer, cost) for choice, cost in zip(choices, costs, strict=True))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelUnavailable(f"{url} answered without the fields of a completion ({type(error).__name__}: {error})") from error


def _sampling(sampling: Sampling, facts: Facts) -> dict[str, Any]:
    fields: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.top_p != 1.0:
        fields["top_p"] = sampling.top_p
    if sampling.top_k > 0:
        fields["top_k"] = sampling.top_k
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
        if facts.stop_included:
            fields["include_stop_str_in_output"] = True
    if sampling.n > 1:
        fields["n"] = sampling.n
    if sampling.seed is not None and facts.seed:
        # Servers hold seeds in signed 64-bit integers; tirage's fit already, a user's may not.
        fields["seed"] = sampling.seed % 2**63
    return fields


def _completion(choice: Mapping[str, Any], prompt_ids: Any, request: Request, renderer: Renderer | None, cost: Usage) -> Completion:
    message = choice.get("message")
    text = choice["text"] if message is None else _said(message)
    calls = () if message is None else _calls(message)
    finish, stop_string = _finish(choice, request.sampling.stop)
    ids = choice.get("token_ids")
    used = choice.get("prompt_token_ids", prompt_ids)
    if ids is not None and renderer is not None and not calls:
        # The ids are the truth: the text of a stop string's last token reaches further than the stop string.
        text = renderer.decode(tuple(ids))
    elif stop_string is not None and not text.endswith(stop_string):
        text += stop_string
    logprobs = _logprobs(choice) if request.sampling.logprobs else None
    return Completion(
        text=text,
        finish="tool_calls" if calls else finish,
        stop_string=stop_string,
        ids=tuple(ids) if ids is not None else None,
        logprobs=logprobs if ids is not None and logprobs is not None and len(logprobs) == len(ids) else None,
        prompt_ids=tuple(used) if used is not None else None,
        tool_calls=calls,
        usage=cost,
    )


def _finish(choice: Mapping[str, Any], stops: tuple[str, ...]) -> tuple[Finish, str | None]:
    """Why it ended. A server that does not name the stop string is taken at its word: the turn ended."""
    reason = choice.get("finish_reason")
    if reason in ("length", "tool_calls", "abort"):
        return reason, None
    if reason == "content_filter":
        return "abort", None
    # vLLM says `stop_reason`, SGLang `matched_stop`.
    fired = choice.get("stop_reason") or choice.get("matched_stop")
    return ("stop_string", fired) if isinstance(fired, str) and fired in stops else ("stop", None)


def _said(message: Mapping[str, Any]) -> str:
    """What the policy wrote: its text, whole or in parts, behind the thinking that the server told apart from it."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part if isinstance(part, str) else str(part.get("text") or "") for part in content)
    thought = message.get("reasoning_content") or message.get("reasoning")
    return f"<think>\n{thought.strip()}\n</think>\n\n{content}" if isinstance(thought, str) and thought.strip() else content


def _calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls of a message, the one of the older form too. Servers differ in what they write; a call without a name is none."""
    made = [(call.get("function") or {}, call.get("id")) for call in message.get("tool_calls") or ()]
    made = made or [(message.get("function_call") or {}, None)]
    return tuple(
        ToolCall(
            name=str(function["name"]).removeprefix("functions."),
            arguments=_as_text(function.get("arguments")),
            id="" if id is None else str(id),
        )
        for function, id in made
        if function.get("name")
    )


def _as_text(arguments: Any) -> str:
    """Arguments as JSON in text, which some servers have parsed already."""
    if arguments is None:
        return "{}"
    return (arguments or "{}") if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _as_json(arguments: str) -> str:
    """Arguments as servers take them back: JSON objects. What cannot be read as one goes under a name of its own."""
    try:
        return json.dumps(read_object(arguments), ensure_ascii=False)
    except ValueError:
        return json.dumps({"unreadable": arguments}, ensure_ascii=False)


def _logprobs(choice: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The sampled tokens' own, from either endpoint's form."""
    found = choice.get("logprobs")
    if not found:
        return None
    values = found["token_logprobs"] if "token_logprobs" in found else [entry["logprob"] for entry in found.get("content") or ()]
    return tuple(map(float, values))


def _costs(choices: Sequence[Mapping[str, Any]], usage: Mapping[str, Any]) -> list[Usage]:
    """Share the answer's usage: the prompt goes to the first; sampled tokens by ids, or evenly where there are none."""
    total = int(usage.get("completion_tokens") or 0)
    counts = [total // len(choices) if choice.get("token_ids") is None else len(choice["token_ids"]) for choice in choices]
    if choices and choices[0].get("token_ids") is None:
        counts[0] += total - sum(counts)
    prompt, cached = int(usage.get("prompt_tokens") or 0), int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
    first = [Usage(tokens_in=prompt, tokens_cached=cached, tokens_out=count, model_calls=1) for count in counts[:1]]
    return first + [Usage(tokens_out=count) for count in counts[1:]]
