import asyncio
from typing import Any

import pytest

from tirage.agents.explorer import SolveContext
from tirage.agents.replies import Unreadable
from tirage.agents.search_options import SearchOptions
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT
from tirage.models.base import Sampling
from tirage.rollouts.runner import judge
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.systems.parts import AgentParts
from tirage.systems.socratic import Socratic, build, read_said
from tirage.testing.canary import Canary
from tirage.testing.logs import MemoryLog
from tirage.testing.models import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.tools.toolset import toolset
from tirage.verification.factory import open_verifier

PROBLEM = Problem(prompt="Is a whale heavier than a bus?", answer="nonce-8840")


def said(answer, confidence, used="none"):
    return f"So I think.\nUsed hints: {used}\nConfidence: {confidence}\nAnswer: \\boxed{{{answer}}}"


def two_questions(**changes):
    """Root low, two sub-questions, both high, root high."""
    answers = {
        "Hint 1: A whale weighs 100 t": said("yes", "high", "1"),
        "Hint 1: A bus weighs 12 t": said("yes", "high", "1"),
        "Question: How heavy is a whale": said("100 t", "high"),
        "Question: How heavy is a bus": said("12 t", "high"),
        "^<.user.>\nQuestion: Is a whale": said("no", "low"),
    }
    tags: dict[str, Any] = {
        "answerer": answers,
        "raiser": ["1. How heavy is a whale?\n2. How heavy is a bus?"],
        "editor": {"Answer: 100 t": "A whale weighs 100 t.", "Answer: 12 t": "A bus weighs 12 t."},
    }
    return ScriptedModel(tags={**tags, **changes})


async def perform(model, *, options=None, budget=None, log=None, tools=None, sandbox=None, problem=PROBLEM):
    agent = build(
        AgentParts(
            model=model,
            tools=tools or {},
            sandbox=sandbox,
            sampling=Sampling(max_tokens=500),
            search_options=SearchOptions(budget=budget or Budget()),
        ),
        **(options or {}),
    )
    return await agent.solve(problem, SolveContext(seed=5, log=log))


def prompts(model, role):
    return [bytes(request.ids).decode() for request in model.requests if request.tag == role]


async def test_one_raise_two_answers_two_hints_and_two_answers_by_hint():
    model = two_questions()
    tree = await perform(model)
    model.assert_done()
    assert len(model.requests) == 1 + 1 + 2 + 2 + 2
    assert [node.move for node in tree.nodes[1:]] == [
        "answerer",
        "raiser",
        "answerer",
        "answerer",
        "editor",
        "editor",
        "answerer",
        "answerer",
    ]
    assert [node.parent for node in tree.nodes[1:]] == [0, 1, 2, 2, 3, 4, 6, 6]
    assert [node.sample for node in tree.nodes[7:]] == [0, 1]
    assert tree.notes == {
        1: "depth 1, turn 1: confidence low",
        3: "depth 2, turn 1: confidence high",
        4: "depth 2, turn 1: confidence high",
        7: "depth 1, turn 2: confidence high",
        8: "depth 1, turn 2: confidence high",
    }
    assert tree.chosen == 7
    assert tree.ended == ""


async def test_only_answers_to_the_problem_are_judged():
    tree = await perform(two_questions())
    assert [node.index for node in tree.nodes if node.stop is StopReason.ANSWERED] == [1, 7, 8]
    verifier = open_verifier("exact")
    try:
        verdicts = await judge(tree, Problem(prompt=PROBLEM.prompt, answer="yes", verifier="exact"), verifier)
    finally:
        await verifier.close()
    assert {index: verdict.correct for index, verdict in verdicts.items()} == {1: False, 7: True, 8: True}


async def test_a_child_at_the_depth_limit_answers_without_raising():
    answers = {"Context:": said("perhaps", "low"), "Hint 1": said("yes", "high"), "Is a whale": said("no", "low")}
    model = two_questions(answerer=answers, editor={"": "It may be so."})
    tree = await perform(model, options={"max_depth": 2})
    assert len(prompts(model, "raiser")) == 1
    assert [note for note in tree.notes.values() if "depth 2" in note] == ["depth 2, turn 1: confidence low"] * 2
    deeper = two_questions(answerer=answers, editor={"": "It may be so."}, raiser={"": "What else?"})
    await perform(deeper)
    assert any("Context: Is a whale" in prompt for prompt in prompts(deeper, "raiser"))


