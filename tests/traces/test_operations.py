import json
from dataclasses import replace

import pytest

from tirage.core.message import Message, Observation, ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.step import Finish, Opening, Source, Span, Step, Usage
from tirage.core.trajectory import StopReason
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict
from tirage.traces.operations import operations, trace_id


def asked(text):
    return Opening(messages=(Message(role="user", content=text),), prompt=(Span(Source.PROMPT, text),))


def said(text, tokens=9, **rest):
    usage = Usage(tokens_in=5, tokens_out=tokens, model_calls=1)
    return Step(spans=(Span(Source.POLICY, text),), finish=rest.pop("finish", Finish.STOP), usage=usage, **rest)


@pytest.fixture
def team():
    """A planner, a worker who searches and then answers, a call that the workflow itself makes; 10 s, of which the search took 4."""
    tree = Tree(problem_id="p", policy_id="workflow|cast", seed=0, prompt=())
    tree.add(0, said("1. Look it up.", opening=asked("Plan!")), stop=StopReason.ANSWERED, move="planner")
    found = Observation(text="[1] Lyon", duration_s=4.0, call_id="c1", data={"collection": "towns", "chunks": ["a#1", "b#2"]})
    call = ToolCall(name="look_up", arguments='{"query": "capital", "k": 2}', id="c1")
    tree.add(1, said("I look.", 29, finish=Finish.CALL, opening=asked("Work!"), calls=(call,), observations=(found,)), move="worker")
    tree.add(2, said("Paris", 19), stop=StopReason.ANSWERED, move="worker")
    broken = Observation(text="ValueError", status=ObservationStatus.ERROR)
    own = Step(
        spans=(Span(Source.TOOL, "ValueError"),),
        finish=Finish.CALL,
        calls=(ToolCall(name="python", arguments="{}"),),
        observations=(broken,),
        opening=Opening(messages=(), prompt=()),
    )
    tree.add(3, own, stop=StopReason.ANSWERED, move="python")
    tree.chosen = 3
    return Rollout(
        key="before/p/0",
        stage="before",
        problem=Problem(prompt="What is the capital of France?", answer="Paris"),
        sample=0,
        tree=tree,
        verdicts={3: Verdict(correct=True, score=1.0, verifier="exact/1", detail="Paris it is")},
        model="https://models.example/v1#big",
        sampling={"temperature": 0.5, "top_p": None, "max_tokens": 64, "seed": 3},
        wall_s=10.0,
        finished_at=1_700_000_010.0,
    )


def test_a_tree_is_a_workflow_of_turns_with_calls_in_them(team):
    found = operations(team)
    assert [(item.name, item.parent.name if item.parent else None) for item in found] == [
        ("invoke_workflow before", None),
        ("plan planner", "invoke_workflow before"),
        ("chat big", "plan planner"),
        ("invoke_agent worker", "invoke_workflow before"),
        ("chat big", "invoke_agent worker"),
        ("execute_tool look_up", "invoke_agent worker"),
        ("retrieval towns", "execute_tool look_up"),
        ("chat big", "invoke_agent worker"),
        ("execute_tool python", "invoke_workflow before"),
    ]
    assert found[3].answers is found[1]
    assert found[1].answers is None


def test_attributes_are_those_of_the_conventions(team):
    workflow, plan, chat, worker, _, tool, retrieval, last, python = operations(team)
    assert workflow.attributes == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.agent.name": "before",
        "gen_ai.usage.input_tokens": 15,
        "gen_ai.usage.output_tokens": 57,
        "tirage.key": "before/p/0",
        "tirage.problem": team.problem.id,
        "tirage.policy": "workflow|cast",
        "tirage.nodes": 4,
        "tirage.chosen": 3,
    }
    assert plan.attributes == {"gen_ai.operation.name": "plan", "gen_ai.agent.name": "planner", "tirage.node": 1}
    server = {"server.address": "models.example", "server.port": 443}
    model = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "big", **server}
    assert worker.attributes == {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "worker", "tirage.node": 2, **model}
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        **model,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.conversation.id": "before/p/0",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 9,
        "tirage.node": 1,
        "tirage.parent": 0,
    }
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c1",
    }
    assert retrieval.attributes == {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "towns", "gen_ai.retrieval.top_k": 2}
    assert last.events == [
        {"gen_ai.evaluation.name": "exact/1", "gen_ai.evaluation.score.label": "correct", "gen_ai.evaluation.score.value": 1.0}
    ]
    assert (python.failure, python.attributes["error.type"], chat.remote, tool.remote) == ("error", "error", True, False)


