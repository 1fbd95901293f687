"""Code runs when its block closes: in a turn that can be stopped exactly, after the turn by chat, at a limit, and never a word further."""

import json
from itertools import pairwise
from typing import Literal

import pytest

from tirage.agents.dialects.base import FencedPython
from tirage.agents.elicitation import FAMILY, Elicitation
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.hints import HintPlan
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.search_options import PathLimits
from tirage.core import Finish, Hint, HintPosition, Problem, Source, StopReason, Trajectory
from tirage.core.step import join_ids
from tirage.models.base import Sampling
from tirage.sandbox.base import ExecResult
from tirage.testing.sandbox import TableSandbox
from tirage.testing.scripted import END, Reply, Script, ScriptedModel
from tirage.tools.python import PythonTool

PROBLEM = Problem(prompt="What is 6 * 7?", answer="42")
CELLS = {
    "print(6 * 7)": ExecResult(stdout="42\n"),
    "print(42 + 1)": ExecResult(stdout="43\n"),
    "x = 6\nprint(x * 7)": ExecResult(stdout="42\n"),
}
BLOCK = "```python\nprint(6 * 7)\n```\n"
NEXT = "```python\nprint(42 + 1)\n```\n"
Mode = Literal["ids", "text", "chat"]


async def solve(
    script: Script,
    *,
    mode: Mode = "ids",
    thinks: bool = False,
    hints: HintPlan | None = None,
    elicit: bool = False,
    max_tokens: int = 512,
    max_calls: int = 6,
) -> tuple[Trajectory, ScriptedModel]:
    model = ScriptedModel(script, mode=mode, thinks=thinks)
    tool = PythonTool()
    policy = ModelPolicy(
        model,
        FencedPython(),
        sampling=Sampling(max_tokens=max_tokens),
        hints=hints,
        elicitation=Elicitation() if elicit else None,
    )
    agent = Explorer(policy, tools={"python": tool}, sandbox=TableSandbox(CELLS), limits=PathLimits(max_calls=max_calls))
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    return tree.trajectory(tree.chosen), model


def ran(path: Trajectory) -> list[str]:
    return [str(json.loads(call.arguments)["code"]) for step in path.steps for call in step.calls]


@pytest.mark.parametrize("mode", ["ids", "text"])
async def test_what_would_stand_behind_the_block_is_never_sampled(mode: Mode) -> None:
    path, model = await solve([f"I compute.\n{BLOCK}It prints 41, so \\boxed{{41}}.", "So \\boxed{42}."], mode=mode)
    assert path.response == f"I compute.\n{BLOCK}```output\n42\n```\nSo \\boxed{{42}}."
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    "block",
    [
        "```python\nprint(6 * 7)\n``` \nIt is 41.",
        "```python\nprint(6 * 7)\n```<end_code>\nIt is 41.",
        "````py\nprint(6 * 7)\n```` \nIt is 41.",
    ],
)
async def test_what_stands_behind_a_block_that_no_stop_string_ends_is_dropped(block: str) -> None:
    path, _ = await solve([block, "So \\boxed{42}."])
    assert ran(path) == ["print(6 * 7)"]
    assert "41" not in path.response
    assert END not in (path.token_ids or ())[:-1]


async def test_by_chat_all_blocks_of_a_turn_run_in_order_after_it() -> None:
    path, model = await solve([f"First:\n{BLOCK}Then:\n{NEXT}I guess 44.", "So \\boxed{43}."], mode="chat")
    assert ran(path) == ["print(6 * 7)", "print(42 + 1)"]
    assert [item.text.strip() for item in path.steps[0].observations] == ["42", "43"]
    (_, second) = model.requests
    assert second.messages is not None
    assert [message.role for message in second.messages] == ["user", "assistant", "user"]
    assert "42\n43" in second.messages[-1].content


async def test_a_stop_in_another_block_lets_the_turn_go_on() -> None:
    said = ["The data:\n```text\n6 7\n```\nnever said", f"Now:\n{BLOCK}", "So \\boxed{42}."]
    path, model = await solve(said)
    assert len(path.steps) == 2
    assert path.steps[0].policy_text == f"The data:\n```text\n6 7\n```\nNow:\n{BLOCK}"
    assert path.steps[0].usage.model_calls == 2
    assert len({request.sampling.seed for request in model.requests}) == 3


