import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tirage.core.errors import (
    CapabilityError,
    ConfigError,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelRequestError,
    ModelUnavailable,
)
from tirage.core.message import Message, ToolCall
from tirage.models.base import Request, Sampling
from tirage.models.openai import OpenAIModel, open_openai
from tirage.models.openai.server import Server
from tirage.models.openai.wire import Facts, message_json, read_answer
from tirage.models.profile import NO_LIMIT
from tirage.testing.tiny import write_tokenizer

GREEDY = Sampling(max_tokens=8)
ASK = Request(text="Hi", sampling=GREEDY)
CHAT = Request(messages=(Message(role="user", content="Hi"),), sampling=GREEDY)
PLAIN = Facts(completions=True, chat=True)


class FakeEngine:
    """A server of bytes that can do what `abilities` says and silently ignores every field beyond."""

    ALL = frozenset({"ids", "logprobs", "include_stop", "seed", "top_k", "n", "chat", "prefill", "tools", "structured", "stop_reason"})

    def __init__(self, abilities: frozenset[str], root: str | None = None) -> None:
        self.abilities = abilities
        self.root = root
        self.version: str | None = "0.32.0"

    async def __call__(self, method: str, path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": "m", "root": self.root, "max_model_len": 64}]}
        if path == "/version":
            return {"version": self.version} if self.version else (404, {})
        if body["model"] != "m":
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        if path == "/v1/completions":
            return self._completions(body)
        if path == "/v1/chat/completions" and "chat" in self.abilities:
            return self._chat(body)
        return 404, {"detail": "Not Found"}

    def _draw(self, prompt: bytes, body: dict[str, Any], draw: int) -> tuple[str, bytes, str, Any]:
        able = self.abilities
        hot = body.get("temperature", 1) > 0 and not ("top_k" in able and body.get("top_k") == 1)
        seed = body.get("seed") if "seed" in able else None
        mood = f"{seed}-{draw}" if hot and seed is not None else str(random.random()) if hot else ""
        source = random.Random(f"{prompt!r}{mood}")
        data = bytes(source.choice(b"abcdefgh ") for _ in range(body.get("max_tokens", 16)))
        if not data.strip():
            data = b"a" * len(data)
        finish, reason = "length", None
        text = data.decode()
        for stop in body.get("stop") or ():
            place = text.find(stop)
            if place >= 0:
                data = data[: place + len(stop)]
                keep = len(stop) if body.get("include_stop_str_in_output") and "include_stop" in able else 0
                text, finish, reason = text[: place + keep], "stop", stop
                break
        return text, data, finish, reason if "stop_reason" in able else None

    def _completions(self, body: dict[str, Any]) -> Any:
        prompt = body["prompt"]
        if isinstance(prompt, list) and "ids" not in self.abilities:
            return 400, {"message": "prompt must be text"}
        data = bytes(prompt) if isinstance(prompt, list) else prompt.encode()
        choices = []
        for draw in range(body.get("n", 1) if "n" in self.abilities else 1):
            text, out, finish, reason = self._draw(data, body, draw)
            choice: dict[str, Any] = {"index": draw, "text": text, "finish_reason": finish, "stop_reason": reason}
            if "ids" in self.abilities and body.get("return_token_ids"):
                choice |= {"token_ids": list(out), "prompt_token_ids": list(data)}
            if "logprobs" in self.abilities and body.get("logprobs") is not None:
                choice["logprobs"] = {"token_logprobs": [-0.5] * len(out)}
            choices.append(choice)
        total = sum(len(choice.get("token_ids", choice["text"])) for choice in choices)
        return {"choices": choices[::-1], "usage": {"prompt_tokens": len(data), "completion_tokens": total}}

    def _chat(self, body: dict[str, Any]) -> Any:
        text = "".join(f"<{turn['role']}>{turn['content']}" for turn in body["messages"])
        if body.get("tools") and "tools" not in self.abilities:
            return 400, {"error": {"message": '"auto" tool choice requires --enable-auto-tool-choice'}}
        text += str(body.get("tools") or "")
        if not (body.get("continue_final_message") and "prefill" in self.abilities):
            text += "<assistant>"
        said, out, finish, reason = self._draw(text.encode(), body, 0)
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if body.get("tools") and body.get("max_tokens", 16) > 1:
            call = {"id": "c1", "type": "function", "function": {"name": "python", "arguments": '{"code": "1"}'}}
            message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        if body.get("response_format") and "structured" in self.abilities:
            properties = body["response_format"]["json_schema"]["schema"]["properties"]
            written = json.dumps({name: part.get("enum", [""])[0] for name, part in properties.items()})
            message, finish = {"role": "assistant", "content": written[: body.get("max_tokens", 16)]}, "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish, "stop_reason": reason}
        return {"choices": [choice], "usage": {"prompt_tokens": len(text), "completion_tokens": len(out)}}


@pytest.fixture
async def plain(stub: Any) -> AsyncIterator[OpenAIModel]:
    """A client that probes nothing, with a short timeout."""
    model = await open_openai(stub.url, "m", facts=PLAIN, timeout_s=0.5)
    yield model
    await model.close()


def answer(text: str = "ok", **choice: Any) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "text": text, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1},
    }


