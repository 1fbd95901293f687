"""Find out what a server does, by asking: many accept a field they do not know and silently ignore it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tirage.core.errors import ModelRequestError, ModelUnavailable, TirageError
from tirage.models.openai.server import Server, ServerFault
from tirage.models.openai.wire import Facts, response_format

_PROMPTS = ("1 2 3 4 5 6 7", "The quick brown fox", "def add(a, b):")
"""Tried in order until one makes the model say a few characters."""
_TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}},
    },
}
_ONLY = {"bird": "quetzal"}
"""The one reply that the schema below allows, and that nobody would give to the question."""
_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string", "enum": [word]} for name, word in _ONLY.items()},
    "required": list(_ONLY),
    "additionalProperties": False,
}


async def find_model(server: Server, name: str) -> tuple[str, Facts]:
    """The served name and what the server tells about it. An empty `name` means the only model there is.

    Raises:
        ModelRequestError: None was named, and the server has several or lists none.
    """
    models = await _models(server)
    if not name and len(models) == 1:
        name = next(iter(models))
    name = _listed(name, models)
    if not name:
        raise _no_model(server, name, models)
    entry = models.get(name, {})
    context = entry.get("max_model_len")
    return name, Facts(root=entry.get("root"), context=int(context) if context else None, engine=await _engine(server))


async def probe(server: Server, model: str, facts: Facts) -> Facts:
    """Fill in what tiny requests prove. Costs about a dozen requests of at most 16 tokens, and one of 32.

    Raises:
        ModelUnavailable: The server stopped answering during the probe.
        ModelRequestError: It continues neither text nor chats.
    """
    ask = _Asker(server, model)
    facts = await _probe_completions(ask, facts)
    facts = await _probe_chat(ask, facts)
    if not (facts.completions or facts.chat):
        models = await _models(server)
        if models and model not in models:
            raise _no_model(server, model, models)
        kind = ModelUnavailable if ask.faulty else ModelRequestError
        raise kind(f"{server.base_url} answers neither completions nor chat completions for {model!r}: {ask.last_refusal}")
    return facts


async def _models(server: Server) -> dict[str, dict[str, Any]]:
    """What the server lists, by name; empty where it has no listing, as some gateways have none."""
    try:
        listed = (await server.get("/models")).get("data") or []
    except (ModelRequestError, ServerFault):
        listed = []
    return {entry["id"]: entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)}


def _no_model(server: Server, name: str, models: Mapping[str, Any]) -> ModelRequestError:
    served = ", ".join(sorted(models)[:20]) or "it lists none"
    return ModelRequestError(f"{server.base_url} serves no model {name!r}; it serves: {served}")


def _listed(name: str, models: Mapping[str, Any]) -> str:
    """The listed model that is meant: of this name, or the only one that differs by a folder in front, a tag behind or case.

    A name that is not listed stays: gateways serve more than they list, and whether they know it is seen by asking.
    """
    if not name or name in models:
        return name
    meant = [listed for listed in models if _core(listed) == _core(name)]
    return meant[0] if len(meant) == 1 else name


def _core(name: str) -> str:
    return name.casefold().removeprefix("models/").removesuffix(":latest")


async def _engine(server: Server) -> str:
    try:
        version = (await server.get_root("/version")).get("version")
    except TirageError:
        return "unknown"
    # vLLM is the one that answers here, and with nothing but its version.
    return f"vllm {version}" if version else "unknown"


@dataclass(slots=True)
class _Asker:
    server: Server
    model: str
    last_refusal: str = ""
    faulty: bool = False
    """Whether the last refusal was the server's own failure."""

    async def completion(self, **fields: Any) -> dict[str, Any] | None:
        """The first choice of a completion, None when the server refuses."""
        return _first(await self.ask("/completions", fields))

    async def ask(self, path: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = await self.server.post(path, {"model": self.model, "temperature": 0, **fields})
        except (ModelRequestError, ServerFault) as error:
            # Servers answer what they do not know with any code: what was asked for is absent, and the rest may work.
            self.last_refusal, self.faulty = str(error), isinstance(error, ServerFault)
            return None
        return answer


def _first(answer: dict[str, Any] | None) -> dict[str, Any] | None:
    choices = (answer or {}).get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


async def _probe_completions(ask: _Asker, facts: Facts) -> Facts:
    prompt, said = "", ""
    for text in _PROMPTS:
        choice = await ask.completion(prompt=text, max_tokens=8)
        if choice is None or not isinstance(choice.get("text"), str):
            return facts
        prompt, said = text, choice["text"]
        if len(said.strip()) >= 2:
            break
    two = await ask.ask("/completions", {"prompt": prompt, "max_tokens": 1, "n": 2, "temperature": 1})
    return replace(
        facts,
        completions=True,
        ids=await _proves_ids(ask, prompt),
        logprobs=await _working_logprobs(ask, prompt),
        stop_included=await _proves_stop(ask, prompt, said),
        seed=await _proves_seed(ask, prompt),
        top_k=await _proves_top_k(ask, prompt, said),
        structured_raw=await _proves_structured_raw(ask, prompt),
        n=two is not None and len(two.get("choices") or ()) == 2,
    )


async def _proves_ids(ask: _Asker, prompt: str) -> bool:
    """Ids come back, and sending the same ids gives the same continuation."""
    told = await ask.completion(prompt=prompt, max_tokens=4, return_token_ids=True)
    if told is None or not told.get("token_ids") or not told.get("prompt_token_ids"):
        return False
    again = await ask.completion(prompt=told["prompt_token_ids"], max_tokens=4, return_token_ids=True)
    return again is not None and again.get("prompt_token_ids") == told["prompt_token_ids"] and again.get("token_ids") == told["token_ids"]


async def _working_logprobs(ask: _Asker, prompt: str) -> int | None:
    for value in (0, 1):
        choice = await ask.completion(prompt=prompt, max_tokens=2, logprobs=value)
        found = (choice or {}).get("logprobs") or {}
        if isinstance(found, dict) and found.get("token_logprobs"):
            return value
    return None


async def _proves_stop(ask: _Asker, prompt: str, said: str) -> bool:
    """The greedy continuation, stopped at a character it is known to hold, ends with that character."""
    letters = said.strip()
    if len(letters) < 2:
        return False
    choice = await ask.completion(prompt=prompt, max_tokens=8, stop=[letters[0]], include_stop_str_in_output=True)
    return choice is not None and str(choice.get("text", "")).endswith(letters[0]) and choice.get("finish_reason") == "stop"


async def _proves_seed(ask: _Asker, prompt: str) -> bool:
    """Equal seeds agree and different ones differ, at a temperature at which chance agreement is unlikely."""
    texts = []
    for seed in (7, 7, 8, 9):
        choice = await ask.completion(prompt=prompt, max_tokens=16, temperature=2, seed=seed)
        if choice is None:
            return False
        texts.append(choice.get("text"))
    return texts[0] == texts[1] and len(set(texts)) > 1


async def _proves_top_k(ask: _Asker, prompt: str, said: str) -> bool:
    """With top_k = 1 a hot sample is the greedy one."""
    choice = await ask.completion(prompt=prompt, max_tokens=8, temperature=2, top_k=1)
    return choice is not None and bool(said) and choice.get("text") == said


async def _probe_chat(ask: _Asker, facts: Facts) -> Facts:
    question = {"role": "user", "content": "Count: 1, 2,"}
    plain = await ask.ask("/chat/completions", {"messages": [question], "max_tokens": 1})
    if _first(plain) is None:
        return facts
    scored = _first(await ask.ask("/chat/completions", {"messages": [question], "max_tokens": 1, "logprobs": True}))
    return replace(
        facts,
        chat=True,
        prefill=await _proves_prefill(ask, question),
        tools=await _proves_tools(ask, question, plain),
        structured=await _proves_structured(ask, question),
        chat_logprobs=bool(((scored or {}).get("logprobs") or {}).get("content")),
    )


async def _proves_prefill(ask: _Asker, question: dict[str, str]) -> bool:
    """Continuing the assistant's turn makes a shorter prompt than closing it and opening another."""
    turns = {"messages": [question, {"role": "assistant", "content": "3, 4,"}], "max_tokens": 1}
    closed = await ask.ask("/chat/completions", turns)
    kept_open = await ask.ask("/chat/completions", turns | {"add_generation_prompt": False, "continue_final_message": True})
    return kept_open is not None and (closed is None or 0 < _prompt_tokens(kept_open) < _prompt_tokens(closed))


async def _proves_tools(ask: _Asker, question: dict[str, str], plain: dict[str, Any] | None) -> bool:
    """A tool schema is accepted and lengthens the prompt: it reaches the model. A server that counts no tokens is taken at its word."""
    told = await ask.ask("/chat/completions", {"messages": [question], "max_tokens": 1, "tools": [_TOOL], "tool_choice": "auto"})
    return told is not None and (_prompt_tokens(told) > _prompt_tokens(plain) or not _prompt_tokens(plain))


async def _proves_structured(ask: _Asker, question: dict[str, str]) -> bool:
    """The only reply that a schema allows is given to a question that does not ask for it."""
    held = await ask.ask("/chat/completions", {"messages": [question], "max_tokens": 32, "response_format": response_format(_SCHEMA)})
    return _is_only(((_first(held) or {}).get("message") or {}).get("content"))


async def _proves_structured_raw(ask: _Asker, prompt: str) -> bool:
    """The same of a continuation."""
    held = await ask.completion(prompt=prompt, max_tokens=32, structured_outputs={"json": _SCHEMA})
    return _is_only((held or {}).get("text"))


def _is_only(text: Any) -> bool:
    try:
        return bool(json.loads(text or "") == _ONLY)
    except (ValueError, TypeError):
        return False


def _prompt_tokens(answer: dict[str, Any] | None) -> int:
    return int(((answer or {}).get("usage") or {}).get("prompt_tokens") or 0)
