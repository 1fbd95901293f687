import asyncio
import json
import sys
import threading
import time

import pytest

from tirage.agents.dialects.base import NativeTools
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.model_policy import ModelPolicy
from tirage.core.errors import ConfigError, MissingExtra
from tirage.core.message import ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.models.base import Sampling
from tirage.testing.models import Reply, ScriptedModel
from tirage.tools.foreign import from_langchain, from_smolagents
from tirage.tools.toolset import toolset

OK, ERROR, INVALID, TIMEOUT = ObservationStatus.OK, ObservationStatus.ERROR, ObservationStatus.INVALID, ObservationStatus.TIMEOUT


async def ask(tool, **arguments):
    found = await tool.call(ToolCall(name=tool.spec.name, arguments=json.dumps(arguments), id="c1"), None)
    assert found.call_id == "c1"
    return found.text, found.status


@pytest.fixture
def smol():
    return pytest.importorskip("smolagents", reason="pip install 'tirage[interop]'")


@pytest.fixture
def chain():
    return pytest.importorskip("langchain_core.tools", reason="pip install 'tirage[interop]'")


@pytest.fixture
def divide(smol):
    tool = smol.tool  # it warns of decorators with another name

    @tool
    def divide(number: int, by: int, mode: str | None = None) -> float:
        """Divides.

        Args:
            number: What is divided.
            by: By what.
            mode: How to round.
        """
        return {"who": threading.current_thread().name, "is": number / by, "mode": mode}  # type: ignore[return-value]

    return divide


async def test_a_smolagents_tool(divide):
    tool = from_smolagents(divide)
    assert (tool.spec.name, tool.spec.description, tool.parallel) == ("divide", "Divides.", False)
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {
            "number": {"type": "integer", "description": "What is divided."},
            "by": {"type": "integer", "description": "By what."},
            "mode": {"type": ["string", "null"], "description": "How to round."},
        },
        "required": ["number", "by"],
        "additionalProperties": False,
    }
    text, status = await ask(tool, number=7, by=2)
    assert (json.loads(text)["is"], json.loads(text)["mode"], status) == (3.5, None, OK)
    assert json.loads(text)["who"] != threading.main_thread().name
    assert json.loads((await ask(tool, number=7, by=2, mode="up"))[0])["mode"] == "up"
    assert await ask(tool, number=7, by=0) == ("ZeroDivisionError: division by zero", ERROR)
    assert await ask(tool, number="seven", by=2) == ("InvalidCall: number: 'seven' is not of type 'integer'", INVALID)
    assert (await ask(tool, number=7))[1] is INVALID
    for text in ("[1]", "{"):
        found = await tool.call(ToolCall(name="divide", arguments=text), None)
        assert (found.text, found.status) == ("InvalidCall: arguments must be a JSON object", INVALID)


async def test_smolagents_classes_are_set_up_once_and_may_be_async(smol):
    class Counter(smol.Tool):  # type: ignore[name-defined]
        name = "counter"
        description = "Counts."
        inputs = {"step": {"type": "any", "description": "By how much."}}  # noqa: RUF012
        output_type = "integer"

        def setup(self):
            self.total = 10
            self.is_initialized = True

        async def forward(self, step):
            await asyncio.sleep(0)
            self.total += step
            return self.total

    tool = from_smolagents(Counter(), name="count_on", parallel=True)
    assert tool.spec.parameters["properties"] == {"step": {"description": "By how much."}}
    assert (tool.spec.name, tool.parallel) == ("count_on", True)
    assert [await ask(tool, step=1), await ask(tool, step=1)] == [("11", OK), ("12", OK)]


async def test_limits_hold_for_foreign_tools(smol):
    tool = smol.tool

    @tool
    def slow(seconds: float, says: str) -> str:
        """Waits.

        Args:
            seconds: How long.
            says: What it says then.
        """
        time.sleep(seconds)
        return says

    assert await ask(from_smolagents(slow, timeout_s=0.1), seconds=0.3, says="x") == ("TimeoutError: slow took longer than 0.1 s", TIMEOUT)
    assert await ask(from_smolagents(slow, clip_chars=6), seconds=0, says="0123456789") == ("012...789", OK)
    assert await ask(from_smolagents(slow), seconds=0, says=" ") == ("(no output)", OK)
    with pytest.raises(ConfigError, match="timeout_s=0 and clip_chars=6 must be above 0"):
        from_smolagents(slow, timeout_s=0, clip_chars=6)