async def test_a_first_answer_with_high_confidence_still_raises_once():
    answers = {"Context:": said("100 t", "high"), "": said("yes", "high")}
    model = two_questions(answerer=answers, editor={"": "So it is."})
    tree = await perform(model)
    assert [len(prompts(model, role)) for role in ("answerer", "raiser", "editor")] == [1 + 2 + 2, 1, 2]
    assert tree.ended == ""


async def test_hints_are_in_the_retry_in_order():
    answers = {
        "Hint 2": said("5", "high", "1, 2"),
        "Question: sub\n": said("?", "low"),
        "Question: deep [ab]": said("so", "high"),
        "Hint 1": said("yes", "high"),
        "": said("no", "low"),
    }
    raiser = {"Question: sub\n": "deep a\ndeep b", "": "sub"}
    editor = {"deep a": "First fact.", "deep b": "Second fact.", "": "Third fact."}
    model = two_questions(answerer=answers, raiser=raiser, editor=editor)
    await perform(model)
    (retry,) = [prompt for prompt in prompts(model, "answerer") if "Hint 2" in prompt]
    assert "Question: sub\nHint 1: First fact.\nHint 2: Second fact.\n" in retry
    assert "Hint 1: Third fact." in prompts(model, "answerer")[-1]


async def test_the_plurality_over_hints_decides():
    answers = {
        "Hint 1: one": said("A", "middle"),
        "Hint 1: two": said("B", "high"),
        "Hint 1: three": said("A", "middle"),
        "Context:": said("x", "high"),
        "": said("?", "low"),
    }
    editor = {"Question: q1": "one", "Question: q2": "two", "Question: q3": "three"}
    model = two_questions(answerer=answers, raiser=["q1\nq2\nq3"], editor=editor)
    tree = await perform(model, options={"max_turn": 2})
    assert tree.trajectory(tree.chosen).response == said("A", "middle")
    assert tree.nodes[tree.chosen].sample == 0


async def test_the_modal_confidence_of_the_winners_decides_whether_to_go_on():
    answers = {
        "Hint 1: one": said("1/2", "high"),
        "Hint 1: two": said("0.5", "low"),
        "Hint 1: three": said("0.50", "low"),
        "Hint 1: four": said("7", "high"),
        "Context:": said("x", "high"),
        "": said("?", "low"),
    }
    editor = {f"Question: q{number}": word for number, word in enumerate(("one", "two", "three", "four"), start=1)}
    model = two_questions(answerer=answers, raiser=["q1\nq2\nq3\nq4", "q1"], editor=editor)
    await perform(model)
    assert len(prompts(model, "raiser")) == 2


@pytest.mark.parametrize(("questions", "max_turn", "max_depth", "bound"), [(2, 3, 3, 53), (2, 2, 2, 8), (1, 1, 3, 5), (3, 3, 1, 11)])
async def test_a_model_that_is_never_sure_ends_at_the_bound(questions, max_turn, max_depth, bound):
    # By hand for 2, 3, 3: a leaf 1; depth 2 in turn 1 1 + 2 (2 + 2 2) = 13, in turn 2 7; the problem 1 + (1 + 2 14 + 2) + (1 + 2 8 + 4).
    asked = "\n".join(f"Why is that, {number}?" for number in range(9))
    model = two_questions(answerer={"": said("?", "low")}, raiser={"": asked}, editor={"": "It is asked why."})
    options = {"questions": questions, "max_turn": max_turn, "max_depth": max_depth}
    tree = await perform(model, options=options, budget=Budget())
    assert len(model.requests) == Socratic(**options).most_calls == bound
    assert tree.ended == ""


