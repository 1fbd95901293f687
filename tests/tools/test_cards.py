"""Cards: made from signatures, completed by their authors, checked, measured, found."""

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from tirage.core import Observation, ObservationStatus, ToolCall
from tirage.core.errors import ConfigError, DataError, ToolError
from tirage.core.extension import offered
from tirage.sandbox.base import Session
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.cards import card_of, render, render_all
from tirage.tools.discovery import from_attribute, from_folder, from_packages
from tirage.tools.figures import Figures, load_figures, save_figures
from tirage.tools.function import FunctionTool, Refuse, tool
from tirage.tools.python import PythonTool
from tirage.tools.retrieval import Collection, SearchTool
from tirage.tools.shell import ShellTool
from tirage.tools.toolset import approved, figures_of, limited, measured, renamed, toolset, with_card


class Place(BaseModel):
    name: str


def weather(
    city: str, days: Annotated[int, Field(ge=1, le=7)] = 1, unit: Literal["C", "F"] = "C", near: list[Place] | None = None
) -> list[dict[str, float]]:
    """Forecast for a city.

    Args:
        city: English name.
        days: How far ahead.
    """
    return [{"high": float(days)}]


NOTES: dict[str, Any] = {
    "inputs": {"unit": "Of temperatures."},
    "output": "a day each",
    "demos": [{"arguments": {"city": "Oslo", "days": 2}, "description": "the next two days"}],
    "limitations": ["cities only"],
    "best_practices": ["name the country where a name is common"],
    "version": "1.2",
}

RENDERED = """\
weather 1.2: Forecast for a city.
  input city (string): English name.
  input days (integer from 1 to 7, default 1): How far ahead.
  input unit ("C" or "F", default "C"): Of temperatures.
  input near (list of Place or null, default null)
  output: list of object of number: a day each
  demo {"city": "Oslo", "days": 2}: the next two days
  limitation: cities only
  best practice: name the country where a name is common"""


def test_a_card_is_the_signature_and_what_its_author_adds(tmp_path: Path) -> None:
    file = tmp_path / "weather.yaml"
    file.write_text(
        "inputs: {unit: Of temperatures.}\noutput: a day each\nversion: '1.2'\nlimitations: [cities only]\n"
        "demos:\n- {arguments: {city: Oslo, days: 2}, description: the next two days}\n"
        "best_practices: [name the country where a name is common]\n"
    )
    for item in (tool(card=NOTES)(weather), tool(card=file)(weather), with_card(tool(weather), NOTES), with_card(tool(weather), file)):
        assert render(card_of(item)) == RENDERED
    plain = card_of(tool(weather))
    assert (plain.demos, plain.limitations, plain.version, plain.output) == ((), (), "", "list of object of number")
    assert plain.inputs["days"].default == "1"
    assert not plain.inputs["days"].required


async def test_a_card_goes_through_wrappers_and_takes_the_new_name() -> None:
    tools = approved(limited(renamed(measured(toolset(tool(card=NOTES)(weather))), {"weather": "forecast"}), 5), lambda call: True)
    await tools["forecast"].call(ToolCall(name="forecast", arguments='{"city": "Oslo"}'), None)
    lines = render_all(tools).splitlines()
    assert lines[0] == "forecast 1.2: Forecast for a city."
    assert lines[-1].startswith("  measured: 0 of 1 calls failed; median ")


@pytest.mark.parametrize(
    ("notes", "says"),
    [
        ({"inputs": {"town": "x"}}, "its card describes 'town', which is no parameter; parameters: city, days, unit, near"),
        ({"demos": [{"arguments": {"city": 3}, "description": "x"}]}, "demo 1 of its card does not fit .city: 3 is not of type 'string'"),
        ({"demos": [{"arguments": {}, "description": "x"}]}, "demo 1 .*'city' is a required property"),
        ({"demos": [{"arguments": {"city": "x", "days": 8}, "description": "x"}]}, "days: 8 is greater than the maximum of 7"),
        ({"demos": [{"arguments": {"city": "x", "wind": 1}, "description": "x"}]}, "'wind' was unexpected"),
        ({"demos": [{"arguments": {"city": "x"}}]}, "demos.0.description of its card: it is missing; keys: arguments, description"),
        ({"limits": []}, "limits of its card: unknown key; keys: description"),
        ({"description": " "}, "has no description; write `description` in its card"),
    ],
)
def test_a_card_that_does_not_fit_says_where(notes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"^tool 'weather'.*{says}") as told:
        tool(card=notes)(weather)
    assert "\n" not in str(told.value)
    with pytest.raises(ConfigError, match=says):
        with_card(tool(weather), notes)


def test_files_that_are_no_cards_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read \(No such file"):
        tool(card=tmp_path / "none.yaml")(weather)
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="is no YAML") as told:
        tool(card=tmp_path / "bad.yaml")(weather)
    assert "\n" not in str(told.value)
    (tmp_path / "bad.yaml").write_text("version: '2'")
    corrected = tool(card=tmp_path / "bad.yaml")(weather)
    assert card_of(corrected).version == "2"
    (tmp_path / "bad.yaml").write_text("version: '3'")
    assert card_of(corrected).version == "3"


def test_the_tools_that_come_with_tirage_have_cards(tmp_path: Path) -> None:
    with Collection(tmp_path / "c.sqlite") as collection:
        for item in (PythonTool(), ShellTool(), SearchTool(collection)):
            card = card_of(item)
            assert card.demos
            assert card.limitations
            assert card.output.startswith("text: ")
            assert all(field.meaning for field in card.inputs.values())


