"""What a model is sent next begins with everything it was sent, sampled and shown, to the token, over real tokenizers and templates."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.agents.exactness import CODES, PROBLEM, Write, arguments, check_row, check_stream, check_texts, hermes, perform
from tests.models.spoken_folders import FAMILIES, write_folder
from tirage.agents.dialects.base import FencedPython, NativeTools
from tirage.agents.model_policy import ModelPolicy
from tirage.core import Source, StopReason
from tirage.models.base import Sampling
from tirage.models.template import HFRenderer
from tirage.sandbox.base import ExecResult
from tirage.testing.spoken import SpokenModel
from tirage.tools.python import PythonTool

pytest.importorskip("tokenizers", reason="install tirage[local]")


def xml(codes: Sequence[str]) -> str:
    return "\n".join(f"<tool_call>\n<function=python>\n<parameter=code>\n{code}\n</parameter>\n</function>\n</tool_call>" for code in codes)


def glm(codes: Sequence[str]) -> str:
    return "\n".join(f"<tool_call>python\n<arg_key>code</arg_key>\n<arg_value>{code}</arg_value>\n</tool_call>" for code in codes)


def llama(codes: Sequence[str]) -> str:
    return "; ".join(f'{{"name": "python", "parameters": {arguments(code)}}}' for code in codes)


def mistral(codes: Sequence[str]) -> str:
    items = (f'{{"name": "python", "arguments": {arguments(code)}, "id": "abcdefgh{number}"}}' for number, code in enumerate(codes))
    return f"[TOOL_CALLS] [{', '.join(items)}]"


def harmony(codes: Sequence[str]) -> str:
    return "".join(f"<|channel|>commentary to=functions.python <|constrain|>json<|message|>{arguments(code)}" for code in codes)


def gemma4(codes: Sequence[str]) -> str:
    return "".join(f'<|tool_call>call:python{{code:<|"|>{code}<|"|>}}<tool_call|>' for code in codes)


def deepseek(codes: Sequence[str]) -> str:
    begin = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>python\n```json\n"
    return (
        "<｜tool▁calls▁begin｜>" + "\n".join(f"{begin}{arguments(code)}\n```<｜tool▁call▁end｜>" for code in codes) + "<｜tool▁calls▁end｜>"
    )


def python(codes: Sequence[str]) -> str:
    return f"<|tool_call_start|>[{', '.join(f'python(code={code!r})' for code in codes)}]<|tool_call_end|>"


WRITERS: dict[str, tuple[Write, str, int]] = {
    "hermes": (hermes, "First I compute.\n", 3),
    "qwen2.5": (hermes, "First I compute.\n", 3),
    "qwen3": (hermes, "<think>\nI may <tool_call> later.\n</think>\n\nFirst I compute.\n", 3),
    "qwen3.5": (xml, "I may <tool_call> later.\n</think>\n\n", 3),
    "llama3": (llama, "", 1),
    "gemma4": (gemma4, "", 3),
    "mistral": (mistral, "", 3),
    "gpt-oss": (harmony, "<|channel|>analysis<|message|>I compute.<|end|><|start|>assistant", 1),
    "glm": (glm, "\n<think>I compute.</think>\n", 3),
    "lfm2": (python, "", 3),
    "deepseek": (deepseek, "First I compute.", 3),
}
"""How each family calls, what it says before, and how many calls a turn may have."""
CALL_ENDS = {"gpt-oss": "<|call|>", "gemma4": "<|tool_response>", "glm": "<|observation|>"}
"""What ends a turn of calls, where that is not the end-of-sequence token."""


@pytest.fixture(scope="session")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HFRenderer]:
    @cache
    def opened(family: str) -> HFRenderer:
        return HFRenderer(write_folder(tmp_path_factory.mktemp("family") / "model", FAMILIES[family]))

    return opened


def native_script(family: str) -> list[str]:
    write, before, most = WRITERS[family]
    end = CALL_ENDS.get(family, "")
    return [before + write(CODES[:1]) + end, write(CODES[: min(2, most)]) + end, write(CODES[2:]) + end, "So \\boxed{42}."]


FENCED = [f"I compute.\n```python\n{CODES[0]}\n```\n```output", f"```python\n{CODES[2]}\n```\n```output", "So \\boxed{42}."]


@pytest.mark.parametrize("family", FAMILIES)
async def test_fences_are_exact_to_the_token(family: str, renderer: Callable[[str], HFRenderer]) -> None:
    model = SpokenModel(renderer(family), FENCED)
    tree = await perform(FencedPython(), model)
    assert tree.trajectory(tree.chosen).stop is StopReason.ANSWERED
    assert len(model.requests) == 3
    check_stream(tree, model)
    check_texts(tree, model.renderer)
    check_row(tree, model)


@pytest.mark.parametrize("family", WRITERS)
async def test_native_calls_are_exact_to_the_token(family: str, renderer: Callable[[str], HFRenderer]) -> None:
    model = SpokenModel(renderer(family), native_script(family))
    tree = await perform(NativeTools(), model)
    assert tree.trajectory(tree.chosen).stop is StopReason.ANSWERED
    steps = [node.step for node in tree.path(tree.chosen) if node.step is not None]
    most = WRITERS[family][2]
    expected = [CODES[:1], CODES[: min(2, most)], CODES[2:], ()]
    assert [tuple(json.loads(call.arguments)["code"] for call in step.calls) for step in steps] == expected
    check_stream(tree, model)
    check_texts(tree, model.renderer)
    check_row(tree, model)
    # Each result is the text of one span, in order, as it is or as a JSON string.
    for step in steps:
        shown = [span.text for span in step.spans if span.source is Source.TOOL]
        told = [observation.text for observation in step.observations]
        assert shown in (told, [json.dumps(text, ensure_ascii=False)[1:-1] for text in told])
    prompt = "".join(span.text for span in tree.prompt)
    assert '"code"' in prompt or "code:" in prompt


@pytest.mark.parametrize("family", ["hermes", "qwen2.5", "qwen3", "llama3", "mistral", "deepseek"])
async def test_results_stand_where_the_template_puts_them(family: str, renderer: Callable[[str], HFRenderer]) -> None:
    """Rendered from messages, the same conversation ends in the same text, wherever the template keeps what was sampled."""
    from tirage.core import Message, ToolCall

    write, _, _ = WRITERS[family]
    cells = {CODES[0]: ExecResult(stdout="42")}
    model = SpokenModel(renderer(family), [write(CODES[:1]), "So 42."])
    tree = await perform(NativeTools(), model, cells)
    step = tree.path(tree.chosen)[0].step
    assert step is not None
    call_id = step.calls[0].id or "call00000"
    call = ToolCall(name="python", arguments=arguments(CODES[0]), id=call_id)
    turn = Message(role="assistant", content="", tool_calls=(call,))
    result = Message(role="tool", content=step.observations[0].text, tool_call_id=call_id)
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=PROBLEM.prompt), turn, result)
    full = model.renderer.render_text(messages, continue_final=False, tools=[PythonTool().spec.schema()])
    sampled = model.renderer.backend.decode(list(model.sampled[0]), skip_special_tokens=False)
    behind = "".join(span.text for span in step.spans if span.source is not Source.POLICY)
    assert full.endswith(sampled + behind) or full.endswith(behind)
    assert behind


@pytest.mark.parametrize("family", ["chatml", "gemma"])
def test_a_template_without_tools_is_refused_with_the_way_out(family: str, renderer: Callable[[str], HFRenderer]) -> None:
    from tirage.core.errors import CapabilityError

    with pytest.raises(CapabilityError, match=r"does not show tool schemas.*fenced-python") as raised:
        ModelPolicy(SpokenModel(renderer(family), []), NativeTools(), sampling=Sampling())
    assert "\n" not in str(raised.value)


def test_a_template_that_refuses_tools_is_refused_in_one_line(tmp_path: Path) -> None:
    from dataclasses import replace

    from tirage.core.errors import CapabilityError

    source = "{%- if tools %}{{ raise_exception('no tools here') }}{%- endif %}{%- for m in messages %}{{ m.content }}{%- endfor %}"
    opened = HFRenderer(write_folder(tmp_path / "model", replace(FAMILIES["qwen2.5"], template=lambda: source)))
    with pytest.raises(CapabilityError, match=r"no tools here.*fenced-python") as raised:
        ModelPolicy(SpokenModel(opened, []), NativeTools(), sampling=Sampling())
    assert "\n" not in str(raised.value)


def test_the_folders_are_as_different_as_they_should_be(renderer: Callable[[str], HFRenderer], tmp_path: Path) -> None:
    opened = [renderer(family) for family in FAMILIES]
    assert len({item.hash for item in opened}) == len(FAMILIES)
    assert renderer("mistral").dummy_prefix
