"""What the calls of a tool came to: how many, how they ended, how long they took, what they cost."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tirage.core.errors import DataError
from tirage.core.message import Observation, ObservationStatus

BROKEN = "broken"
"""How a call ended that raised instead of giving an observation."""
KEPT = 1000
"""Latencies kept, the newest."""


class Figures(BaseModel):
    """The figures of one tool, summed over its calls."""

    model_config = ConfigDict(extra="forbid")

    ended: Counter[str] = Field(default_factory=Counter)
    """Calls by how they ended: a status of an observation, or `broken`."""
    seconds: list[float] = Field(default_factory=list)
    """Latencies of the newest calls, oldest first."""
    cost_usd: float = 0.0
    """What the tool said that its calls cost, in `Observation.data["cost_usd"]`."""

    def add(self, found: Observation | None, seconds: float) -> None:
        """Count a call that took `seconds`; None for one that raised."""
        self.ended[BROKEN if found is None else found.status.value] += 1
        self.seconds = [*self.seconds[1 - KEPT :], seconds]
        cost = found.data.get("cost_usd", 0.0) if found is not None else 0.0
        self.cost_usd += cost if isinstance(cost, int | float) else 0.0

    @property
    def calls(self) -> int:
        """All calls."""
        return self.ended.total()

    @property
    def failures(self) -> dict[str, int]:
        """Calls that did not end well, by status, in the order of the names."""
        return {name: count for name, count in sorted(self.ended.items()) if name != ObservationStatus.OK and count}

    def latency_s(self, share: float) -> float | None:
        """The time within which `share` (above 0, at most 1) of the newest calls ended, by nearest rank; None without calls."""
        if not self.seconds:
            return None
        return sorted(self.seconds)[math.ceil(share * len(self.seconds)) - 1]

    def told(self) -> str:
        """One line for a planner; empty without calls."""
        half, most = self.latency_s(0.5), self.latency_s(0.9)
        if half is None or most is None:
            return ""
        failed = f"{sum(self.failures.values())} of {self.calls} calls failed"
        if self.failures:
            failed += f" ({', '.join(f'{count} {name}' for name, count in self.failures.items())})"
        parts = [failed, f"median {half:.2g} s", f"90% within {most:.2g} s"]
        if self.cost_usd:
            parts.append(f"{self.cost_usd / self.calls:.2g} USD a call")
        return "; ".join(parts)


_FILE: TypeAdapter[dict[str, Figures]] = TypeAdapter(dict[str, Figures])


def save_figures(figures: Mapping[str, Figures], path: Path) -> None:
    """Write figures by tool name as JSON."""
    path.write_text(json.dumps({name: item.model_dump() for name, item in sorted(figures.items())}, indent=1) + "\n", encoding="utf-8")


def load_figures(path: Path) -> dict[str, Figures]:
    """What `save_figures` wrote. Raises `DataError` for a file that has not its form."""
    try:
        return _FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path} holds no figures of tools ({where}: {first['msg']}); give a file that `save_figures` wrote") from None
