"""The published systems by name. Nothing here names one: each module of the package brings its own `SystemSpec`."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from tirage import systems
from tirage.agents.explorer import Agent
from tirage.core.errors import ConfigError
from tirage.core.extension import ExtensionPoint
from tirage.systems.options import arguments_for
from tirage.systems.parts import AgentParts
from tirage.systems.shot_files import load_shots
from tirage.systems.spec import SystemSpec

OWN: ExtensionPoint[SystemSpec] = ExtensionPoint("system", "tirage.systems", "a SystemSpec", lambda found: isinstance(found, SystemSpec))


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
    return [*shipped(), *(name for name in OWN.offers if name not in shipped())]


def find(name: str) -> SystemSpec:
    """The system `name`, or the one at `module:attribute`. Raises `ConfigError` for an unknown name, naming the known ones."""
    if name in shipped():
        return shipped()[name]
    if OWN.has(name):
        return OWN.load(name)
    raise OWN.unknown(name, names())


def build(system: str | SystemSpec, parts: AgentParts, options: Mapping[str, Any] | None = None) -> Agent:
    """The system, or the one of that name, made of `parts`.

    Raises `ConfigError` for an unknown name or option, naming the known ones, or an invalid value.
    """
    spec, name = (find(system), system) if isinstance(system, str) else (system, system.name)
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