def test_what_a_call_cannot_carry(smol):
    class Look(smol.Tool):  # type: ignore[name-defined]
        name = "look"
        description = "Looks."
        inputs = {"picture": {"type": "image", "description": "At what."}}  # noqa: RUF012
        output_type = "string"

        def forward(self, picture):
            return "a cat"

    with pytest.raises(ConfigError, match="tool 'look': its input 'picture' is of type image, which a call cannot carry"):
        from_smolagents(Look())
    with pytest.raises(ConfigError, match="is no smolagents tool; give an instance"):
        from_smolagents(Look)


async def test_a_langchain_tool(chain):
    @chain.tool
    def divide(number: int, by: int = 2) -> dict:
        """Divides."""
        return {"who": threading.current_thread().name, "is": number / by}

    tool = from_langchain(divide)
    assert (tool.spec.name, tool.spec.description) == ("divide", "Divides.")
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {"number": {"title": "Number", "type": "integer"}, "by": {"title": "By", "type": "integer", "default": 2}},
        "required": ["number"],
    }
    text, status = await ask(tool, number=7)
    assert (json.loads(text)["is"], status) == (3.5, OK)
    assert json.loads(text)["who"] != threading.main_thread().name
    assert await ask(tool, number=7, by=0) == ("ZeroDivisionError: division by zero", ERROR)
    assert await ask(tool, number="seven") == ("InvalidCall: number: 'seven' is not of type 'integer'", INVALID)


async def test_async_langchain_tools_failures_they_handle_and_names_they_may_have(chain):
    async def fetch(place: str) -> str:
        await asyncio.sleep(0)
        if place == "nowhere":
            raise chain.ToolException("there is no such place")
        return f"{threading.current_thread() is threading.main_thread()} at {place}"

    options = {"coroutine": fetch, "name": "fetch it", "description": "Fetches."}
    handled = chain.StructuredTool.from_function(**options, handle_tool_error=True)
    tool = from_langchain(handled, name="fetch")
    assert await ask(tool, place="home") == ("True at home", OK)
    assert await ask(tool, place="nowhere") == ("there is no such place", ERROR)
    raised = from_langchain(chain.StructuredTool.from_function(**options), name="fetch")
    assert await ask(raised, place="nowhere") == ("ToolException: there is no such place", ERROR)
    with pytest.raises(ConfigError, match="tool name 'fetch it' must be letters"):
        from_langchain(handled)
    with pytest.raises(ConfigError, match="is no LangChain tool; give an instance"):
        from_langchain(fetch)


async def test_a_langchain_tool_gives_its_content_and_keeps_its_artifact(chain):
    @chain.tool(response_format="content_and_artifact")
    def look(place: str) -> tuple[str, bytes]:
        """Looks."""
        return f"seen {place}", b"raw"

    assert await ask(from_langchain(look), place="Lyon") == ("seen Lyon", OK)


async def test_an_agent_uses_both(divide, chain):
    @chain.tool
    def double(number: float) -> float:
        """Doubles."""
        return 2 * number

    tools = toolset(from_smolagents(divide), from_langchain(double))
    calls = (
        ToolCall(name="divide", arguments='{"number": 7, "by": 2}', id="a"),
        ToolCall(name="double", arguments='{"number": 3.5}', id="b"),
    )
    model = ScriptedModel([Reply(tool_calls=calls), "\\boxed{7}"], mode="chat")
    policy = ModelPolicy(model, NativeTools(), sampling=Sampling(), tools=tuple(item.spec for item in tools.values()))
    tree = await Explorer(policy, tools=tools, sandbox=None).solve(Problem(prompt="7?"), SolveContext(seed=0))
    step = tree.nodes[1].step
    assert [observation.text[:5] for observation in step.observations] == ['{"who', "7.0"]
    assert [found["function"]["name"] for found in model.requests[0].tools] == ["divide", "double"]


@pytest.mark.parametrize(("make", "module"), [(from_smolagents, "smolagents"), (from_langchain, "langchain_core.tools")])
def test_without_the_package(make, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"pip install 'tirage\[interop\]'"):
        make(object())