def always(stub: Any, response: Any) -> None:
    async def handler(_method: str, path: str, _body: dict[str, Any]) -> Any:
        return {"data": [{"id": "one"}, {"id": "two"}]} if path == "/v1/models" else response

    stub.handler = handler


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ModelRequestError),
        (422, ModelRequestError),
        (401, ModelAuthError),
        (403, ModelAuthError),
        (408, ModelUnavailable),
        (500, ModelUnavailable),
        (503, ModelUnavailable),
        (302, ModelRequestError),
    ],
)
async def test_statuses_become_errors_with_the_servers_words(stub: Any, plain: OpenAIModel, status: int, kind: type[ModelError]) -> None:
    always(stub, (status, {"error": {"message": "the cat sat on it"}}))
    with pytest.raises(kind, match=f"{status}: the cat sat on it") as caught:
        await plain.complete(ASK)
    assert type(caught.value).__mro__.index(kind) <= 1


@pytest.mark.parametrize(
    ("header", "low", "high"), [("7", 7, 7), ("0.5", 0.5, 0.5), ("Thu, 01 Jan 2060 00:00:00 GMT", 1e8, 2e9), ("soon", None, None)]
)
async def test_429_carries_retry_after(stub: Any, plain: OpenAIModel, header: str, low: float | None, high: float | None) -> None:
    always(stub, (429, b"slow down", {"retry-after": header}))
    with pytest.raises(ModelRateLimited, match="slow down") as caught:
        await plain.complete(ASK)
    wait = caught.value.retry_after_s
    assert wait is None if low is None or high is None else wait is not None and low <= wait <= high


async def test_an_unknown_model_lists_the_served_ones(stub: Any, plain: OpenAIModel) -> None:
    always(stub, (404, {"object": "error", "message": "The model `m` does not exist."}))
    with pytest.raises(ModelRequestError, match=r"does not exist.*serves: one, two"):
        await plain.complete(ASK)
    with pytest.raises(ModelRequestError, match="no model 'three'; it serves: one, two"):
        await open_openai(stub.url, "three")


async def test_a_hanging_server_times_out(stub: Any, plain: OpenAIModel) -> None:
    async def hang(*_: Any) -> Any:
        await asyncio.sleep(30)

    stub.handler = hang
    with pytest.raises(ModelUnavailable, match=r"did not answer within 0\.5 s"):
        await plain.complete(ASK)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "broke"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"choices": [', "broke"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broke"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"choices": [', "broken JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<html>hi</html>", "broken JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "list instead of an object"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "without the fields"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"choices":[{}]}', "without the fields"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{"choices":[{"a":1', "broken JSON"),
    ],
)
async def test_broken_answers_are_unavailable(stub: Any, plain: OpenAIModel, sent: bytes, words: str) -> None:
    always(stub, sent)
    with pytest.raises(ModelUnavailable, match=words):
        await plain.complete(ASK)


async def test_a_dead_server(stub: Any, plain: OpenAIModel) -> None:
    await stub.stop()
    with pytest.raises(ModelUnavailable, match=r"cannot connect.*is the server running"):
        await plain.complete(ASK)


