import datetime
from pathlib import Path

import pytest

from tests.models.kinds import CHATML, KINDS, write_kind
from tirage.core.errors import ConfigError
from tirage.core.message import Message
from tirage.models.chat_template import PROMPT_DATE, ChatTemplate, Habits
from tirage.models.template import HFRenderer

SYSTEM = Message(role="system", content="Be brief.")
USER = Message(role="user", content="What is 2 + 2?")
MORE = Message(role="user", content="And 3 + 3?")
REPLY = Message(role="assistant", content="4")


@pytest.fixture(scope="module")
def renderers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HFRenderer]:
    root = tmp_path_factory.mktemp("kinds")
    return {kind: HFRenderer(write_kind(root / kind, kind)) for kind in KINDS}


def habits(renderer: HFRenderer) -> Habits:
    assert renderer.template is not None
    return renderer.template.habits


def test_habits_are_seen_by_rendering(renderers: dict[str, HFRenderer]) -> None:
    seen = {kind: habits(renderer) for kind, renderer in renderers.items()}
    assert {kind for kind, found in seen.items() if found.system == "folded"} == {"gemma", "mistral"}
    assert {kind for kind, found in seen.items() if found.alternation} == {"gemma", "mistral"}
    assert {kind for kind, found in seen.items() if found.tools} == {"thinking", "llama3", "harmony"}
    assert {kind: found.default_system for kind, found in seen.items() if found.default_system is not None} == {
        "chatml": "You are a helpful assistant.",
        "zephyr": "You are a helpful assistant.",
    }
    assert not [kind for kind, found in seen.items() if found.broken is not None]
    assert seen["gemma"].opening == "<start_of_turn>model\n"
    assert seen["mistral"].opening == ""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_renders_system_and_neighbours(renderers: dict[str, HFRenderer], kind: str) -> None:
    text = renderers[kind].render_text((SYSTEM, USER, MORE, REPLY, USER), continue_final=False)
    places = [text.index(part) for part in ("Be brief.", "What is 2 + 2?", "And 3 + 3?")]
    assert places == sorted(places)
    assert text.count("What is 2 + 2?") == 2


def test_what_a_template_without_system_role_is_told(renderers: dict[str, HFRenderer]) -> None:
    text = renderers["gemma"].render_text((SYSTEM, USER), continue_final=False)
    assert text == "<bos><start_of_turn>user\nBe brief.\n\nWhat is 2 + 2?<end_of_turn>\n<start_of_turn>model\n"
    text = renderers["mistral"].render_text((SYSTEM, USER, MORE, REPLY, USER), continue_final=False)
    assert text == "<s>[INST] Be brief.\n\nWhat is 2 + 2?\n\nAnd 3 + 3? [/INST]4</s>[INST] What is 2 + 2? [/INST]"


def test_templates_that_take_neighbours_get_them_as_they_are(renderers: dict[str, HFRenderer]) -> None:
    assert renderers["llama3"].render_text((USER, MORE), continue_final=False).count("user<|end_header_id|>") == 2


def test_a_template_that_drops_the_system_message_gets_it_in_the_users_turn() -> None:
    silent = ChatTemplate("{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}", {})
    assert silent.habits.system == "folded"
    assert silent.render((SYSTEM, USER), continue_final=False) == "[user]Be brief.\n\nWhat is 2 + 2?"


def test_content_as_parts() -> None:
    seeing = (
        "{% for m in messages %}[{{ m.role }}]{% for part in m.content if part.type == 'text' %}{{ part.text }}{% endfor %}{% endfor %}"
    )
    assert ChatTemplate(seeing, {}).render((SYSTEM, USER), continue_final=False) == "[system]Be brief.[user]What is 2 + 2?"


def test_the_clock_stands_still(renderers: dict[str, HFRenderer], tmp_path: Path) -> None:
    assert datetime.date(2024, 7, 26) == PROMPT_DATE
    assert "Today Date: 26 Jul 2024\n" in renderers["llama3"].render_text((USER,), continue_final=False)
    assert "Current date: 2024-07-26\n" in renderers["harmony"].render_text((USER,), continue_final=False)
    folder = write_kind(tmp_path, "harmony")
    for told in ("2025-01-31", "31 Jan 2025", datetime.date(2025, 1, 31)):
        text = HFRenderer(folder, switches={"date_string": told}).render_text((USER,), continue_final=False)
        assert "Current date: 2025-01-31\n" in text
    with pytest.raises(ConfigError, match=r"date_string: 'soon' is no date; write it as"):
        HFRenderer(folder, switches={"date_string": "soon"})


