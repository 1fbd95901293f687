"""Tools found where they are written: in installed packages, in a folder, under a name. A new one needs no change outside its own file."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from tirage.core.errors import ConfigError
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.toolset import toolset, with_card

GROUP = "tirage.tools"
"""Entry points of this group name a tool, or a mapping or list of tools, as `module:attribute`."""


def from_packages() -> dict[str, Tool]:
    """The tools that installed packages offer as entry points of the group `tirage.tools`. Raises `ConfigError` for one that fails."""
    found: list[Tool] = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            value = entry.load()
        except Exception as error:  # a package's own code runs here
            owner = entry.dist.name if entry.dist is not None else "a package"
            raise ConfigError(f"the tools {entry.value!r} of {owner} do not load ({_told(error)}); update or remove it") from error
        found += _tools_in(value, entry.value)
    return toolset(*found)


def from_attribute(place: str) -> dict[str, Tool]:
    """The tool or tools at `module:attribute`. Raises `ConfigError` when there are none."""
    module, _, attribute = place.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{place!r} names no tools; write module:attribute")
    try:
        value = getattr(importlib.import_module(module), attribute)
    except ConfigError:
        raise
    except Exception as error:  # the module's own code runs here
        raise ConfigError(f"the tools {place!r} do not load ({_told(error)}); give an importable module and an attribute of it") from error
    return toolset(*_tools_in(value, place))


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
        raise ConfigError(f"{path} does not load ({_told(error)}); mend it, or begin its name with _ to leave it out") from error
    finally:
        del sys.modules[name]
    return module


def _tools_in(value: object, place: str) -> list[Tool]:
    if _is_tool(value):
        return [value]  # type: ignore[list-item]
    items = list(value.values()) if isinstance(value, Mapping) else list(value) if isinstance(value, Iterable) else []
    if not items or not all(map(_is_tool, items)):
        raise ConfigError(f"{place!r} is no tool but {value!r:.80}; give a tool, or a mapping or list of tools")
    return items


def _is_tool(value: object) -> bool:
    return not isinstance(value, type) and isinstance(getattr(value, "spec", None), ToolSpec) and callable(getattr(value, "call", None))


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
