"""Tools found where they are written: in installed packages, in a folder, under a name. A new one needs no change outside its own file."""

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from tirage.core.errors import ConfigError
from tirage.core.extension import ExtensionPoint, offered
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.function import tool
from tirage.tools.toolset import toolset, with_card

GROUP = "tirage.tools"
"""Entry points of this group name a function, a tool, or a mapping or list of these, as `module:attribute`."""


def from_packages() -> dict[str, Tool]:
    """The tools that installed packages offer as entry points of the group `tirage.tools`. Raises `ConfigError` for one that fails."""
    return toolset(*(item for name in offered(GROUP) for item in from_attribute(name).values()))


def from_attribute(place: str) -> dict[str, Tool]:
    """The tool or tools at `module:attribute`, or under the name of an entry point; a plain function is made a tool.

    Raises `ConfigError` when there are none.
    """
    return toolset(*_tools_in(OWN.load(place)))


def from_folder(folder: Path) -> dict[str, Tool]:
    """The tools at the top level of the folder's modules, by file name; `NAME.yaml` beside them is the card of the tool NAME.

    Runs the modules, those whose name begins with `_` aside. Raises `ConfigError` for a module that fails, or a card without its tool.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give one with modules that define tools")
    found: dict[int, Tool] = {}
    for path in sorted(folder.glob("[!_]*.py")):
        found |= {id(value): value for value in vars(_run(path)).values() if _is_tool(value)}
    tools = toolset(*found.values())
    for card in sorted(folder.glob("*.yaml")):
        if card.stem not in tools:
            known = ", ".join(sorted(tools)) or "none"
            raise ConfigError(f"the card {card} is of no tool in its folder; tools: {known}")
        tools[card.stem] = with_card(tools[card.stem], card)
    return tools


def _run(path: Path) -> ModuleType:
    name = f"{GROUP}.folder.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Type hints and dataclasses look their module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except Exception as error:  # the module's own code runs here
        raise ConfigError(f"{path} does not load ({_told(error)}); correct it, or begin its name with _ to leave it out") from error
    finally:
        del sys.modules[name]
    return module


def _tools_in(value: Any) -> list[Tool]:
    """The tools that a value is or holds, plain functions made into tools; none where it holds anything else."""
    if isinstance(value, Mapping):
        value = list(value.values())
    items: list[Any] = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not all(_is_tool(item) or inspect.isroutine(item) for item in items):
        return []
    return [item if _is_tool(item) else tool(item) for item in items]


def _is_tool(value: object) -> bool:
    return not isinstance(value, type) and isinstance(getattr(value, "spec", None), ToolSpec) and callable(getattr(value, "call", None))


OWN: ExtensionPoint[object] = ExtensionPoint(
    "tool", GROUP, "a function, a @tool, or a mapping or list of these", lambda found: bool(_tools_in(found))
)


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