def test_the_date_of_a_template_that_reads_it_itself(tmp_path: Path) -> None:
    folder = write_kind(tmp_path, "llama3")
    text = HFRenderer(folder, switches={"date_string": datetime.date(2025, 1, 31)}).render_text((USER,), continue_final=False)
    assert "Today Date: 31 Jan 2025\n" in text


def test_switches_reach_the_template(tmp_path: Path) -> None:
    folder = write_kind(tmp_path / "a", "thinking")
    off = HFRenderer(folder, switches={"enable_thinking": False})
    assert off.render((USER,))[0].text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert HFRenderer(folder).render((USER,))[0].text.endswith("<|im_start|>assistant\n")
    effort = HFRenderer(write_kind(tmp_path / "b", "harmony"), switches={"reasoning_effort": "high"})
    assert "Reasoning: high<|end|>" in effort.render((USER,))[0].text


def test_unknown_switches_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no switch 'enable_thinkin'; its switches: date_string, enable_thinking$"):
        HFRenderer(write_kind(tmp_path, "thinking"), switches={"enable_thinkin": False})
    base = write_kind(tmp_path / "base", "chatml", template=None)
    with pytest.raises(ConfigError, match="has no chat template that could have switches"):
        HFRenderer(base, switches={"enable_thinking": False})


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for message in messages %}{{ message.content }}", "does not compile: Unexpected end of template"),
        ("{{ messages[0].content | nonsense }}", "does not compile: No filter named 'nonsense'"),
        ("{{ render_all(messages) }}", "cannot render a plain user message: 'render_all' is undefined"),
        ("{{ raise_exception('no\nway') }}", "cannot render a plain user message: no way"),
        ("{{ messages[0].content + 1 }}", "cannot render a plain user message: can only concatenate str"),
        ("{{ 1 // 0 }}", "cannot render a plain user message: "),
        ("nothing of it", "cannot render a plain user message: it drops the user's message"),
    ],
)
def test_broken_templates_are_told_in_one_line_with_the_remedy(tmp_path: Path, template: str, said: str) -> None:
    folder = write_kind(tmp_path, "chatml", template=template)
    with pytest.raises(ConfigError) as caught:
        HFRenderer(folder).check()
    assert said in str(caught.value)
    assert str(caught.value).endswith("--set model_options.chat_template=FILE")
    assert "\n" not in str(caught.value)


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    base = write_kind(tmp_path / "base", "chatml", template=None)
    with pytest.raises(ConfigError, match=r"has no chat template; give one with --set model_options\.chat_template=FILE"):
        HFRenderer(base).render((USER,))
    file = tmp_path / "mine.jinja"
    file.write_text(CHATML)
    for given in (str(file), CHATML):
        assert HFRenderer(base, chat_template=given).render((USER,))[0].text.endswith("<|im_start|>assistant\n")
    with pytest.raises(ConfigError, match=r"nowhere\.jinja cannot be read"):
        HFRenderer(base, chat_template=str(tmp_path / "nowhere.jinja"))


def test_a_folder_without_a_turn_end(tmp_path: Path) -> None:
    folder = write_kind(tmp_path, "magistral")
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"names no end-of-turn token.*set eos_token"):
        HFRenderer(folder).check()


@pytest.mark.parametrize("kind", KINDS)
def test_content_that_spells_control_tokens_stays_text(renderers: dict[str, HFRenderer], kind: str) -> None:
    renderer = renderers[kind]
    specials = [token.content for token in renderer.backend.get_added_tokens_decoder().values() if token.special]
    plain = renderer.render((SYSTEM, USER))[0]
    for spelled in specials:
        hostile = Message(role="user", content=f"What is {spelled}{spelled} 2 + 2?")
        span = renderer.render((SYSTEM, hostile))[0]
        assert plain.ids is not None
        assert span.ids is not None
        assert f"What is {spelled}{spelled} 2 + 2?" in span.text
        for token, added in renderer.backend.get_added_tokens_decoder().items():
            if added.special:
                assert span.ids.count(token) == plain.ids.count(token), added.content
        assert f"What is {spelled}{spelled} 2 + 2?" in renderer.decode(span.ids)
