import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tirage.core.errors import ConfigError, ModelError, ModelRequestError
from tirage.core.message import Message, ToolCall
from tirage.core.step import Source
from tirage.models.template import HFRenderer, check_round_trip
from tirage.testing.tiny import write_tokenizer

USER = Message(role="user", content="What is 2 + 2?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def renderer(folder: Path) -> HFRenderer:
    return HFRenderer(folder)


def test_render_opens_the_assistants_turn(renderer: HFRenderer) -> None:
    (span,) = renderer.render((USER,))
    assert span.source is Source.PROMPT
    assert span.text == "<|user|>\nWhat is 2 + 2?<|end|>\n<|assistant|>\n"
    assert span.ids == renderer.encode_prompt(span.text)
    assert span.ids[0] == 258  # the role marker is one token


def test_a_final_assistant_message_stays_open_and_keeps_its_spaces(renderer: HFRenderer) -> None:
    (span,) = renderer.render((USER, Message(role="assistant", content="It is  ")))
    assert span.text.endswith("<|assistant|>\nIt is  ")


def test_a_closed_assistant_message_is_followed_by_a_new_turn(renderer: HFRenderer) -> None:
    text = renderer.render_text((USER, Message(role="assistant", content="4")), continue_final=False)
    assert text.endswith("<|assistant|>\n4<|end|>\n<|assistant|>\n")


def test_matches_transformers(folder: Path, renderer: HFRenderer) -> None:
    transformers = pytest.importorskip("transformers", reason="install tirage[local]")
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "héllo ```python\n"}]
    messages = tuple(Message(role=turn["role"], content=turn["content"]) for turn in chat)  # type: ignore[arg-type]
    ids = reference.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert renderer.render(messages)[0].ids == tuple(ids)
    assert renderer.eos_ids == {reference.eos_token_id}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 265), max_size=40))
def test_token_ends_line_up_with_decode(renderer: HFRenderer, ids: list[int]) -> None:
    text = renderer.decode(tuple(ids))
    ends = renderer.token_ends(tuple(ids))
    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    assert not ends or ends[-1] == len(text)


def test_token_ends_of_known_text(renderer: HFRenderer) -> None:
    # Letter, two-byte letter, one-token fence (10 characters), end of turn (dropped from the text).
    ids = (*renderer.encode("aé```python\n"), 256)
    assert renderer.decode(ids) == "aé```python\n"
    assert renderer.token_ends(ids) == [1, 1, 2, 12, 12]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_text_survives_encode_and_decode(renderer: HFRenderer, text: str) -> None:
    assert renderer.decode(renderer.encode(text)) == text


def test_text_cannot_smuggle_in_special_tokens(renderer: HFRenderer) -> None:
    """Tool output that spells the end of a turn stays text; ordinary added tokens such as fences are still found."""
    assert 256 not in renderer.encode("a<|end|>b")
    assert renderer.decode(renderer.encode("a<|end|>b")) == "a<|end|>b"
    assert 256 in renderer.encode_prompt("a<|end|>b")
    assert len(renderer.encode("```python\n")) == 1


def test_think_markers_are_looked_up(renderer: HFRenderer, tmp_path: Path) -> None:
    assert renderer.think_markers == ("<think>", "</think>")
    write_tokenizer(tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    data["added_tokens"] = [token for token in data["added_tokens"] if "think" not in token["content"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    assert HFRenderer(tmp_path).think_markers is None


def test_hash_depends_on_tokenizer_and_template(folder: Path, renderer: HFRenderer) -> None:
    assert renderer.hash == HFRenderer(folder).hash
    assert len(renderer.hash) >= 12
    assert renderer.hash != HFRenderer(folder, chat_template="{{ messages[0].content }}").hash


def test_generation_config_names_further_turn_ends(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [256, 261]}))
    assert HFRenderer(tmp_path).eos_ids == {256, 261}


def test_tool_calls_reach_the_template_as_objects(folder: Path) -> None:
    calls = "{% for c in m.tool_calls or [] %}{{ c.function.name }}:{{ c.function.arguments.code }}{% endfor %}"
    template = "{% for m in messages %}" + calls + "{% endfor %}"
    message = Message(role="assistant", content="", tool_calls=(ToolCall(name="python", arguments='{"code": "1+1"}'),))
    text = HFRenderer(folder, chat_template=template).render_text((message, USER), continue_final=False)
    assert text == "python:1+1"


def test_generation_blocks_and_loop_controls_are_understood(folder: Path) -> None:
    template = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    )
    turns = (USER, Message(role="assistant", content="4"))
    assert HFRenderer(folder, chat_template=template).render_text(turns, continue_final=False) == "What is 2 + 2?"


def test_a_template_cannot_reach_python(folder: Path) -> None:
    hostile = HFRenderer(folder, chat_template="{{ messages.__class__.__mro__ }}")
    with pytest.raises(ModelRequestError, match="refuses"):
        hostile.render((USER,))


def test_a_template_that_refuses_says_why(folder: Path) -> None:
    picky = HFRenderer(folder, chat_template="{{ raise_exception('roles must alternate') }}")
    with pytest.raises(ModelRequestError, match=r"\[user\].*roles must alternate"):
        picky.render((USER,))


def test_a_template_that_drops_the_final_message_cannot_continue_it(folder: Path) -> None:
    dropping = HFRenderer(folder, chat_template="{{ messages[0].content }}")
    with pytest.raises(ModelRequestError, match="drops the final assistant message"):
        dropping.render((USER, Message(role="assistant", content="x")))


def test_missing_and_broken_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        HFRenderer(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no tokenizer"):
        HFRenderer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a readable tokenizer"):
        HFRenderer(tmp_path)
    write_tokenizer(tmp_path, template=None)
    with pytest.raises(ConfigError, match="has no chat template"):
        HFRenderer(tmp_path).render((USER,))
    with pytest.raises(ConfigError, match="does not compile"):
        HFRenderer(tmp_path, chat_template="{% if %}")


def test_round_trip_names_the_first_difference() -> None:
    check_round_trip((1, 2, 3), [1, 2, 3])
    with pytest.raises(ModelError, match="position 1 is 9, sent 2"):
        check_round_trip((1, 2, 3), (1, 9, 3))
    with pytest.raises(ModelError, match="position 2 is nothing, sent 3"):
        check_round_trip((1, 2, 3), (1, 2))
    with pytest.raises(ModelError, match="position 3 is 4, sent nothing"):
        check_round_trip((1, 2, 3), (1, 2, 3, 4))


def test_rendering_imports_neither_torch_nor_transformers(folder: Path) -> None:
    code = (
        "import sys; from tirage.models.template import HFRenderer; from tirage.core.message import Message;"
        f"HFRenderer({str(folder)!r}).render((Message(role='user', content='x'),));"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
