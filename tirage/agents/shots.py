"""Worked examples for the roles of a published system: what its paper shows its models, or what fits the task at hand better."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tirage.agents.roles import Role
from tirage.core.errors import ConfigError

T = TypeVar("T")

POLICY = "policy"
"""The role of systems that have but one: its examples stand behind the system message."""
SLOTS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("start", "tir", "dfsdt", "lats", "rstar", "cpl"), (POLICY,)),
    "t1": ("solver", "verifier"),
    "critic-filter": ("solver", "critic"),
    "critic-refinement": ("solver", "critic", "refiner"),
    "octotools": ("predictor", "analyser", "commander", "verifier", "summariser", "reporter"),
    "socratic": ("answerer", "raiser", "editor"),
    "art": ("programmer", "coder", "judge"),
    "halo": ("planner", "parser", "templater", "optimiser", "writer", "designer", "judge", "scorer"),
}
"""By system: the roles to which examples can be shown, the main one first."""


def load_shots(path: str, system: str) -> dict[str, str]:
    """Examples by role: of a YAML file as it says, of any other text file for the main role.

    Raises `ConfigError` for a system or a role that takes none, and for a file that cannot be read.
    """
    if system not in SLOTS:
        raise ConfigError(f"agent {system!r} has no place for demonstrations; those that have: {', '.join(SLOTS)}")
    roles = SLOTS[system]
    try:
        text = Path(path).read_text(encoding="utf-8")
        found: Any = yaml.safe_load(text) if Path(path).suffix in (".yaml", ".yml") else {roles[0]: text}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"demonstrations {path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict) or not found or not all(isinstance(said, str) and said.strip() for said in found.values()):
        raise ConfigError(f"demonstrations {path}: write a mapping of roles ({', '.join(roles)}) to texts")
    unknown = next((role for role in found if role not in roles), None)
    if unknown is not None:
        raise ConfigError(f"demonstrations {path}: agent {system!r} has no role {unknown!r}; its roles: {', '.join(roles)}")
    return {str(role): said.strip() for role, said in found.items()}


def shown(role: Role[T], shots: Mapping[str, str]) -> Role[T]:
    """The role with its examples before what it is asked."""
    said = shots.get(role.name)
    if said is None:
        return role
    literal = said.replace("{", "{{").replace("}", "}}")
    return replace(role, template=f"{literal}\n\n{role.template}")


def behind(system: str | None, shots: Mapping[str, str]) -> str | None:
    """A system message with the policy's examples behind it."""
    said = shots.get(POLICY)
    return system if said is None else said if system is None else f"{system}\n\n{said}"