async def test_a_server_that_dies_under_way(stub: Any, plain: OpenAIModel) -> None:
    async def hang(*_: Any) -> Any:
        await asyncio.sleep(30)

    stub.handler = hang
    call = asyncio.create_task(plain.complete(ASK))
    await asyncio.sleep(0.1)
    await stub.stop()
    with pytest.raises(ModelUnavailable, match="broke"):
        await call


async def test_addresses_and_keys(stub: Any) -> None:
    with pytest.raises(ConfigError, match="not a server address"):
        await open_openai("localhost:8000", "m")
    always(stub, answer())
    model = await open_openai(stub.url, "m", facts=PLAIN, api_key="sesame")
    await model.complete(ASK)
    assert stub.headers[-1]["authorization"] == "Bearer sesame"
    assert "sesame" not in model.name
    await model.close()
    with pytest.raises(ModelError, match="closed"):
        await model.complete(ASK)


async def test_the_probe_finds_everything_a_full_server_does(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL)
    model = await open_openai(stub.url)
    assert model.name.endswith("/v1#m")
    facts = model.facts
    assert facts.engine == "vllm 0.32.0"
    assert (facts.ids, facts.logprobs, facts.stop_included, facts.seed, facts.top_k, facts.n) == (True, 0, True, True, True, True)
    assert (facts.chat, facts.prefill, facts.tools, facts.structured) == (True, True, True, True)
    assert model.capabilities.context == 64
    await model.close()


@pytest.mark.parametrize("missing", sorted(FakeEngine.ALL - {"chat", "stop_reason"}))
async def test_the_probe_is_not_fooled_by_ignored_fields(stub: Any, missing: str) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL - {missing})
    model = await open_openai(stub.url, "m")
    facts = model.facts
    seen = {
        "ids": facts.ids,
        "logprobs": facts.logprobs is not None,
        "include_stop": facts.stop_included,
        "seed": facts.seed,
        "top_k": facts.top_k,
        "n": facts.n,
        "prefill": facts.prefill,
        "tools": facts.tools,
        "structured": facts.structured,
    }
    assert [name for name, found in seen.items() if not found] == [missing]
    await model.close()


async def test_only_proven_fields_are_sent(stub: Any) -> None:
    stub.handler = FakeEngine(frozenset({"chat"}))
    model = await open_openai(stub.url, "m")
    sampling = Sampling(temperature=1.0, top_p=0.5, max_tokens=4, stop=("zz",), seed=3)
    await model.complete(Request(text="Hi", sampling=sampling))
    _, path, body = stub.requests[-1]
    assert path == "/v1/completions"
    assert body == {"model": "m", "prompt": "Hi", "max_tokens": 4, "temperature": 1.0, "top_p": 0.5, "stop": ["zz"]}
    await model.close()


async def test_what_was_not_proven_is_refused_by_name(stub: Any) -> None:
    stub.handler = FakeEngine(frozenset({"chat"}))
    model = await open_openai(stub.url, "m")
    tool = {"type": "function", "function": {"name": "python"}}
    requests = {
        "token-id prompts": Request(ids=(1, 2), sampling=GREEDY),
        "final assistant message": Request(messages=CHAT.messages, continue_final=True, sampling=GREEDY),
        "native tool calls": Request(messages=CHAT.messages, tools=(tool,), sampling=GREEDY),
        "replies that follow a JSON schema": Request(messages=CHAT.messages, schema={"type": "object"}, sampling=GREEDY),
        "top_k": Request(text="x", sampling=Sampling(top_k=3)),
        "log-probabilities": Request(text="x", sampling=Sampling(logprobs=True)),
    }
    for words, request in requests.items():
        with pytest.raises(CapabilityError, match=words):
            await model.complete(request)
    await model.close()


async def test_ids_come_back_in_order_with_usage_and_logprobs(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL)
    model = await open_openai(stub.url, "m")
    sampling = Sampling(temperature=1.0, max_tokens=6, n=3, seed=1, logprobs=True)
    draws = await model.complete(Request(ids=(72, 105), sampling=sampling))
    assert len({draw.ids for draw in draws}) == 3
    assert draws == await model.complete(Request(ids=(72, 105), sampling=sampling))
    assert [draw.prompt_ids for draw in draws] == [(72, 105)] * 3
    assert draws[0].logprobs == (-0.5,) * 6
    assert [(draw.usage.tokens_in, draw.usage.tokens_out, draw.usage.model_calls) for draw in draws] == [(2, 6, 1), (0, 6, 0), (0, 6, 0)]
    await model.close()