@pytest.mark.parametrize(
    ("hint", "output"),
    [(int, "integer"), (dict[str, int], "object of integer"), (Place, "object"), (list[Place], "list of Place")]
    + [(kind, "text") for kind in (str, None, Any, str | int, list[int] | None)],
)
def test_what_comes_back_is_text_unless_it_must_be_json(hint: Any, output: str) -> None:
    def function() -> Any:
        """Say."""

    function.__annotations__["return"] = hint
    assert card_of(FunctionTool(function)).output == output


class Billed(Tool):
    """A tool that is no function, tells its cost, fails as asked, and breaks."""

    spec = ToolSpec(name="billed", description="Say.", parameters={"type": "object", "properties": {}})

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        if call.arguments == "broken":
            raise ToolError("it broke")
        return Observation(text="", status=ObservationStatus(call.arguments), data={"cost_usd": 0.02})


async def test_calls_are_measured_and_survive_a_file(tmp_path: Path) -> None:
    tools = measured(toolset(Billed()))
    for ended in ("ok", "ok", "timeout", "error", "broken", "ok", "ok", "ok"):
        try:
            await tools["billed"].call(ToolCall(name="billed", arguments=ended), None)
        except ToolError:
            assert ended == "broken"
    figures = figures_of(tools)
    assert figures["billed"].calls == 8
    assert figures["billed"].failures == {"broken": 1, "error": 1, "timeout": 1}
    assert figures["billed"].cost_usd == pytest.approx(0.14)
    save_figures(figures, tmp_path / "figures.json")
    again = measured(toolset(Billed()), load_figures(tmp_path / "figures.json"))
    assert figures_of(again) == figures
    assert "measured: 3 of 8 calls failed (1 broken, 1 error, 1 timeout); median " in render(card_of(again["billed"]))
    (tmp_path / "figures.json").write_text('{"billed": {"calls": 3}}')
    with pytest.raises(DataError, match=r"figures\.json holds no figures of tools \(billed.calls"):
        load_figures(tmp_path / "figures.json")


def test_figures_by_hand() -> None:
    figures = Figures()
    assert (figures.told(), figures.latency_s(0.5)) == ("", None)
    for number in range(1, 41):
        status = ObservationStatus.INVALID if number <= 3 else ObservationStatus.OK
        figures.add(Observation(text="", status=status), number / 100)
    # Nearest rank of 40: the 20th and the 36th.
    assert (figures.latency_s(0.5), figures.latency_s(0.9)) == (0.2, 0.36)
    assert figures.told() == "3 of 40 calls failed (3 invalid); median 0.2 s; 90% within 0.36 s"
    for _ in range(1000):
        figures.add(Observation(text=""), 5.0)
    assert (figures.calls, len(figures.seconds), figures.latency_s(0.001)) == (1040, 1000, 5.0)


MODULE = '''
from tirage.tools.function import tool

@tool
def {name}(text: str) -> str:
    """Say it {name}."""
    return text.{name}()
'''


async def test_a_tool_is_registered_by_its_own_file_alone(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(MODULE.format(name="upper"))
    (tmp_path / "_draft.py").write_text("1 / 0")
    assert list(from_folder(tmp_path)) == ["upper"]
    (tmp_path / "whisper.py").write_text(MODULE.format(name="lower"))
    (tmp_path / "lower.yaml").write_text("version: '2'\n")
    tools = from_folder(tmp_path)
    assert list(tools) == ["upper", "lower"]
    assert card_of(tools["lower"]).version == "2"
    assert (await tools["lower"].call(ToolCall(name="lower", arguments='{"text": "A"}'), None)).text == "a"
    (tmp_path / "lost.yaml").write_text("version: '2'\n")
    with pytest.raises(ConfigError, match=r"lost\.yaml is of no tool in its folder; tools: lower, upper"):
        from_folder(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match=r"broken\.py does not load \(ZeroDivisionError"):
        from_folder(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        from_folder(tmp_path / "none")


def test_an_installed_package_offers_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shouting_tools.py").write_text(MODULE.format(name="upper") + "\nnothing = 3\nboth = [upper, upper]\n")
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tirage.tools]\nshout = shouting_tools:upper\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    offered.cache_clear()
    assert from_packages()["upper"].spec.description == "Say it upper."
    assert list(from_attribute("shouting_tools:upper")) == ["upper"]
    for place, says in (
        ("shouting_tools:none", "has no attribute 'none'"),
        ("shouting_tools", "write module:attribute"),
        ("shouting_tools:nothing", "is of type int; give a function, a @tool"),
        ("shouting_tools:both", "two tools are named 'upper'"),
    ):
        with pytest.raises(ConfigError, match=says):
            from_attribute(place)
    (info / "entry_points.txt").write_text("[tirage.tools]\nshout = shouting_tools:gone\n")
    importlib.invalidate_caches()
    offered.cache_clear()
    with pytest.raises(ConfigError, match=r"tool 'shout' of shouting does not load"):
        from_packages()
    sys.modules.pop("shouting_tools", None)
    offered.cache_clear()


async def test_a_refusal_is_a_failure_of_the_call() -> None:
    @tool
    def picky() -> str:
        """Refuse."""
        raise Refuse("no")

    tools = measured(toolset(picky))
    await tools["picky"].call(ToolCall(name="picky", arguments="{}"), None)
    assert figures_of(tools)["picky"].failures == {"error": 1}
