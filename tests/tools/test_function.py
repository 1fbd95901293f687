"""Tools from functions: schema, checks, limits, and which failures are whose."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from tirage.core import ObservationStatus, ToolCall
from tirage.core.errors import ConfigError, ToolError
from tirage.tools.function import FunctionTool, Refuse, ToolContext, tool
from tirage.tools.toolset import approved, joined, limited, only, prefixed, renamed, toolset, without


class Place(BaseModel):
    name: str
    height_m: float = 0.0


@tool
def weather(city: str, days: Annotated[int, Field(ge=1, le=7)] = 1, unit: Literal["C", "F"] = "C") -> str:
    """Forecast for a city.

    More that a policy need not read.

    Args:
        city: Name as people
            write it.
        days (int): How many, from today.

    Returns:
        Text.
    """
    return f"{city}: {days} days in {unit}"


@tool(name="find-place", timeout_s=0.2, parallel=False)
async def find(place: Place, tags: list[str], context: ToolContext) -> dict[str, Any]:
    """Look a place up."""
    await asyncio.sleep(1.0 if place.name == "slow" else 0)
    if place.name == "nowhere":
        raise Refuse("there is no such place; ask for another")
    if place.name == "bug":
        raise KeyError("height")
    return {"name": place.name, "tags": tags, "call": context.call.id, "session": context.session is not None}


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=json.dumps(arguments), id="c1")


def test_the_schema_comes_from_hints_and_docstring() -> None:
    assert weather.spec.description == "Forecast for a city."
    assert weather.spec.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name as people write it."},
            "days": {"type": "integer", "default": 1, "minimum": 1, "maximum": 7, "description": "How many, from today."},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert set(find.spec.parameters["properties"]) == {"place", "tags"}
    assert find.spec.name == "find-place"
    assert weather("Oslo") == "Oslo: 1 days in C"


async def test_calls_are_checked_run_and_clipped() -> None:
    assert (await weather.call(call("weather", city="Oslo", days=3), None)).text == "Oslo: 3 days in C"
    found = await find.call(call("find-place", place={"name": "K2"}, tags=["high"]), None)
    assert json.loads(found.text) == {"name": "K2", "tags": ["high"], "call": "c1", "session": False}
    assert (found.status, found.call_id) == (ObservationStatus.OK, "c1")

    @tool(clip_chars=10)
    def long() -> str:
        """Much."""
        return "a" * 50 + "b" * 50

    clipped = await long.call(ToolCall(name="long", arguments=""), None)
    assert (clipped.text, clipped.truncated) == ("aaaaa...bbbbb", True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ("{}", "city: Field required"),
        ('{"city": 3}', "city: Input should be a valid string"),
        ('{"city": "x", "days": 9}', "days: Input should be less than or equal to 7"),
        ('{"city": "x", "unit": "K"}', "unit: Input should be 'C' or 'F'"),
        ('{"city": "x", "wind": 1}', "wind: Extra inputs are not permitted"),
    ],
)
async def test_bad_arguments_are_observations(arguments: str, says: str) -> None:
    found = await weather.call(ToolCall(name="weather", arguments=arguments), None)
    assert found.status is ObservationStatus.INVALID
    assert says in found.text


async def test_whose_failure_it_is() -> None:
    refused = await find.call(call("find-place", place={"name": "nowhere"}, tags=[]), None)
    assert (refused.status, refused.text) == (ObservationStatus.ERROR, "there is no such place; ask for another")
    began = time.monotonic()
    slow = await find.call(call("find-place", place={"name": "slow"}, tags=[]), None)
    assert slow.status is ObservationStatus.TIMEOUT
    assert time.monotonic() - began < 0.9
    with pytest.raises(ToolError, match=r"tool 'find-place' broke: KeyError: 'height'"):
        await find.call(call("find-place", place={"name": "bug"}, tags=[]), None)


def no_docstring(city: str) -> str:
    return city


def no_hint(city) -> str:
    """Say."""
    return str(city)


def variable(*cities: str) -> str:
    """Say."""
    return "".join(cities)


def unsupported(work: Callable[[], None]) -> str:
    """Say."""
    return str(work)


class Opaque:
    pass


def opaque(thing: Opaque) -> str:
    """Say."""
    return str(thing)


def wrong_docs(city: str) -> str:
    """Say.

    Args:
        town: No such.
    """
    return city


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (no_docstring, "no docstring; write one"),
        (no_hint, "'city' has no type hint"),
        (variable, "'cities' cannot be given by name"),
        (unsupported, r"parameter 'work' has the type .*Callable.*, which JSON cannot carry; give it"),
        (opaque, "parameter 'thing' has the type Opaque, which JSON cannot carry; give it"),
        (wrong_docs, "'town', which is no parameter"),
    ],
)
def test_functions_that_make_no_tool_say_why(function: Callable[..., Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"tool '{function.__name__}'.*{says}"):
        tool(function)


async def test_a_parameter_may_have_any_name() -> None:
    @tool
    def store(json: str, schema: int = 1, model_config: str = "", _part: str = "") -> str:
        """Store."""
        return f"{json} {schema} {model_config} {_part}"

    assert list(store.spec.parameters["properties"]) == ["json", "schema", "model_config", "_part"]
    assert store.spec.parameters["required"] == ["json"]
    assert (await store.call(call("store", json="{}", model_config="a", _part="b"), None)).text == "{} 1 a b"
    wrong = await store.call(call("store", json="{}", schema="x", given_json="y"), None)
    assert "schema: Input should be a valid integer" in wrong.text
    assert "given_json: Extra inputs are not permitted" in wrong.text


def test_senseless_options_are_refused() -> None:
    for options in ({"name": "two words"}, {"timeout_s": 0}, {"clip_chars": 0}):
        with pytest.raises(ConfigError):
            FunctionTool(weather.function, **options)


async def test_sets_compose_by_wrapping() -> None:
    tools = toolset(weather, find)
    assert list(prefixed(tools, "web_")) == ["web_weather", "web_find-place"]
    assert prefixed(tools, "web_")["web_weather"].spec.name == "web_weather"
    assert list(only(tools, ["find-place"])) == list(without(tools, ["weather"])) == ["find-place"]
    new = renamed(tools, {"weather": "forecast"})
    assert (await new["forecast"].call(call("forecast", city="Oslo"), None)).text == "Oslo: 1 days in C"
    asked: list[str] = []

    async def approve(wanted: ToolCall) -> bool:
        asked.append(wanted.name)
        return "Oslo" in wanted.arguments

    guarded = approved(tools, approve)
    assert (await guarded["weather"].call(call("weather", city="Oslo"), None)).status is ObservationStatus.OK
    assert "not approved" in (await guarded["weather"].call(call("weather", city="Rome"), None)).text
    few = limited(tools, 1)
    assert (await few["weather"].call(call("weather", city="Oslo"), None)).status is ObservationStatus.OK
    assert "limit of 1 calls" in (await few["find-place"].call(call("find-place", place={"name": "x"}, tags=[]), None)).text
    assert joined(only(tools, ["weather"]), only(tools, ["find-place"])).keys() == tools.keys()
    for wrong, says in (
        (lambda: toolset(weather, weather), "two tools are named 'weather'"),
        (lambda: only(tools, ["wether"]), "no tool named 'wether'; tools: find-place, weather"),
        (lambda: renamed(tools, {"weather": "find-place"}), "two tools are named"),
        (lambda: limited(tools, -1), "makes no sense"),
    ):
        with pytest.raises(ConfigError, match=says):
            wrong()
    own = FunctionTool(weather.function, approve=lambda wanted: False)
    assert "not approved" in (await own.call(call("weather", city="Oslo"), None)).text


@pytest.mark.parametrize(
    "arguments",
    ['{"a": 1, "b": [2, 3],}', '"{\\"a\\": 1, \\"b\\": [2, 3]}"', "{'a': 1, 'b': [2, 3]}", '```json\n{"a": 1, "b": [2, 3]}\n```'],
)
async def test_arguments_that_are_nearly_json_are_repaired(arguments):
    @tool
    def add(a: int, b: list[int]) -> int:
        """Add."""
        return a + sum(b)

    observation = await add.call(ToolCall(name="add", arguments=arguments), None)
    assert (observation.text, observation.status) == ("6", ObservationStatus.OK)


async def test_arguments_that_were_cut_are_refused():
    @tool
    def say(text: str) -> str:
        """Say."""
        return text

    observation = await say.call(ToolCall(name="say", arguments='{"text": "half a sen'), None)
    assert observation.status is ObservationStatus.INVALID