async def test_a_fence_in_a_string_of_the_code_does_not_end_it() -> None:
    with_doc = "```python\nx = '''\n```\n"
    path, _ = await solve([with_doc, "'''\nprint(6 * 7)\n```\n", "So \\boxed{42}."])
    assert ran(path) == ["x = '''\n```\n'''\nprint(6 * 7)"]


async def test_a_block_that_closes_at_the_limit_is_run() -> None:
    path, _ = await solve([Reply(text=BLOCK.rstrip("\n") + " \nand so", cut=True), "So \\boxed{42}."])
    assert ran(path) == ["print(6 * 7)"]


async def test_a_block_that_the_limit_leaves_open_is_neither_run_nor_an_answer() -> None:
    path, _ = await solve([Reply(text="```python\nprint(6 * 7", cut=True)])
    assert (ran(path), path.stop) == ([], StopReason.LENGTH)


async def test_every_prompt_is_what_was_sent_sampled_and_injected_before() -> None:
    path, model = await solve([f"a\n{BLOCK}", f"b\n{NEXT}", "So \\boxed{43}."])
    sent = [request.ids or () for request in model.requests]
    for number, (before, after) in enumerate(pairwise(sent)):
        ids = join_ids(path.steps[number].spans)
        assert ids is not None
        assert after == before + ids


def hint_plan(position: HintPosition) -> HintPlan:
    hint = Hint(id="h", family="f", text="Let me use Python.\n```python", positions=tuple(HintPosition))
    return HintPlan(library=(hint,), positions=(position,))


async def test_a_hint_may_open_the_fence() -> None:
    path, _ = await solve(["print(6 * 7)\n```\n", "So \\boxed{42}."], hints=hint_plan(HintPosition.START))
    assert ran(path) == ["print(6 * 7)"]
    assert path.response.startswith("Let me use Python.\n```python\nprint(6 * 7)\n```\n```output\n42\n")


async def test_a_turn_at_its_token_limit_still_gets_its_hint() -> None:
    path, _ = await solve(
        ["It may be 41 or 42, or 43, or something else", "print(6 * 7)\n```\n", "So \\boxed{42}."],
        hints=hint_plan(HintPosition.BEFORE_STOP),
        max_tokens=24,
    )
    (use,) = path.hints
    assert (use.position, use.reason) == (HintPosition.BEFORE_STOP, "limit")
    assert path.steps[0].finish is Finish.CUT
    assert ran(path) == ["print(6 * 7)"]


async def test_an_answer_is_elicited_once_where_none_was_stated() -> None:
    path, model = await solve([BLOCK, "That is what I found.", "42}."], elicit=True)
    assert path.response.endswith("That is what I found.\nThe final answer is \\boxed{42}.")
    assert [step.finish for step in path.steps] == [Finish.CALL, Finish.ELICIT, Finish.STOP]
    (use,) = path.hints
    assert (use.family, use.reason) == (FAMILY, "no readable answer")
    (forced,) = [span for span in path.spans if span.source is Source.FORCED]
    assert forced.text == "\nThe final answer is \\boxed{"
    assert END not in (path.token_ids or ())[:-1]
    assert model.requests[-1].sampling.max_tokens <= 64


@pytest.mark.parametrize("said", ["So \\boxed{42}.", "The answer is 42."])
async def test_a_stated_answer_is_not_elicited(said: str) -> None:
    path, _ = await solve([BLOCK, said], elicit=True)
    assert path.steps[-1].finish is Finish.STOP
    assert not path.hints


async def test_a_thought_at_its_limit_is_closed_before_the_answer() -> None:
    path, _ = await solve(["<think>\nlong thoughts without an end", "42}."], elicit=True, thinks=True, max_tokens=20)
    (forced,) = [span for span in path.spans if span.source is Source.FORCED]
    assert forced.text == "\n</think>\nThe final answer is \\boxed{"
    assert path.hints[0].reason == "limit"


async def test_by_chat_the_answer_is_asked_for() -> None:
    path, model = await solve([f"{BLOCK}", "Done.", "\\boxed{42}"], mode="chat", elicit=True)
    assert model.requests[-1].messages is not None
    assert "boxed" in model.requests[-1].messages[-1].content
    assert path.steps[-1].policy_text == "\\boxed{42}"
