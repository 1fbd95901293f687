"""Which tools help: every candidate is tried beside the base set, and those that raise the accuracy are kept.

Toolset optimisation of OctoTools (Lu et al. 2025, arXiv 2502.11271). Tools are tried one at a time, so what two do together stays unknown;
and a tool was chosen for its accuracy on these problems, so what it is worth is to be measured again on others.
"""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tirage.core.errors import ConfigError, DataError
from tirage.evaluation.figures import band, p_text, percent, points
from tirage.evaluation.intervals import Interval
from tirage.evaluation.paired import difference_interval, mcnemar_exact
from tirage.tools.base import Tool
from tirage.tools.toolset import joined

Evaluate = Callable[[Mapping[str, Tool]], Awaitable[float | Mapping[str, bool]]]
"""Solves the validation problems with a toolset; the accuracy, or per problem whether the answer was right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTrial:
    """One candidate beside the base set. What needs outcomes per problem is None without them."""

    tool: str
    accuracy: float
    delta: float
    """Its accuracy less that of the base set."""
    gained: int | None = None
    """Problems that only this set solves."""
    lost: int | None = None
    """Problems that only the base set solves."""
    interval: Interval | None = None
    """Of the delta, see `paired.difference_interval`."""
    p_value: float | None = None
    """Exact McNemar test, two-sided; not corrected for the number of candidates."""

    @property
    def kept(self) -> bool:
        """Whether the accuracy rose."""
        return self.delta > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What came of the candidates."""

    tools: Mapping[str, Tool]
    """The base set and the candidates that are kept."""
    base: tuple[str, ...]
    accuracy: float
    """Of the base set."""
    trials: tuple[ToolTrial, ...] = field(default=())
    """In the order of the candidates."""

    def table(self) -> str:
        """The trials as a Markdown table."""
        rows = ["| tool | accuracy | change | 95% | p | gained | lost | kept |", "|---|---|---|---|---|---|---|---|"]
        rows.append(f"| base: {', '.join(self.base) or 'none'} | {percent(self.accuracy)} | | | | | | yes |")
        for trial in self.trials:
            spread = "" if trial.interval is None else band(trial.interval, signed=True)
            chance = "" if trial.p_value is None else p_text(trial.p_value)
            counts = " | ".join("" if count is None else str(count) for count in (trial.gained, trial.lost))
            shown = f"{percent(trial.accuracy)} | {points(trial.delta)} | {spread} | {chance} | {counts}"
            rows.append(f"| {trial.tool} | {shown} | {'yes' if trial.kept else 'no'} |")
        return "\n".join(rows)


class _Measured(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accuracy: float = Field(ge=0, le=1)
    outcomes: dict[str, bool] | None = None


class _State(BaseModel):
    """What was evaluated so far, as kept on disk."""

    model_config = ConfigDict(extra="forbid")

    base: list[str]
    measured: dict[str, _Measured] = Field(default_factory=dict)
    """By the name of the tool that was added; "" for the base set itself."""


async def optimise(
    base: Mapping[str, Tool], candidates: Mapping[str, Tool], evaluate: Evaluate, *, concurrency: int = 1, state: Path | None = None
) -> Selection:
    """Keep the candidates d with accuracy(base + {d}) - accuracy(base) > 0, by `len(candidates) + 1` evaluations.

    Args:
        base: Always there.
        candidates: Tried one at a time. Names must differ from those of the base set.
        evaluate: Called with the base set alone, then with each candidate added.
        concurrency: Evaluations at once, at least 1.
        state: JSON file of what was evaluated, written after each evaluation; what it holds is not evaluated again.

    Raises:
        ConfigError: A name that is there twice, a concurrency below 1, an accuracy outside [0, 1].
        DataError: `state` is of another base set or not such a file, or evaluations tell outcomes of different problems.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency={concurrency} must be at least 1")
    joined(base, candidates)
    kept = _load(state, sorted(base)) if state is not None else _State(base=sorted(base))
    waiting = [name for name in ("", *candidates) if name not in kept.measured]

    async def work() -> None:
        while waiting:
            name = waiting.pop(0)
            kept.measured[name] = _checked(name, await evaluate({**base, **({name: candidates[name]} if name else {})}))
            if state is not None:
                _save(kept, state)

    workers = [asyncio.ensure_future(work()) for _ in range(min(concurrency, len(waiting)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    first = kept.measured[""]
    trials = tuple(_trial(name, first, kept.measured[name]) for name in candidates)
    chosen = {trial.tool: candidates[trial.tool] for trial in trials if trial.kept}
    return Selection(tools={**base, **chosen}, base=tuple(base), accuracy=first.accuracy, trials=trials)


def _checked(name: str, found: float | Mapping[str, bool]) -> _Measured:
    if isinstance(found, Mapping):
        if not found:
            raise ConfigError(f"the evaluation {_told(name)} gave no outcomes; give it problems")
        return _Measured(accuracy=sum(map(bool, found.values())) / len(found), outcomes={key: bool(right) for key, right in found.items()})
    if not (math.isfinite(found) and 0 <= found <= 1):
        raise ConfigError(f"the evaluation {_told(name)} gave the accuracy {found}; it must be from 0 to 1")
    return _Measured(accuracy=float(found))


def _trial(name: str, first: _Measured, found: _Measured) -> ToolTrial:
    delta = found.accuracy - first.accuracy
    if first.outcomes is None or found.outcomes is None:
        return ToolTrial(tool=name, accuracy=found.accuracy, delta=delta)
    if first.outcomes.keys() != found.outcomes.keys():
        other = sorted(first.outcomes.keys() ^ found.outcomes.keys())[0]
        raise DataError(f"the evaluation {_told(name)} and that of the base set differ in problem {other!r}; give both the same problems")
    changes = [found.outcomes[problem] - right for problem, right in first.outcomes.items()]
    gained, lost = changes.count(1), changes.count(-1)
    return ToolTrial(
        tool=name,
        accuracy=found.accuracy,
        delta=delta,
        gained=gained,
        lost=lost,
        interval=difference_interval([float(change) for change in changes]),
        p_value=mcnemar_exact(gained, lost),
    )


def _told(name: str) -> str:
    return f"with tool {name!r}" if name else "of the base set"


def _load(path: Path, base: list[str]) -> _State:
    if not path.exists():
        return _State(base=base)
    try:
        found = _State.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path} holds no toolset evaluations ({first['msg']}); give another file, or delete it to begin again") from None
    if found.base != base:
        names = ", ".join(found.base) or "none"
        raise DataError(f"{path} holds evaluations beside another base set ({names}); give another file, or delete it to begin again")
    return found


def _save(state: _State, path: Path) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(state.model_dump_json(indent=1), encoding="utf-8")
    aside.replace(path)