async def test_a_chat_that_may_fill_the_context_leaves_the_limit_to_the_server(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL)
    model = await open_openai(stub.url, "m")
    for limit, sent in ((64, None), (NO_LIMIT, None), (8, 8)):
        await model.complete(Request(messages=CHAT.messages, sampling=Sampling(max_tokens=limit)))
        assert stub.requests[-1][2].get("max_tokens") == sent
    await model.complete(Request(text="Hi", sampling=Sampling(max_tokens=NO_LIMIT)))
    assert 0 < stub.requests[-1][2]["max_tokens"] < 64, "a raw continuation has no sensible default"
    await model.close()


async def test_max_tokens_is_cut_to_the_context(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL)
    model = await open_openai(stub.url, "m")
    (completion,) = await model.complete(Request(ids=(72,) * 60, sampling=Sampling(max_tokens=100)))
    assert completion.finish == "length"
    assert len(completion.ids or ()) == 4
    await model.close()


async def test_other_prompt_ids_than_sent_are_an_error(stub: Any) -> None:
    model = await open_openai(stub.url, "m", facts=Facts(completions=True, ids=True))
    always(stub, answer(token_ids=[1], prompt_token_ids=[72, 106]))
    with pytest.raises(ModelError, match="position 1 is 106, sent 105"):
        await model.complete(Request(ids=(72, 105), sampling=GREEDY))
    await model.close()


async def test_n_without_server_support_makes_separate_seeded_calls(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL - {"n"})
    model = await open_openai(stub.url, "m")
    request = Request(text="Hi", sampling=Sampling(temperature=1.0, max_tokens=8, n=3, seed=1))
    draws = await model.complete(request)
    assert len({draw.text for draw in draws}) == 3
    assert [draw.text for draw in draws] == [draw.text for draw in await model.complete(request)]
    assert sum(draw.usage.model_calls for draw in draws) == 3
    await model.close()


@pytest.mark.parametrize("included", [True, False])
async def test_the_stop_string_that_fired_is_in_the_text(stub: Any, included: bool) -> None:
    abilities = FakeEngine.ALL - {"ids"} - (set() if included else {"include_stop"})
    stub.handler = FakeEngine(frozenset(abilities))
    model = await open_openai(stub.url, "m")
    (free,) = await model.complete(Request(text="Hello", sampling=Sampling(max_tokens=20)))
    stop = free.text[7:9]
    (cut,) = await model.complete(Request(text="Hello", sampling=Sampling(max_tokens=20, stop=("never", stop))))
    assert (cut.finish, cut.stop_string) == ("stop_string", stop)
    assert cut.text == free.text[: free.text.index(stop) + 2]
    await model.close()


async def test_a_server_that_does_not_name_the_stop_string_is_taken_to_have_ended_the_turn(stub: Any, plain: OpenAIModel) -> None:
    always(stub, answer("done"))
    (completion,) = await plain.complete(Request(text="Hi", sampling=Sampling(stop=("x",))))
    assert (completion.finish, completion.stop_string, completion.text) == ("stop", None, "done")


async def test_native_tool_calls_are_sent_and_read(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL)
    model = await open_openai(stub.url, "m")
    call = ToolCall(name="python", arguments='{"code": "2"}', id="c0")
    messages = (
        Message(role="user", content="Hi"),
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="2", tool_call_id="c0"),
    )
    tool = {"type": "function", "function": {"name": "python", "parameters": {"type": "object"}}}
    (completion,) = await model.complete(Request(messages=messages, tools=(tool,), sampling=GREEDY))
    assert completion.finish == "tool_calls"
    assert completion.tool_calls == (ToolCall(name="python", arguments='{"code": "1"}', id="c1"),)
    body = stub.requests[-1][2]
    assert body["messages"][1]["tool_calls"][0] == {
        "id": "c0",
        "type": "function",
        "function": {"name": "python", "arguments": '{"code": "2"}'},
    }
    assert body["messages"][2] == {"role": "tool", "content": "2", "tool_call_id": "c0"}
    assert body["tools"] == [tool]
    await model.close()


