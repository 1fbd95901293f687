"""Hints in the manner of START (arXiv 2503.04625, section 3): which hint, where, how often.

A plan is a pure function of the trajectory's seed and of what has happened, so a resumed rollout gets the same hints.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from tirage.core.errors import ConfigError, DataError
from tirage.core.hint import Hint, HintPosition
from tirage.core.message import ObservationStatus
from tirage.core.own_text import read_own
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Step
from tirage.verification.equality.equivalence import quick_equal
from tirage.verification.extract import final_answer

CONNECTIVES = re.compile(r"\b(?:Wait|Alternatively)\b")
"""Reflective connectives after which START inserts hints."""


def load_library(path: Path | None = None) -> tuple[Hint, ...]:
    """The shipped START library, or the YAML file at `path`. Raises `DataError` naming the entry that is wrong."""
    if path is None:
        return _shipped_library()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"hint library {path} cannot be read: {error.strerror}") from error
    return _parse_library(text, str(path))


@cache
def _shipped_library() -> tuple[Hint, ...]:
    text = resources.files("tirage.agents").joinpath("hint_library.yaml").read_text(encoding="utf-8")
    return _parse_library(text, "hint_library.yaml")


def _parse_library(text: str, name: str) -> tuple[Hint, ...]:
    try:
        entries = yaml.safe_load(text)["hints"]
        return tuple(_parse_hint(entry) for entry in entries)
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"hint library {name} is malformed ({error}); see tirage/agents/hint_library.yaml for the form") from error


def _parse_hint(entry: dict[str, Any]) -> Hint:
    positions = tuple(HintPosition(position) for position in entry["positions"])
    return Hint(id=entry["id"], family=entry["family"], text=entry["text"], domains=tuple(entry.get("domains", ())), positions=positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHint:
    """The next hint of a trajectory and where it is to be tried first."""

    hint: Hint
    position: HintPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class HintPlan:
    """How a run gives hints: at which positions, how many rounds, from which library."""

    library: tuple[Hint, ...]
    positions: tuple[HintPosition, ...] = (HintPosition.END_OF_THINKING,)
    """Positions to draw from, uniformly, one per trajectory."""
    rounds: int = 1
    """Hints per trajectory; from the second on they stand at the end of thinking or before the stop (sequential scaling)."""

    def __post_init__(self) -> None:
        """Refuse a plan that can never give a hint."""
        if self.rounds < 0 or not self.positions or not self.library:
            raise ConfigError("a hint plan needs rounds >= 0, at least one position and a library with hints")

    def hint(self, problem: Problem, seed: int, number: int) -> PlannedHint | None:
        """The trajectory's hint `number`, from 0; None when all rounds are used or the library has none for this problem."""
        return next(islice(self._schedule(problem, seed), number, None), None)

    def _schedule(self, problem: Problem, seed: int) -> Iterator[PlannedHint]:
        draw = random.Random(derive_seed(seed, "hints"))
        families: set[str] = set()
        position = draw.choice(self.positions)
        late = [place for place in self.positions if place in (HintPosition.END_OF_THINKING, HintPosition.BEFORE_STOP)]
        for number in range(self.rounds):
            if number > 0:
                position = draw.choice(late or [HintPosition.BEFORE_STOP])
            fitting = [hint for hint in self.library if hint.suits(problem.kind) and position in hint.positions]
            fresh = [hint for hint in fitting if hint.family not in families]
            if not fitting:
                return
            hint = draw.choice(fresh or fitting)
            families.add(hint.family)
            yield PlannedHint(hint=hint, position=position)


def agreed(steps: Sequence[Step], text: str) -> bool:
    """Whether the last two rounds came to the same answer, the later one with code that ran: then no further hint is needed.

    A round goes from one hint to the next, the first one from the prompt. `text` was written after `steps`.
    """
    rounds: list[list[Step]] = [[]]
    for step in steps:
        if step.hint is not None:
            rounds.append([])
        rounds[-1].append(step)
    if len(rounds) < 2 or not any(item.status is ObservationStatus.OK for step in rounds[-1] for item in step.observations):
        return False
    before, now = (final_answer(read_own(part).text + after) for part, after in ((rounds[-2], ""), (rounds[-1], text)))
    return before is not None and now is not None and quick_equal(now, before) is True


def pick_connective(text: str, seed: int) -> re.Match[str] | None:
    """One of the reflective connectives in `text`, drawn uniformly under `seed`; None when there is none."""
    found = list(CONNECTIVES.finditer(text))
    return random.Random(derive_seed(seed, "connective")).choice(found) if found else None


def cut_reason(steps: Sequence[Step], think_close: str | None, *, at_limit: bool = False) -> tuple[HintPosition, str]:
    """Where the last step was cut, and the reason to record. `steps` ends with a CUT step, at its token limit if `at_limit`."""
    text = steps[-1].policy_text
    connective = CONNECTIVES.search(text.rstrip()[-len("Alternatively") :])
    if connective is not None and text.rstrip().endswith(connective.group()):
        return HintPosition.MARKER, connective.group()
    thinking_open = think_close is not None and not any(think_close in step.text for step in steps)
    if thinking_open:
        return HintPosition.END_OF_THINKING, "limit" if at_limit else "end-of-thinking"
    return HintPosition.BEFORE_STOP, "limit" if at_limit else "stop"
