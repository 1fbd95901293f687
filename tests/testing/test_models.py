import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirage.core.errors import DataError, ModelRequestError, ModelUnavailable
from tirage.core.message import Message, ToolCall
from tirage.models.base import Request, Sampling
from tirage.testing.models import ByteRenderer, Recorded, ReplayModel, Reply, ScriptedModel, ScriptError

PLAIN = Sampling()


def ask(text: str = "Hi", tag: str = "", **sampling: object) -> Request:
    return Request(text=text, sampling=Sampling(**sampling), tag=tag)  # type: ignore[arg-type]


async def test_a_queue_is_said_in_order() -> None:
    model = ScriptedModel(["one", Reply(text="two", cut=True)])
    (first,) = await model.complete(ask())
    (second,) = await model.complete(ask())
    assert (first.text, first.finish, first.ids) == ("one", "stop", (111, 110, 101, 256))
    assert (second.text, second.finish, second.ids) == ("two", "length", (116, 119, 111))
    model.assert_done()
    assert [request.text for request in model.requests] == ["Hi", "Hi"]


async def test_a_call_beyond_the_script_is_loud_now_and_later() -> None:
    model = ScriptedModel([])
    with pytest.raises(ScriptError, match=r"tagged 'critic'.*nothing left"):
        await model.complete(ask(tag="critic"))
    with pytest.raises(ScriptError, match="nothing left"):  # even when the code under test swallowed the first one
        model.assert_done()


async def test_what_was_not_said_is_reported() -> None:
    model = ScriptedModel(["a", "b"], tags={"critic": ["good"]})
    await model.complete(ask())
    with pytest.raises(ScriptError, match="1 entries were never said, first 'b'; script for tag 'critic': 1 entries"):
        model.assert_done()


async def test_patterns_functions_and_tags() -> None:
    model = ScriptedModel(
        {r"2 \+ 2": "4", r"capital": ["Paris", "Rome"]}, tags={"critic": lambda request: f"judged {request.sampling.max_tokens}"}
    )
    said = [(await model.complete(ask(text)))[0].text for text in ("capital?", "2 + 2", "capital?", "2 + 2")]
    assert said == ["Paris", "4", "Rome", "4"]
    assert (await model.complete(ask(tag="critic", max_tokens=99)))[0].text == "judged 99"
    with pytest.raises(ScriptError, match="no pattern"):
        await model.complete(ask("something else"))


async def test_the_first_stop_string_to_be_complete_fires() -> None:
    model = ScriptedModel(["ab```output\nrest"] * 2)
    (completion,) = await model.complete(ask(stop=("rest", "```output", "```")))
    assert (completion.text, completion.finish, completion.stop_string) == ("ab```", "stop_string", "```")
    assert completion.ids == tuple(b"ab```")


async def test_max_tokens_cuts_between_bytes() -> None:
    model = ScriptedModel(["é!", "abc"])
    (completion,) = await model.complete(ask(max_tokens=1))
    assert (completion.text, completion.ids, completion.finish) == ("\ufffd", (0xC3,), "length")
    (exact,) = await model.complete(ask(max_tokens=3))
    assert (exact.text, exact.finish) == ("abc", "length")  # the end of turn did not fit


async def test_errors_are_raised_and_n_takes_several() -> None:
    model = ScriptedModel([ModelUnavailable("down"), "a", "b"])
    with pytest.raises(ModelUnavailable, match="down"):
        await model.complete(ask())
    draws = await model.complete(ask(n=2, logprobs=True))
    assert [draw.text for draw in draws] == ["a", "b"]
    assert [draw.usage.tokens_in for draw in draws] == [2, 0]
    assert all(len(draw.logprobs or ()) == len(draw.ids or ()) for draw in draws)