async def test_a_schema_is_sent_and_holds_the_reply(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL)
    model = await open_openai(stub.url, "m")
    assert model.capabilities.structured
    schema = {"type": "object", "properties": {"verdict": {"enum": ["yes", "no"]}}, "required": ["verdict"], "additionalProperties": False}
    (completion,) = await model.complete(Request(messages=CHAT.messages, schema=schema, sampling=Sampling(max_tokens=40)))
    assert json.loads(completion.text) == {"verdict": "yes"}
    assert stub.requests[-1][2]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": True, "schema": schema},
    }
    await model.complete(CHAT)
    assert "response_format" not in stub.requests[-1][2]
    await model.close()


@pytest.mark.parametrize("content", [None, "", "quetzal", '{"bird": "wren"}', '{"bird": "quetz', '["quetzal"]'])
async def test_a_reply_beside_the_schema_proves_nothing(stub: Any, content: str | None) -> None:
    engine = FakeEngine(FakeEngine.ALL)

    async def handler(method: str, path: str, body: dict[str, Any]) -> Any:
        if "response_format" in body:
            return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
        return await engine(method, path, body)

    stub.handler = handler
    model = await open_openai(stub.url, "m")
    assert not model.capabilities.structured
    await model.close()


async def test_a_schema_goes_with_ids_where_the_server_holds_continuations_to_it(stub: Any) -> None:
    always(stub, answer(token_ids=[1], prompt_token_ids=[7, 8]))
    request = Request(ids=(7, 8), schema={"type": "object"}, sampling=GREEDY)
    facts = replace(PLAIN, completions=True, ids=True, structured=True, structured_raw=True)
    model = await open_openai(stub.url, "m", facts=facts)
    assert (model.capabilities.structured, model.capabilities.structured_raw) == (True, True)
    await model.complete(request)
    assert stub.requests[-1][2]["structured_outputs"] == {"json": {"type": "object"}}
    await model.close()
    model = await open_openai(stub.url, "m", facts=replace(facts, structured_raw=False))
    with pytest.raises(CapabilityError, match="JSON schema"):
        await model.complete(request)
    await model.close()


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "out of quota", "code": 402}},
        {"error": "out of quota"},
        {"choices": [], "message": "out of quota"},
        {"choices": None, "detail": "out of quota"},
    ],
)
async def test_an_error_that_is_told_as_success_is_one(stub: Any, plain: OpenAIModel, body: dict[str, Any]) -> None:
    always(stub, body)
    with pytest.raises(ModelRequestError, match="out of quota"):
        await plain.complete(ASK)


def chat_answer(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": "4", "reasoning_content": "2 + 2"}, "<think>\n2 + 2\n</think>\n\n4"),
        ({"content": None, "reasoning": "2 + 2"}, "<think>\n2 + 2\n</think>\n\n"),
        ({"content": "4", "reasoning_content": None}, "4"),
    ],
)
def test_what_a_chat_says_is_read_in_every_form(message: dict[str, Any], text: str) -> None:
    request = Request(messages=(Message(role="user", content="Hi"),), sampling=GREEDY)
    (completion,) = read_answer("url", chat_answer(**message), request, None)
    assert completion.text == text


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"tool_calls": [{"id": 7, "function": {"name": "add", "arguments": {"a": 1}}}]}, [("add", '{"a": 1}', "7")]),
        ({"tool_calls": [{"id": None, "function": {"name": "functions.add", "arguments": None}}]}, [("add", "{}", "")]),
        ({"tool_calls": [{"function": None}, {"function": {"name": None}}], "content": "x"}, []),
        ({"function_call": {"name": "add", "arguments": '{"a": 1}'}}, [("add", '{"a": 1}', "")]),
    ],
)
def test_calls_are_read_in_every_form(message: dict[str, Any], calls: list[tuple[str, str, str]]) -> None:
    request = Request(messages=(Message(role="user", content="Hi"),), sampling=GREEDY)
    (completion,) = read_answer("url", chat_answer(**message), request, None)
    assert [(call.name, call.arguments, call.id) for call in completion.tool_calls] == calls


@pytest.mark.parametrize(("arguments", "sent"), [("{'a': 1,}", {"a": 1}), ("add 1", {"unreadable": "add 1"}), ('{"a": 1}', {"a": 1})])
def test_arguments_go_back_as_json(arguments: str, sent: dict[str, Any]) -> None:
    message = message_json(Message(role="assistant", content="", tool_calls=(ToolCall(name="add", arguments=arguments, id="1"),)))
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == sent


