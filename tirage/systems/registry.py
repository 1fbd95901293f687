"""The published systems by name. Nothing here names one: each module of the package brings its own `SystemSpec`."""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from tirage import systems
from tirage.agents.explorer import Agent
from tirage.core.errors import ConfigError
from tirage.core.extension import is_place, load_offered, load_place, offered
from tirage.systems.options import arguments_for
from tirage.systems.parts import AgentParts
from tirage.systems.shot_files import load_shots
from tirage.systems.spec import SystemSpec

GROUP = "tirage.systems"
"""The entry-point group in which packages offer a `SystemSpec`."""


@cache
def shipped() -> dict[str, SystemSpec]:
    """The systems of this package, by name in alphabetical order."""
    found: list[SystemSpec] = []
    for item in pkgutil.iter_modules(systems.__path__):
        module = importlib.import_module(f"{systems.__name__}.{item.name}")
        own = vars(module).get("SPECS") or (vars(module).get("SPEC"),)
        found += [spec for spec in own if isinstance(spec, SystemSpec)]
    return {spec.name: spec for spec in sorted(found, key=lambda spec: spec.name)}


def names() -> list[str]:
    """Every name that `find` takes: those shipped, then those of installed packages."""
    return [*shipped(), *(name for name in offered(GROUP) if name not in shipped())]


def find(name: str) -> SystemSpec:
    """The system `name`, or the one at `module:attribute`. Raises `ConfigError` for an unknown name, naming the known ones."""
    if is_place(name):
        return _checked(load_place(name, "system"), name)
    if name in shipped():
        return shipped()[name]
    if name in offered(GROUP):
        return _checked(load_offered(GROUP, name, "system"), name)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ConfigError(f"agent {name!r} is not known{hint}; known: {', '.join(names())}, or module:attribute of a SystemSpec")


def build(name: str, parts: AgentParts, options: Mapping[str, Any] | None = None) -> Agent:
    """The system `name` made of `parts`. Raises `ConfigError` for an unknown name or option, naming the known ones, or an invalid value."""
    spec = find(name)
    if parts.search_options.valuer is not None and not spec.takes_reward:
        taking = ", ".join(spec.name for spec in shipped().values() if spec.takes_reward)
        raise ConfigError(f"agent {name!r} has no use for a reward model; those that have: {taking}")
    known = list(spec.defaults)
    for option in options or ():
        if option not in (*known, *spec.from_python):
            raise ConfigError(f"agent {name!r} has no option {option!r}; its options: {', '.join(known) or 'none'}")
    given = dict(options or {})
    shots = given.pop("demonstrations", None)
    if shots is not None:
        parts = replace(parts, shots=load_shots(str(shots), spec))
    if spec.workflow is None:
        given |= arguments_for(spec.build, name, {option: value for option, value in given.items() if option in known})
    try:
        return spec.build(parts, **given)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"agent {name!r}: {error}") from None


def _checked(found: object, name: str) -> SystemSpec:
    if not isinstance(found, SystemSpec):
        raise ConfigError(f"{name!r} is of type {type(found).__name__}; give the module:attribute of a SystemSpec")
    return found