async def test_modes_declare_and_refuse() -> None:
    chat = ScriptedModel([Reply(tool_calls=(ToolCall(name="python", arguments="{}"),))], mode="chat")
    (completion,) = await chat.complete(Request(messages=(Message(role="user", content="x"),), sampling=PLAIN, tools=({"a": 1},)))
    assert completion.finish == "tool_calls"
    assert completion.ids is None
    with pytest.raises(ModelRequestError, match="chat-only"):
        await chat.complete(ask())
    text = ScriptedModel(["x"], mode="text")
    assert text.renderer is None
    with pytest.raises(ModelRequestError, match="no token ids"):
        await text.complete(Request(ids=(1,), sampling=PLAIN))
    bound = Request(messages=(Message(role="user", content="x"),), sampling=PLAIN, schema={"type": "object"})
    with pytest.raises(ModelRequestError, match="no reply to a schema"):
        await text.complete(bound)
    assert (await ScriptedModel(["{}"], mode="chat").complete(bound))[0].text == "{}"
    with pytest.raises(TypeError, match="not one text"):
        ScriptedModel("hello")


@given(st.lists(st.integers(0, 256), max_size=30))
def test_byte_renderer_token_ends(ids: list[int]) -> None:
    renderer = ByteRenderer()
    ends = renderer.token_ends(tuple(ids))
    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    assert not ends or ends[-1] == len(renderer.decode(tuple(ids)))


def test_byte_renderer_renders_chats() -> None:
    user = Message(role="user", content="Hi")
    assert ByteRenderer().render((user,))[0].text == "<|user|>\nHi\n<|assistant|>\n"
    assert ByteRenderer().render((user, Message(role="assistant", content="It")))[0].text == "<|user|>\nHi\n<|assistant|>\nIt"
    assert ByteRenderer(thinks=True).think_markers == ("<think>", "</think>")


async def test_a_transcript_drives_an_agent_turn_by_turn() -> None:
    whole = "Let me see.\n```python\nprint(4)\n```\n```output\n4\n```\nIt is 4."
    model = ReplayModel({"2 + 2?\n": whole})
    stop = ("```output",)
    (first,) = await model.complete(ask("2 + 2?\n", stop=stop))
    assert first.text == "Let me see.\n```python\nprint(4)\n```\n```output"
    (second,) = await model.complete(Request(ids=tuple(("2 + 2?\n" + first.text + "\n4\n```\n").encode()), sampling=Sampling(stop=stop)))
    assert (second.text, second.finish) == ("It is 4.", "stop")
    assert second.ids == (*b"It is 4.", 256)
    with pytest.raises(ModelRequestError, match=r"differs at character 52: recorded \.\.\.'4"):
        await model.complete(ask("2 + 2?\n" + first.text + "\n5\n```\n"))


async def test_several_transcripts_of_one_prompt_are_draws(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text("".join(json.dumps({"prompt": "Q", "text": text}) + "\n" for text in ("a", "b")))
    draws = await ReplayModel.load(file).complete(ask("Q", n=3))
    assert [draw.text for draw in draws] == ["a", "b", "a"]


async def test_what_was_recorded_is_replayed(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    request = ask("Q", n=2, temperature=1.0, seed=3, logprobs=True)
    said = await Recorded(ScriptedModel(["a", "b"]), file).complete(request)
    replay = ReplayModel.load(file)
    assert await replay.complete(request) == said
    assert replay.name == f"replay/{file}"
    with pytest.raises(ModelRequestError, match=r"no answer to this request \(draw 0\); it holds no transcripts"):
        await replay.complete(ask("Q", temperature=1.0, seed=4))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"prompt": "x"}', "prompt and text"),
        ('{"key": "x", "completion": {"text": 1, "finish": "stop"}}', "Completion.text"),
    ],
)
def test_a_broken_recording_names_the_line(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"prompt": "a", "text": "b"}\n\n' + line + "\n")
    with pytest.raises(DataError, match=words) as caught:
        ReplayModel.load(file)
    if "Completion" not in words:
        assert f"{file}:3" in str(caught.value)
    with pytest.raises(DataError, match="no recording"):
        ReplayModel.load(tmp_path / "nothing.jsonl")