@pytest.mark.parametrize(("asked", "served"), [("llama3.2", "llama3.2:latest"), ("gemini", "models/gemini"), ("Qwen", "qwen")])
async def test_a_name_is_matched_to_the_listed_one(stub: Any, asked: str, served: str) -> None:
    engine = FakeEngine(FakeEngine.ALL)

    async def handler(method: str, path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": served}, {"id": "other"}]}
        assert body.get("model", served) == served
        return await engine(method, path, body | {"model": "m"})

    stub.handler = handler
    model = await open_openai(stub.url, asked)
    assert model.name.endswith(f"#{served}")
    await model.close()


async def test_a_name_that_is_not_listed_may_be_served(stub: Any) -> None:
    engine = FakeEngine(FakeEngine.ALL)

    async def handler(method: str, path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": "one"}, {"id": "two"}]}
        return await engine(method, path, body | {"model": "m"})

    stub.handler = handler
    model = await open_openai(stub.url, "one:nitro")
    assert model.name.endswith("#one:nitro")
    await model.close()


@pytest.mark.parametrize("field", ["tools", "response_format", "n", "logprobs", "structured_outputs", "top_k", "continue_final_message"])
async def test_a_feature_that_makes_the_server_fail_is_absent_and_the_rest_works(stub: Any, field: str) -> None:
    engine = FakeEngine(FakeEngine.ALL)

    async def handler(method: str, path: str, body: dict[str, Any]) -> Any:
        if field in (body or {}):
            return 500, {"error": {"message": f"{field} is not implemented"}}
        return await engine(method, path, body)

    stub.handler = handler
    model = await open_openai(stub.url, "m")
    assert (model.facts.chat, model.facts.completions) == (True, True)
    await model.close()


async def test_tools_are_not_refused_where_no_tokens_are_counted(stub: Any) -> None:
    engine = FakeEngine(FakeEngine.ALL)

    async def handler(method: str, path: str, body: dict[str, Any]) -> Any:
        said = await engine(method, path, body)
        return {key: value for key, value in said.items() if key != "usage"} if isinstance(said, dict) else said

    stub.handler = handler
    model = await open_openai(stub.url, "m")
    assert model.capabilities.native_tools
    await model.close()


async def test_prefill_keeps_the_turn_open(stub: Any) -> None:
    stub.handler = FakeEngine(FakeEngine.ALL)
    model = await open_openai(stub.url, "m")
    messages = (Message(role="user", content="Hi"), Message(role="assistant", content="It is"))
    await model.complete(Request(messages=messages, continue_final=True, sampling=GREEDY))
    body = stub.requests[-1][2]
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
    await model.close()


async def test_a_foreign_tokenizer_is_refused(stub: Any, tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    stub.handler = FakeEngine(FakeEngine.ALL)  # its ids are plain bytes, the tiny tokenizer numbers them otherwise
    with pytest.raises(ConfigError, match="not the one"):
        await open_openai(stub.url, "m", tokenizer=tmp_path)
    stub.handler = FakeEngine(FakeEngine.ALL, root=str(tmp_path))
    model = await open_openai(stub.url, "m")
    assert model.renderer is None
    await model.close()


async def test_five_hundred_calls_at_once(stub: Any) -> None:
    running = 0
    full = asyncio.Event()

    async def answer_when_all_are_there(*_: Any) -> Any:
        nonlocal running
        running += 1
        if running == 500:
            full.set()
        await full.wait()
        return answer()

    stub.handler = answer_when_all_are_there
    model = await open_openai(stub.url, "m", facts=PLAIN, timeout_s=60)
    results = await asyncio.gather(*(model.complete(ASK) for _ in range(500)))
    assert [result[0].text for result in results] == ["ok"] * 500
    await model.close()


async def test_the_server_root_is_found_from_the_versioned_url(stub: Any) -> None:
    always(stub, {"version": "1"})
    server = Server(stub.url + "/")
    assert await server.get_root("/version") == {"version": "1"}
    assert stub.requests[-1][1] == "/version"
    assert await server.ready("/health")
    await server.close()
