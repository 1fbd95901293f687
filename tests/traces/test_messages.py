import json
from dataclasses import replace

from tirage.core.hint import HintPosition, HintUse
from tirage.core.message import Observation, ToolCall
from tirage.core.step import Finish, Source, Span, Step
from tirage.core.trajectory import StopReason
from tirage.core.tree import Tree
from tirage.traces.messages import to_messages, to_sharegpt


def _native(make_rollout, *, arguments='{"code": "6*7"}', as_user_turn=False):
    """A rollout of a chat API: a structured call, its tool message, an answer; optionally a hint as a user turn."""
    tree = Tree(problem_id="p", policy_id="native", seed=0, prompt=(Span(Source.PROMPT, "rendered"),))
    tree.add(
        0,
        Step(
            spans=(Span(Source.POLICY, "I will compute."), Span(Source.TOOL, "42")),
            finish=Finish.CALL,
            calls=(ToolCall(name='py"thon', arguments=arguments, id="call_1"),),
            observations=(Observation(text="42", call_id="call_1"),),
        ),
    )
    spans = [Span(Source.POLICY, "It is 42.")]
    hint = None
    if as_user_turn:
        spans.insert(0, Span(Source.HINT, "Check it."))
        hint = HintUse(hint_id="h", family="f", position=HintPosition.BEFORE_STOP, offset=0, reason="stop", as_user_turn=True)
    tree.add(1, Step(spans=tuple(spans), finish=Finish.STOP, hint=hint), stop=StopReason.ANSWERED)
    tree.chosen = 2
    return replace(make_rollout(), tree=tree, verdicts={})


def test_a_text_dialect_is_one_assistant_turn_as_it_was_read(make_rollout):
    rollout = make_rollout(hinted=True)
    assert to_messages(rollout, 2) == [
        {"role": "user", "content": "What is 6 * 7?"},
        {"role": "assistant", "content": rollout.trajectory.response},
    ]
    assert to_messages(rollout, 3)[1]["content"].endswith("Perhaps 7?")


def test_structured_calls_become_tool_messages(make_rollout):
    call = {"id": "call_1", "type": "function", "function": {"name": 'py"thon', "arguments": '{"code": "6*7"}'}}
    assert to_messages(_native(make_rollout), 2) == [
        {"role": "user", "content": "What is 6 * 7?"},
        {"role": "assistant", "content": "I will compute.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        {"role": "assistant", "content": "It is 42."},
    ]


def test_a_hint_sent_as_a_user_turn_is_one(make_rollout):
    messages = to_messages(_native(make_rollout, as_user_turn=True), 2)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user", "assistant"]
    assert [message["content"] for message in messages[3:]] == ["Check it.", "It is 42."]


def test_sharegpt(make_rollout):
    turns = to_sharegpt(_native(make_rollout), 2)
    assert [turn["from"] for turn in turns] == ["human", "gpt", "function_call", "observation", "gpt"]
    assert json.loads(turns[2]["value"]) == {"name": 'py"thon', "arguments": {"code": "6*7"}}
    broken = to_sharegpt(_native(make_rollout, arguments="{oops"), 2)
    assert json.loads(broken[2]["value"]) == {"name": 'py"thon', "arguments": "{oops"}
