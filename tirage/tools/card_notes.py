"""What the author of a tool adds to its card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class DemoNotes(BaseModel):
    """A demo as its author writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: dict[str, Any]
    description: str = Field(min_length=1)


class CardNotes(BaseModel):
    """What the author of a tool adds to its schema; in code, or as a YAML file with these keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str | None = None
    """In place of the tool's own."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Parameter to its meaning, in place of the schema's."""
    output: str = ""
    """What comes back, added to its type."""
    demos: tuple[DemoNotes, ...] = ()
    limitations: tuple[str, ...] = ()
    best_practices: tuple[str, ...] = ()
    version: str = ""


CardSource = CardNotes | Mapping[str, Any] | Path
"""Notes, their fields, or the YAML file that holds them."""