async def test_siblings_are_asked_together():
    waiting, most = 0, 0

    class Watched(ScriptedModel):
        async def complete(self, request):
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            try:
                await asyncio.sleep(0.01)
                return await super().complete(request)
            finally:
                waiting -= 1

    asked = "\n".join(f"Why, {number}?" for number in range(3))
    tags = {"answerer": {"": said("?", "low")}, "raiser": {"": asked}, "editor": {"": "So."}}
    tree = await perform(Watched(tags=tags), options={"questions": 3}, budget=Budget())
    assert most == 9
    again = await perform(ScriptedModel(tags=tags), options={"questions": 3}, budget=Budget())
    assert [(node.parent, node.sample, node.step.text) for node in tree.nodes[1:]] == [
        (node.parent, node.sample, node.step.text) for node in again.nodes[1:]
    ]


async def test_without_sub_questions_the_first_answer_stands():
    model = two_questions(raiser=[" "])
    tree = await perform(model)
    assert len(model.requests) == 2
    assert tree.chosen == 1


@pytest.mark.parametrize(("calls", "chosen"), [(0, ROOT), (1, 1), (2, 1), (5, 1), (7, 1), (8, 7)])
async def test_a_budget_ends_it_with_the_best_answer_so_far(calls, chosen):
    tree = await perform(two_questions(), budget=Budget(model_calls=calls))
    assert tree.ended == ("" if calls == 8 else "budget: model_calls")
    assert tree.usage.model_calls == calls
    assert tree.chosen == chosen


async def test_sixty_calls_by_default():
    asked = "\n".join(f"Why, {number}?" for number in range(5))
    model = two_questions(answerer={"": said("?", "low")}, raiser={"": asked}, editor={"": "So."})
    tree = await perform(model)
    assert Socratic().most_calls == 218
    assert (tree.ended, len(model.requests)) == ("budget: model_calls", 60)
    assert tree.chosen == 1


@pytest.mark.parametrize("cut", range(9))
async def test_resumed_from_a_log_no_call_is_repeated(cut):
    whole = MemoryLog()
    first = await perform(two_questions(), log=whole)
    model = two_questions(raiser=["1. How heavy is a whale?\n2. How heavy is a bus?"] if cut < 2 else [])
    again = await perform(model, log=MemoryLog(whole.kept[:cut]))
    model.assert_done()
    assert len(model.requests) == 8 - cut
    assert [(node.parent, node.move, node.step.text) for node in again.nodes[1:]] == [
        (node.parent, node.move, node.step.text) for node in first.nodes[1:]
    ]
    assert again.chosen == first.chosen


async def test_the_reference_is_out_of_reach():
    canary, model = Canary(PROBLEM.prompt), two_questions()
    agent = build(AgentParts(model=model, sampling=Sampling()))
    canary.guard(agent)
    tree = await agent.solve(canary.problem, SolveContext(seed=5))
    canary.check(model)
    assert (canary.handed, tree.usage.model_calls) == (2, 8)
    assert canary.nonce not in repr(tree)


async def test_the_answerer_may_use_a_tool():
    answerer = [
        *("```python\nprint(100 > 12)\n```\n```output", said("yes", "high")),
        said("100 t", "high"),
        said("yes", "high"),
    ]
    model = ScriptedModel(tags={"answerer": answerer, "raiser": ["How heavy is a whale?"], "editor": ["A whale weighs 100 t."]})
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        tree = await perform(model, options={"tools": ["python"]}, tools=toolset(PythonTool()), sandbox=sandbox)
    model.assert_done()
    assert tree.nodes[1].step.observations[0].text == "True\n"


@pytest.mark.parametrize(
    ("text", "answer", "used", "confidence"),
    [
        (said("4", "high", "1, 3"), "4", (1, 3), "high"),
        ("Confidence: **Middle**\nAnswer: 5", "5", (), "middle"),
        ("confidence: very sure\nAnswer: 5", "5", (), "middle"),
        ("It is 5.\nAnswer: 5", "5", (), "low"),
        ("Confidence: high\nConfidence: low", None, (), "low"),
    ],
)
def test_a_reply_is_read(text, answer, used, confidence):
    found = read_said(text)
    assert (found.answer, found.used, found.confidence) == (answer, used, confidence)


def test_an_empty_reply_is_unreadable():
    with pytest.raises(Unreadable, match="the reply is empty"):
        read_said(" ")


def test_options_are_checked():
    with pytest.raises(ConfigError, match="option 'max_depth' cannot be 0: Input should be greater than 0"):
        build(AgentParts(model=ScriptedModel(), sampling=Sampling()), max_depth=0)
