import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from tirage.agents.explorer import SolveContext
from tirage.agents.replies import as_json, whole
from tirage.core.problem import Problem
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.systems.halo.halo import Halo
from tirage.testing.models import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role


class Part(BaseModel):
    title: Annotated[str, Field(min_length=1, max_length=9)]
    """A name that is also a word of schemas."""


class Said(BaseModel):
    status: Literal["yes", "no"]
    score: Annotated[float, Field(ge=0, le=1)] = 0.5
    parts: list[Part] = []


SCHEMA = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["yes", "no"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
    },
    "required": ["status", "score", "parts"],
    "additionalProperties": False,
    "$defs": {
        "Part": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"], "additionalProperties": False}
    },
}
ASKER = Role(name="asker", template="{problem}", read=as_json(Said), default=Said(status="no"))
TALKER = Role(name="talker", template="{problem}", read=whole, default="")
CODER = Role(name="coder", template="{problem}", read=as_json(Said), default=Said(status="no"), tools=("python",))
REPLY = '{"status": "yes", "score": 1, "parts": []}'


def test_a_reader_of_json_carries_a_schema_that_servers_can_hold_a_reply_to():
    assert as_json(Said).schema == ASKER.schema == SCHEMA
    assert TALKER.schema is None


class Open(BaseModel):
    arguments: dict[str, Any]


class Anything(BaseModel):
    value: Any


@pytest.mark.parametrize("kind", [Open, Anything])
def test_what_may_be_anything_has_none(kind):
    assert as_json(kind).schema is None


class Ask(Workflow):
    id = "ask"

    def __init__(self, role):
        self.role = role
        self.turn = None

    async def run(self, flow):
        self.turn = await flow.ask(self.role)


async def ask(role, model):
    async with open_sandbox(SandboxConfig()) as sandbox:
        workflow = Ask(role)
        cast = RoleModels(model=model, tools={"python": PythonTool()}, sandbox=sandbox)
        await WorkflowAgent(workflow, cast).solve(Problem(prompt="Is it?"), SolveContext(seed=0))
    return workflow.turn


@pytest.mark.parametrize(
    ("role", "mode", "schema"),
    [(ASKER, "chat", SCHEMA), (TALKER, "chat", None), (CODER, "chat", None), (ASKER, "ids", None), (ASKER, "text", None)],
)
async def test_it_is_sent_where_the_model_is_asked_by_chat_and_declares_it(role, mode, schema):
    model = ScriptedModel([REPLY], mode=mode)
    turn = await ask(role, model)
    assert [request.schema for request in model.requests] == [schema]
    assert turn.readable


@pytest.mark.parametrize("mode", ["ids", "text"])
async def test_it_goes_with_a_fresh_turn_of_raw_continuation_where_the_model_declares_that(mode):
    model = ScriptedModel([REPLY], mode=mode)
    model.capabilities = replace(model.capabilities, structured_raw=True)
    assert (await ask(ASKER, model)).value == Said(status="yes", score=1)
    assert [request.schema for request in model.requests] == [SCHEMA]
    assert all(request.messages is None for request in model.requests)


async def test_a_chat_model_that_does_not_declare_it_is_not_asked():
    model = ScriptedModel([REPLY], mode="chat")
    model.capabilities = replace(model.capabilities, structured=False)
    assert (await ask(ASKER, model)).value == Said(status="yes", score=1)
    assert model.requests[0].schema is None


async def test_a_reply_that_broke_off_still_takes_the_default():
    turn = await ask(ASKER, ScriptedModel([REPLY[:20]], mode="chat"))
    assert (turn.readable, turn.value) == (False, Said(status="no"))


async def test_a_whole_system_asks_for_it():
    replies: dict[str, dict[str, Any]] = {
        "parser": {"task_type": "t", "core_intent": "i", "key_details": []},
        "templater": {"prompt": "p"},
        "optimiser": {"prompt": "p"},
        "writer": {"prompt": "p"},
        "planner": {"subtask": "s"},
        "designer": {"roles": [{"name": "A", "purpose": ""}]},
        "judge": {"status": "success"},
        "scorer": {"score": 0.9},
    }
    tags = {role: (lambda request, reply=reply: json.dumps(reply)) for role, reply in replies.items()}
    model = ScriptedModel(tags={**tags, "A": lambda request: "\\boxed{1}"}, mode="chat")
    tree = await WorkflowAgent(Halo(subtasks=2), RoleModels(model=model)).solve(Problem(prompt="Q"), SolveContext(seed=0))
    assert tree.trajectory(tree.chosen).response == "\\boxed{1}"
    asked = {request.tag: request.schema for request in model.requests}
    assert asked.pop("A") is None
    assert {role: set(schema["properties"]) for role, schema in asked.items()} == {role: set(reply) for role, reply in replies.items()}
    assert asked["judge"]["properties"]["status"]["enum"] == ["success", "fail", "continue"]
