"""A span's ids add its text, and nothing else, to what comes before: over real tokenizers and over layouts built for the test."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.kinds import KINDS, write_kind
from tirage.core.message import Message
from tirage.models.embedded import nano_path
from tirage.models.template import HFRenderer

TEXTS = (
    " for n in range(3):\n    print(n)\n",
    "```python\nx = 1\n```\n```output\n  42 \n```\n",
    "So \\boxed{42}.",
    "naïve café, 数学 🎉",
    "é as two characters",
    "  two  spaces  ",
    "\n\n",
    " ",
    "the in\n the\n  in",
    "</s> <s> <|im_end|> <|eot_id|> [INST] are words here",
)


@pytest.fixture(scope="module")
def renderers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HFRenderer]:
    root = tmp_path_factory.mktemp("kinds")
    return {**{kind: HFRenderer(write_kind(root / kind, kind)) for kind in KINDS}, "nano": HFRenderer(nano_path())}


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> HFRenderer:
    """Mistral 7B v0.1's own tokenizer, with its dummy prefix."""
    package = pytest.importorskip("mistral_common", reason="install mistral-common: it ships the tokenizer")
    pytest.importorskip("sentencepiece", reason="install sentencepiece, which reads it")
    pytest.importorskip("transformers", reason="install tirage[local]")
    folder = tmp_path_factory.mktemp("mistral")
    shutil.copy(Path(package.__file__).parent / "data" / "tokenizer.model.v1", folder / "tokenizer.model")
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", "legacy": True, **names}))
    return HFRenderer(folder)


def splits(text: str) -> Iterator[tuple[str, ...]]:
    """The text in one, in two at every place, and letter by letter."""
    yield (text,)
    yield from ((text[:place], text[place:]) for place in range(1, len(text)))
    yield tuple(text)


def check(renderer: HFRenderer, spans: tuple[str, ...]) -> None:
    before = renderer.encode_prompt("Question")
    done, ids = renderer.decode(before), list(before)
    for span in spans:
        own = renderer.encode(span)
        ids += own
        assert renderer.decode(tuple(ids)) == done + span
        assert renderer.decode(own) == span
        ends = renderer.token_ends(own)
        assert len(ends) == len(own)
        assert ends[-1:] == [len(span)]
        assert ends == sorted(ends)
        done += span


@pytest.mark.parametrize("kind", [*KINDS, "nano"])
def test_spans_add_their_text(renderers: dict[str, HFRenderer], kind: str) -> None:
    for text in TEXTS:
        for spans in splits(text):
            check(renderers[kind], spans)


def test_spans_add_their_text_with_a_real_dummy_prefix(mistral: HFRenderer) -> None:
    assert mistral.dummy_prefix
    for text in TEXTS:
        for spans in splits(text):
            check(mistral, spans)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="▁"), min_size=1, max_size=8), max_size=5))
def test_any_spans_add_their_text(renderers: dict[str, HFRenderer], spans: list[str]) -> None:
    for kind in ("chatml", "mistral", "zephyr", "gemma"):
        check(renderers[kind], tuple(spans))


def test_a_prompt_keeps_its_dummy_prefix(mistral: HFRenderer, renderers: dict[str, HFRenderer]) -> None:
    assert mistral.encode_prompt("def f") == (801, 285)  # ▁def ▁f
    assert mistral.encode("def f") == (1270, 285)  # def ▁f
    assert mistral.encode(" def f") == (801, 285)
    assert {kind for kind, renderer in renderers.items() if renderer.dummy_prefix} == {"mistral", "zephyr"}


def test_a_continuation_keeps_its_first_space(mistral: HFRenderer) -> None:
    """What a policy writes after an indented line would else be an IndentationError."""
    first, second = mistral.encode("def f():\n"), mistral.encode("    return 1\n")
    assert mistral.decode(second) == "    return 1\n"
    assert mistral.decode((*first, *second)) == "def f():\n    return 1\n"
    assert mistral.token_ends(second)[0] > 0


def test_prompts_equal_those_of_transformers(mistral: HFRenderer) -> None:
    transformers = pytest.importorskip("transformers", reason="install tirage[local]")
    reference = transformers.AutoTokenizer.from_pretrained(mistral.folder)
    for text in ("<s>[INST] Hi there [/INST]", " leading", "a\n  b"):
        assert mistral.encode_prompt(text) == tuple(reference.encode(text, add_special_tokens=False))


def test_tokens_that_swallow_blanks_beside_them_do_not_in_a_span(tmp_path: Path) -> None:
    folder = write_kind(tmp_path, "thinking")
    data = json.loads((folder / "tokenizer.json").read_text())
    for token in data["added_tokens"]:
        token["lstrip"] = token["rstrip"] = True
    (folder / "tokenizer.json").write_text(json.dumps(data))
    check(HFRenderer(folder), ("so \n", "<think>\n hm \n</think>\n\n", " 42"))


@pytest.mark.parametrize(("kind", "markers"), [("magistral", ("[THINK]", "[/THINK]")), ("thinking", ("<think>", "</think>"))])
def test_thinking_markers_are_seen_and_written_as_tokens(renderers: dict[str, HFRenderer], kind: str, markers: tuple[str, str]) -> None:
    renderer = renderers[kind]
    assert renderer.think_markers == markers
    for marker in markers:
        assert len(renderer.encode(marker)) == 1
        assert len(renderer.encode(f"{marker}\n")) == 2
        assert renderer.decode(renderer.encode(f"{marker}\n")) == f"{marker}\n"


def test_harmonys_markers_are_several_tokens(renderers: dict[str, HFRenderer]) -> None:
    renderer = renderers["harmony"]
    assert renderer.think_markers == ("<|channel|>analysis<|message|>", "<|end|>")
    opened = renderer.encode("<|channel|>analysis<|message|>\n")
    assert len(opened) == 2 + len("analysis") + 1
    assert renderer.decode(opened) == "<|channel|>analysis<|message|>\n"
    told = renderer.encode("a tool said <|channel|>analysis<|message|> here")
    assert not set(told) & {renderer.backend.token_to_id(text) for text in ("<|channel|>", "<|message|>")}


def test_thinking_follows_the_switch(tmp_path: Path) -> None:
    folder = write_kind(tmp_path / "a", "thinking")
    assert HFRenderer(folder, switches={"enable_thinking": False}).think_markers is None
    begun = HFRenderer(folder, chat_template="{{ messages[0].content }}{% if add_generation_prompt %}\nA: <think>\n{% endif %}")
    assert begun.thinking is not None
    assert begun.thinking.begun == "prompt"
    plain = HFRenderer(write_kind(tmp_path / "b", "chatml"), chat_template="{{ messages[0].content }}{# <thought> and </thought> #}")
    assert plain.think_markers == ("<thought>", "</thought>"), "as plain text where the template names them"
    assert plain.render((Message(role="user", content="Hi"),))[0].text == "Hi"
