import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

# As in tirage itself: importing LiteLLM otherwise asks the network for prices, in a thread that complains in the middle of other tests.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
pytest.importorskip("litellm", reason="install tirage[all]")

from tirage.core.errors import CapabilityError, ModelAuthError, ModelError, ModelRateLimited, ModelRequestError, ModelUnavailable
from tirage.core.message import Message, ToolCall
from tirage.models.base import Request, Sampling
from tirage.models.litellm import LiteLLMModel, open_litellm

pytestmark = pytest.mark.filterwarnings("default")  # LiteLLM and what it imports warn about themselves
CHAT = Request(messages=(Message(role="user", content="Hi"),), sampling=Sampling(max_tokens=8))


@pytest.fixture
async def model(stub: Any) -> AsyncIterator[LiteLLMModel]:
    opened = await open_litellm("openai/gpt-4o-mini", api_base=stub.url, api_key="sesame", timeout_s=2.0)
    yield opened
    await opened.close()


def say(stub: Any, response: Any) -> None:
    async def handler(*_: Any) -> Any:
        return response

    stub.handler = handler


def answer(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 1000, "completion_tokens": 3, "total_tokens": 1003}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [choice], "usage": usage}


async def test_a_chat_is_answered_with_usage_and_cost(stub: Any, model: LiteLLMModel) -> None:
    say(stub, answer({"content": "Hello"}))
    (completion,) = await model.complete(
        Request(messages=CHAT.messages, sampling=Sampling(max_tokens=8, temperature=0.5, seed=3, stop=("x",)))
    )
    assert (completion.text, completion.finish, completion.ids) == ("Hello", "stop", None)
    assert (completion.usage.tokens_in, completion.usage.tokens_out) == (1000, 3)
    assert completion.usage.cost_usd > 0
    body = stub.requests[-1][2]
    assert (body["model"], body["temperature"], body["seed"], body["stop"], body["max_tokens"]) == ("gpt-4o-mini", 0.5, 3, ["x"], 8)
    assert model.name == "litellm/openai/gpt-4o-mini"


async def test_tool_calls(stub: Any, model: LiteLLMModel) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "python", "arguments": '{"code": "1"}'}}
    say(stub, answer({"tool_calls": [call]}, "tool_calls"))
    tool = {"type": "function", "function": {"name": "python", "parameters": {"type": "object", "properties": {}}}}
    (completion,) = await model.complete(Request(messages=CHAT.messages, tools=(tool,), sampling=Sampling()))
    assert completion.finish == "tool_calls"
    assert completion.tool_calls == (ToolCall(name="python", arguments='{"code": "1"}', id="c1"),)
    assert stub.requests[-1][2]["tools"] == [tool]


async def test_a_schema(stub: Any, model: LiteLLMModel) -> None:
    say(stub, answer({"content": '{"ok": true}'}))
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    request = Request(messages=CHAT.messages, schema=schema, sampling=Sampling())
    assert model.capabilities.structured
    assert (await model.complete(request))[0].text == '{"ok": true}'
    assert stub.requests[-1][2]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": True, "schema": schema},
    }
    older = await open_litellm("openai/gpt-3.5-turbo", api_base=stub.url, api_key="sesame")
    assert not older.capabilities.structured
    with pytest.raises(CapabilityError, match="replies that follow a JSON schema"):
        await older.complete(request)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ModelRequestError),
        (401, ModelAuthError),
        (404, ModelRequestError),
        (429, ModelRateLimited),
        (500, ModelUnavailable),
        (503, ModelUnavailable),
    ],
)
async def test_errors_are_mapped(stub: Any, model: LiteLLMModel, status: int, kind: type[ModelError]) -> None:
    say(stub, (status, {"error": {"message": "the cat sat on it"}}, {"retry-after": "7"}))
    with pytest.raises(kind, match="the cat sat on it") as caught:
        await model.complete(CHAT)
    if isinstance(caught.value, ModelRateLimited):
        assert caught.value.retry_after_s == 7.0


async def test_a_dead_server_is_unavailable(stub: Any, model: LiteLLMModel) -> None:
    await stub.stop()
    with pytest.raises(ModelUnavailable):
        await model.complete(CHAT)


async def test_what_a_provider_lacks_is_refused(model: LiteLLMModel) -> None:
    assert model.capabilities.native_tools
    assert not model.capabilities.raw_continuation
    for request, words in [
        (Request(ids=(1,), sampling=Sampling()), "raw continuation"),
        (Request(messages=CHAT.messages, sampling=Sampling(logprobs=True)), "log-probabilities"),
        (Request(messages=CHAT.messages, sampling=Sampling(top_k=3)), "top_k"),
    ]:
        with pytest.raises(CapabilityError, match=words):
            await model.complete(request)


async def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ModelRequestError, match="no provider for 'nonesuch-model'"):
        await open_litellm("nonesuch-model")