def test_operations_lie_in_order_within_the_wall_time(team):
    """6 s are left for 60 tokens, counting one more for each call: a tenth of a second each."""
    found = operations(team)
    spans = [(round(item.start_s - 1_700_000_000, 6), round(item.end_s - 1_700_000_000, 6)) for item in found]
    assert spans == [(0, 10), (0, 1), (0, 1), (1, 10), (1, 4), (4, 8), (4, 8), (8, 10), (10, 10)]


def test_tools_that_ran_side_by_side_are_shortened(team):
    found = operations(replace(team, wall_s=2.0))
    assert [round(item.end_s - item.start_s, 6) for item in found] == [2, 0, 0, 2, 0, 2, 2, 0, 0]


def test_text_leaves_only_when_asked_for(team):
    shown = json.dumps([[item.name, item.attributes, item.events, item.failure] for item in operations(team)])
    private = ("France", "Paris", "Look it up", "Plan!", "Lyon", "capital", "ValueError", "a#1")
    assert [word for word in private if word in shown] == []
    workflow, plan, chat, _, call, tool, retrieval, last, _ = operations(team, content=True)
    question = [{"role": "user", "parts": [{"type": "text", "content": "What is the capital of France?"}]}]
    assert json.loads(workflow.attributes["gen_ai.input.messages"]) == question  # type: ignore[arg-type]
    assert "Paris" in workflow.attributes["gen_ai.output.messages"]  # type: ignore[operator]
    assert json.loads(plan.attributes["gen_ai.input.messages"]) == [{"role": "user", "parts": [{"type": "text", "content": "Plan!"}]}]  # type: ignore[arg-type]
    assert "1. Look it up." in chat.attributes["gen_ai.output.messages"]  # type: ignore[operator]
    (reply,) = json.loads(call.attributes["gen_ai.output.messages"])  # type: ignore[arg-type]
    assert reply["parts"][1] == {"type": "tool_call", "id": "c1", "name": "look_up", "arguments": '{"query": "capital", "k": 2}'}
    assert tool.attributes["gen_ai.tool.call.arguments"] == '{"query": "capital", "k": 2}'
    assert tool.attributes["gen_ai.tool.call.result"] == "[1] Lyon"
    assert retrieval.attributes["gen_ai.retrieval.query.text"] == "capital"
    assert json.loads(retrieval.attributes["gen_ai.retrieval.documents"]) == [{"id": "a#1"}, {"id": "b#2"}]  # type: ignore[arg-type]
    assert last.events[0]["gen_ai.evaluation.explanation"] == "Paris it is"


def test_a_search_tree_hangs_its_steps_below_the_workflow(make_rollout):
    found = operations(make_rollout(0))
    assert [item.name for item in found] == ["invoke_workflow before", "chat toy@abc123", "execute_tool python", *["chat toy@abc123"] * 2]
    assert {item.parent for item in found[1:]} == {found[0]}
    assert [item.attributes.get("tirage.parent") for item in found] == [None, 0, None, 1, 1]
    assert [item.attributes["gen_ai.response.finish_reasons"] for item in found if item.name.startswith("chat")] == [
        ("tool_call",),
        ("stop",),
        ("length",),
    ]
    assert [[event["gen_ai.evaluation.score.label"] for event in item.events] for item in found[3:]] == [["correct"], ["incorrect"]]


def test_what_broke_is_told_where_it_broke(make_broken):
    workflow, chat = operations(make_broken())
    assert (chat.attributes["error.type"], chat.failure, workflow.failure) == ("ModelUnavailable", "ModelUnavailable", None)
    assert operations(make_broken(), content=True)[1].failure == "connection refused"


def test_an_empty_rollout_is_a_workflow_alone(make_rollout):
    (workflow,) = operations(make_rollout(0, empty=True), content=True)
    assert (workflow.attributes["tirage.nodes"], "gen_ai.output.messages" in workflow.attributes) == (0, False)


def test_ids_follow_from_the_rollout(make_rollout):
    first, again, other = make_rollout(0), make_rollout(0), make_rollout(1)
    assert [item.id for item in operations(first)] == [item.id for item in operations(again, content=True)]
    assert len({item.id for item in [*operations(first), *operations(other)]}) == 10
    assert trace_id(first) == trace_id(again) < 2**128
    assert len({trace_id(first), trace_id(other), trace_id(replace(first, finished_at=1.0))}) == 3


@pytest.mark.parametrize(
    ("model", "provider", "name", "remote"),
    [
        ("http://127.0.0.1:8000/v1#org/big", "openai", "org/big", True),
        ("litellm/anthropic/claude", "anthropic", "claude", True),
        ("nano@12ab", "tirage", "nano@12ab", False),
    ],
)
def test_models_by_their_strings(make_rollout, model, provider, name, remote):
    chat = operations(replace(make_rollout(0), model=model))[1]
    assert (chat.attributes["gen_ai.provider.name"], chat.attributes["gen_ai.request.model"], chat.remote) == (provider, name, remote)
