"""Worked examples for the roles of a published system: what its paper shows its models, or what fits the task at hand better."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from tirage.workflows.roles import Role

T = TypeVar("T")

POLICY = "policy"
"""The role of systems that have but one: its examples stand behind the system message."""


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
