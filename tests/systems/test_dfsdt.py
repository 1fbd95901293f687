"""DFSDT: what has to hold for it to work, on a chat model with native tool calls, on text, and on the real sandbox."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import pytest

from tests.systems.scripted_parts import CODE, PROBLEM, prompts, scripted_parts, system
from tirage.agents.dialects.base import NativeTools
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core import Budget, ObservationStatus, Rollout, StopReason, ToolCall, Tree
from tirage.core.codec import decode, encode
from tirage.core.errors import ConfigError
from tirage.core.step import Finish
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.sandbox.base import Sandbox
from tirage.systems.dfsdt import ANSWER, GIVE_UP, THINK_ON
from tirage.testing.canary import Canary
from tirage.testing.scripted import Reply, Said, ScriptedModel
from tirage.traces.messages import to_messages
from tirage.training.rows import mask_spans, trained_sources
from tirage.verification.extract import conclusion, final_answer


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox(SandboxConfig(preload=())) as opened:
        yield opened


def python(code: str) -> Reply:
    return Reply(tool_calls=(ToolCall(name="python", arguments=json.dumps({"code": code}), id="c"),))


def finish(kind: str, answer: str = "") -> Reply:
    return Reply(tool_calls=(ToolCall(name="finish", arguments=json.dumps({"return_type": kind, "final_answer": answer}), id="c"),))


async def solve(said: Sequence[Said], sandbox: Sandbox, **options: object) -> tuple[Tree, ScriptedModel]:
    model = ScriptedModel(said, mode="chat")
    agent = system("dfsdt", scripted_parts(model, sandbox=sandbox, dialect=NativeTools(), system="x"), **options)
    return await agent.solve(PROBLEM, SolveContext(seed=0)), model


FIRST_GIVES_UP = (python("x = 1"), python("x + 1"), finish(GIVE_UP), python("x * 42"), finish(ANSWER, "42"))


async def test_the_first_branch_gives_up_at_depth_three_and_the_second_answers(sandbox: Sandbox) -> None:
    tree, model = await solve(FIRST_GIVES_UP, sandbox)
    model.assert_done()
    assert [(node.parent, node.depth) for node in tree.nodes[1:]] == [(0, 1), (1, 2), (2, 3), (1, 2), (4, 3)], "a fixed pre-order"
    assert [node.stop for node in tree.nodes[1:]] == [StopReason.OPEN] * 2 + [StopReason.GAVE_UP, StopReason.OPEN, StopReason.ANSWERED]
    assert tree.chosen == 5
    assert final_answer(tree.trajectory(5).response) == "42"
    assert tree.nodes[4].step.observations[0].text == "42", "the state of the branching point, not of the branch that gave up"


async def test_react_alone_fails_where_dfsdt_answers(sandbox: Sandbox) -> None:
    tree, model = await solve(FIRST_GIVES_UP[:3], sandbox, width=1)
    model.assert_done()
    assert [node.stop for node in tree.nodes[1:]] == [StopReason.OPEN, StopReason.OPEN, StopReason.GAVE_UP]
    assert final_answer(conclusion(tree.trajectory(tree.chosen))) is None


async def test_words_without_a_call_are_a_thought_and_the_path_goes_on(sandbox: Sandbox) -> None:
    said: list[Any] = ["First I multiply. The answer is 41.", python("6 * 7"), "So it is 42.", finish(ANSWER, "42")]
    tree, model = await solve(said, sandbox)
    model.assert_done()
    assert [(node.depth, node.stop) for node in tree.nodes[1:]] == [
        (1, StopReason.OPEN),
        (2, StopReason.OPEN),
        (3, StopReason.OPEN),
        (4, StopReason.ANSWERED),
    ]
    assert tree.nodes[1].step is not None
    assert tree.nodes[1].step.finish is Finish.STEP
    assert [message.role for message in model.requests[-1].messages or ()] == [
        "system", "user", "assistant", "user", "assistant", "tool", "assistant", "user",
    ], "strict servers want turns to take turns"  # fmt: skip
    assert final_answer(tree.trajectory(tree.chosen).response) == "42"


async def test_a_path_of_thoughts_ends_at_the_limit(sandbox: Sandbox) -> None:
    model = ScriptedModel(lambda request: "Hmm.", mode="chat")
    agent = system("dfsdt", scripted_parts(model, sandbox=sandbox, dialect=NativeTools(), system="x"), width=1)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert [node.depth for node in tree.nodes] == list(range(13)), "a thought is one node of twelve"
    both = ScriptedModel(lambda request: Reply(text="Hmm.", tool_calls=python("1").tool_calls), mode="chat")
    agent = system("dfsdt", scripted_parts(both, sandbox=sandbox, dialect=NativeTools(), system="x"), width=1)
    assert len((await agent.solve(PROBLEM, SolveContext(seed=0))).nodes) - 1 == 4, "a thought with a call is three"


@pytest.mark.parametrize("mode", ["ids", "text"])
async def test_in_text_a_thought_goes_on_in_its_turn_and_a_stated_answer_ends(sandbox: Sandbox, mode: Literal["ids", "text"]) -> None:
    model = ScriptedModel(["I multiply first.", CODE, "It is \\boxed{42}."], mode=mode)
    tree = await system("dfsdt", scripted_parts(model, sandbox=sandbox)).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    assert [node.stop for node in tree.nodes[1:]] == [StopReason.OPEN, StopReason.OPEN, StopReason.ANSWERED]
    path = tree.trajectory(tree.chosen)
    assert path.response.startswith(f"I multiply first.{THINK_ON}")
    if mode == "ids":
        assert 256 not in (path.steps[0].spans[0].ids or ()), "the turn was not ended"


async def test_back_length_two_skips_the_siblings_and_goes_on_at_the_grandparent(sandbox: Sandbox) -> None:
    tree, _ = await solve(FIRST_GIVES_UP, sandbox, width=3)
    assert tree.children[2] == [3], "two attempts were left beside the node that gave up"
    assert tree.children[1] == [2, 4]


async def test_what_is_cut_at_the_depth_limit_goes_back_one_level_and_an_answer_two(sandbox: Sandbox) -> None:
    # A call is two nodes, as ToolBench counts them: four are two replies.
    said = [python("1"), python("2"), finish(ANSWER, "41"), python("3"), finish(ANSWER, "42")]
    tree, model = await solve(said, sandbox, max_steps=4, answers=2)
    model.assert_done()
    assert [(node.parent, node.stop) for node in tree.nodes[1:]] == [
        (0, StopReason.OPEN),
        (1, StopReason.OPEN),
        (1, StopReason.ANSWERED),
        (0, StopReason.OPEN),
        (4, StopReason.ANSWERED),
    ]


async def test_the_diversity_message_is_in_the_second_siblings_prompt_only(sandbox: Sandbox) -> None:
    tree, model = await solve(FIRST_GIVES_UP, sandbox)
    assert ["already tried" in prompt for prompt in prompts(model)] == [False, False, False, True, False]
    assert prompts(model)[3].endswith(
        '<|user|>Here I have already tried:\n- python({"code": "x + 1"}) gave 2\nI will do something different.\n'
    ), "tool, arguments and observation"
    assert "already tried" not in tree.trajectory(tree.chosen).response
    assert "already tried" in tree.nodes[4].step.ephemeral


async def test_the_diversity_message_and_what_was_given_up_are_in_no_exported_conversation(sandbox: Sandbox) -> None:
    tree, _ = await solve(FIRST_GIVES_UP, sandbox)
    messages = to_messages(Rollout(key="k", stage="s", problem=PROBLEM, sample=0, tree=tree, verdicts={}, model="m"), tree.chosen)
    assert [message["role"] for message in messages] == ["user", *["assistant", "tool"] * 3]
    assert [call["function"]["arguments"] for message in messages for call in message.get("tool_calls", ())] == [
        reply.tool_calls[0].arguments for reply in (FIRST_GIVES_UP[0], *FIRST_GIVES_UP[3:])
    ]
    assert "already tried" not in json.dumps(messages)


async def test_the_diversity_message_is_in_no_training_row(sandbox: Sandbox) -> None:
    give_up = f"This leads nowhere.\n{GIVE_UP}"
    model = ScriptedModel([CODE, CODE.replace("6", "5"), give_up, CODE.replace("7", "8"), "\\boxed{42}"])
    tree = await system("dfsdt", scripted_parts(model, sandbox=sandbox)).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    assert ["already tried" in prompt for prompt in prompts(model)] == [False, False, False, True, False]
    assert tree.nodes[3].stop is StopReason.GAVE_UP
    ids, labels = mask_spans(tree.trajectory(tree.chosen).spans, trained_sources(hint_loss=False))
    assert "already tried" not in bytes(token for token in ids if token < 256).decode()
    trained = bytes(label for label in labels if 0 <= label < 256).decode()
    block = CODE.removesuffix("```output")
    assert trained == block + block.replace("7", "8") + "\\boxed{42}"


async def test_five_queries_are_five_calls_and_a_partial_tree(sandbox: Sandbox) -> None:
    tree, model = await solve([python(f"x = {number}") for number in range(9)], sandbox, max_query=5)
    assert len(model.requests) == 5 == len(tree.nodes) - 1
    assert tree.ended == "budget: model_calls"
    again = decode(Tree, json.loads(json.dumps(encode(tree))))
    assert encode(again) == encode(tree)
    assert [node.step for node in again.nodes] == [node.step for node in tree.nodes]


@pytest.mark.parametrize("calls", [0, 2])
async def test_a_smaller_budget_of_the_kit_counts_and_no_query_at_all_is_refused(sandbox: Sandbox, calls: int) -> None:
    model = ScriptedModel([python("1")] * calls, mode="chat")
    made_of = scripted_parts(model, sandbox=sandbox, dialect=NativeTools(), search_options=SearchOptions(budget=Budget(model_calls=calls)))
    tree = await system("dfsdt", made_of).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    assert tree.ended == "budget: model_calls"
    with pytest.raises(ConfigError, match="max_query must be at least 1, got 0"):
        system("dfsdt", made_of, max_query=0)


async def test_an_unknown_tool_and_malformed_arguments_are_told_and_the_chain_goes_on(sandbox: Sandbox) -> None:
    unknown = Reply(tool_calls=(ToolCall(name="pyhton", arguments="{}", id="a"),))
    malformed = Reply(tool_calls=(ToolCall(name="python", arguments="{code", id="b"),))
    vague = Reply(tool_calls=(ToolCall(name="finish", arguments='{"return_type": "done"}', id="d"),))
    tree, model = await solve([unknown, malformed, vague, finish(ANSWER, "\\boxed{42}")], sandbox)
    model.assert_done()
    shown = [node.step.observations[0] for node in tree.nodes[1:] if node.step is not None]
    assert [item.status for item in shown] == [ObservationStatus.INVALID] * 3 + [ObservationStatus.FINAL]
    assert "there is no tool named 'pyhton'; tools: finish, python" in shown[0].text
    assert "must be a JSON object" in shown[1].text
    assert "return_type must be" in shown[2].text
    assert [node.depth for node in tree.nodes] == [0, 1, 2, 3, 4]
    assert final_answer(tree.trajectory(tree.chosen).response) == "42"


async def test_the_model_is_told_of_the_finish_tool(sandbox: Sandbox) -> None:
    _, model = await solve([finish(ANSWER, "1")], sandbox)
    assert [tool["function"]["name"] for tool in model.requests[0].tools] == ["python", "finish"]
    assert GIVE_UP in prompts(model)[0]
    text = ScriptedModel(["\\boxed{1}"])
    await system("dfsdt", scripted_parts(text, system="Be brief.", sandbox=sandbox)).solve(PROBLEM, SolveContext(seed=0))
    assert f"Be brief. When an attempt leads nowhere, write a last line that says {GIVE_UP}" in prompts(text)[0]


async def test_the_reference_is_out_of_reach(sandbox: Sandbox) -> None:
    canary = Canary()
    model = ScriptedModel(FIRST_GIVES_UP, mode="chat")
    agent = system("dfsdt", scripted_parts(model, sandbox=sandbox, dialect=NativeTools()))
    canary.guard(agent)
    await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert canary.handed > 15
