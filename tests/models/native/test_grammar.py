"""What a template's own calls tell of its grammar, and how that grammar reads what models write."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.models.spoken_folders import FAMILIES, write_folder
from tirage.core.errors import ModelRequestError
from tirage.core.message import Message
from tirage.models.chat_template import ChatTemplate
from tirage.models.native.grammar import Grammar, derive_grammar, split_reasoning
from tirage.models.native.turn import attempt

NAMED = (
    "{%- for m in messages %}{%- if m.role == 'user' %}[INST]{{ m.content }}{{ tools | tojson }}[/INST]"
    "{%- elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]"
    "{%- else %}{{ m.content }}"
    "{%- for c in m.tool_calls %}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}{%- endfor %}"
    "</s>{%- endif %}{%- endfor %}"
)
DROPPING = "{%- for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{%- endfor %}{{ tools | tojson }}"


def grammar_of(source: str, ends: Sequence[str] = ("</s>",)) -> Grammar | None:
    template = ChatTemplate(source, {"bos_token": "<s>", "eos_token": ends[0]})

    def render(messages: Sequence[Message], schemas: Sequence[dict[str, Any]]) -> str:
        return template.render(messages, continue_final=False, tools=schemas)

    return derive_grammar(render, ends)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("hermes", Grammar(shape="object", opening="<tool_call>", closing="</tool_call>")),
        ("qwen2.5", Grammar(shape="object", opening="<tool_call>", closing="</tool_call>")),
        ("qwen3", Grammar(shape="object", opening="<tool_call>", closing="</tool_call>")),
        ("llama3", Grammar(shape="object", opening="", arguments_key="parameters")),
        ("mistral", Grammar(shape="object", opening="[TOOL_CALLS]")),
        ("lfm2", Grammar(shape="python", opening="<|tool_call_start|>", closing="<|tool_call_end|>")),
        ("gpt-oss", Grammar(shape="named", opening="to=functions.", middle="json<|message|>")),
        (
            "deepseek",
            Grammar(
                shape="named", opening="<｜tool▁call▁begin｜>function<｜tool▁sep｜>", middle="```json", closing="```<｜tool▁call▁end｜>"
            ),
        ),
        ("gemma", None),
    ],
)
def test_a_template_tells_its_grammar(family: str, expected: Grammar | None) -> None:
    made = FAMILIES[family]
    assert grammar_of(made.template(), made.ends) == expected


def test_a_name_before_its_arguments() -> None:
    grammar = grammar_of(NAMED)
    assert grammar == Grammar(shape="named", opening="[TOOL_CALLS]", middle="[ARGS]")
    found = list(grammar.read('Well.[TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]mul[ARGS]{"a": 2'))
    assert [(item.name, item.arguments, bool(item.problem)) for item in found] == [("add", '{"a": 1}', False), ("mul", "{}", True)]
    assert [bool(item.problem) for item in grammar.read("[TOOL_CALLS] and nothing")] == [True]


def test_a_template_that_drops_calls_has_no_grammar() -> None:
    assert grammar_of(DROPPING) is None


def test_calls_in_the_syntax_of_python() -> None:
    grammar = Grammar(shape="python", opening="<c>", closing="</c>")
    (one, two) = grammar.read("<c>[add(a=1, b='x]'), json.dumps(ok=true, none=None)]</c>")
    assert (one.name, json.loads(one.arguments), one.problem) == ("add", {"a": 1, "b": "x]"}, "")
    assert (two.name, json.loads(two.arguments)) == ("json.dumps", {"ok": True, "none": None})
    problems = [item.problem for text in ("add(1)", "add(a=open('x'))", "add(a=", "1 + 1") for item in grammar.read(f"<c>[{text}]</c>")]
    assert all(problems)
    assert len(problems) == 4


def test_a_turn_that_is_nothing_but_json() -> None:
    grammar = Grammar(shape="object", opening="", arguments_key="parameters")
    assert [item.name for item in grammar.read('{"name": "a", "parameters": {}}; {"name": "b", "parameters": {"x": 1}}')] == ["a", "b"]
    assert list(grammar.read('The answer is {"name": 1}.')) == []
    assert list(grammar.read('{"x": 1}')) == []
    assert [bool(item.problem) for item in grammar.read('{"name": "a", "parameters": {')] == [True]


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>a</think>b", False, ("a", "b")),
        ("a</think>b", True, ("a", "b")),
        ("a</think>b", False, ("", "a</think>b")),
        ("<think>a<c>b", False, ("a", "<c>b")),
        ("<think>a", False, ("a", "")),
        ("b <think>a</think>", False, ("", "b <think>a</think>")),
    ],
)
def test_reasoning_stands_at_the_front(text: str, opened: bool, expected: tuple[str, str]) -> None:
    assert split_reasoning(text, ("<think>", "</think>"), opened=opened, call="<c>") == expected


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("f", {"a": "é"}, '{"a": "é"}'),
        ("f", '{"a": 1}', '{"a": 1}'),
        ("f", None, "{}"),
        ("f", "[1]", None),
        ("f", "{a", None),
        ("", {}, None),
        (7, {}, None),
    ],
)
def test_foreign_calls_become_typed_or_say_what_is_wrong(name: object, arguments: object, expected: str | None) -> None:
    found = attempt(name, arguments)
    assert (found.problem == "") is (expected is not None)
    assert expected is None or found.arguments == expected


def test_a_template_that_refuses_tools_has_no_grammar() -> None:
    source = "{%- for m in messages %}{%- if m.role != 'user' %}{{ raise_exception('no') }}{%- endif %}{{ m.content }}{%- endfor %}"
    with pytest.raises(ModelRequestError):
        ChatTemplate(source, {}).render([Message(role="tool", content="x")], continue_final=False)
    assert grammar_of(source) is None


def test_the_folder_of_a_family_is_readable(tmp_path: Any) -> None:
    folder = write_folder(tmp_path / "model", FAMILIES["qwen2.5"])
    assert {item.name for item in folder.iterdir()} == {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}
