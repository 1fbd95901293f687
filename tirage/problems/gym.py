"""Problems from reasoning-gym: seeded families, offline, each with its own scorer.

Questions are drawn in a child Python with hash randomisation switched off, because some families (word_ladder, knight_swap and
others) walk over sets and would give other questions in every run. It also keeps the package's imports out of this process.
"""

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.problems.base import ProblemSet, interleave

Side = Literal["any", "train", "heldout"]
_KINDS = {"algebra": "math", "arithmetic": "math", "geometry": "math", "probability": "math", "code": "code"}
_DRAW_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GymDraw:
    """Which entries of one seeded family to take."""

    family: str
    count: int
    """Problems wanted; fewer come when the family has no more distinct questions to give."""
    seed: int
    """reasoning-gym's own seed; entry `i` of most families depends on `seed + i` only."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Handed to `reasoning_gym.create_dataset`."""
    span: int | None = None
    """Entries 0 to `span` - 1 may be looked at; None: exactly `count`, repeated questions included."""
    side: Side = "any"
    """Keep only questions of this side of `tirage.problems.splits.is_heldout`."""
    tier: str = ""
    split: str = ""


def load_gym(
    families: Mapping[str, Mapping[str, Any]],
    *,
    count: int,
    seed: int = 0,
    split: str = "",
    tier: str = "",
) -> ProblemSet:
    """Draw entries 0 to `count` - 1 of each family under reasoning-gym's own `seed`, the families taking turns.

    Args:
        families: family name -> its configuration (an empty mapping gives the family's defaults).
        count: problems per family, >= 1.
        seed: the same number that `reasoning_gym.create_dataset(seed=...)` takes.
        split: mark for `Problem.split`.
        tier: mark for `metadata["tier"]`.

    Raises:
        ConfigError: unknown family, or a configuration the family refuses.
        DataError: the child that draws died.
    """
    if count < 1:
        raise ConfigError(f"count={count} problems per family; ask for at least 1")
    draws = [GymDraw(family=name, count=count, seed=seed, config=config, tier=tier, split=split) for name, config in families.items()]
    return ProblemSet("reasoning-gym", interleave(draw_problems(draws)))


def draw_problems(draws: Sequence[GymDraw]) -> list[list[Problem]]:
    """Run all draws in one child and give each draw's problems, in order. Raises as `load_gym`."""
    answers = _ask_child([asdict(draw) for draw in draws])
    return [_problems(draw, answer) for draw, answer in zip(draws, answers, strict=True)]


def gym_families() -> tuple[str, ...]:
    """Names of all families that reasoning-gym offers, sorted; its `composite` (a mixture of others) left out."""
    return tuple(_ask_child([{"list": True}])[0]["families"])


def _ask_child(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tirage.problems.gym_child"]
    try:
        done = subprocess.run(
            command, input=json.dumps(requests).encode(), capture_output=True, env=environment, timeout=_DRAW_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"reasoning-gym drew for more than {_DRAW_LIMIT_S:.0f} s; ask for fewer problems or smaller configurations"
        ) from error
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise DataError(f"the reasoning-gym child ended with code {done.returncode}: {' | '.join(tail)}")
    replies: list[dict[str, Any]] = json.loads(done.stdout)
    return replies


def _problems(draw: GymDraw, reply: Mapping[str, Any]) -> list[Problem]:
    if "known" in reply:
        near = difflib.get_close_matches(draw.family, reply["known"], n=3)
        hint = f"close: {', '.join(near)}" if near else f"it has {', '.join(reply['known'])}"
        raise ConfigError(f"reasoning-gym has no family {draw.family!r}; {hint}")
    if "error" in reply:
        raise ConfigError(f"reasoning-gym family {draw.family!r} refuses {dict(draw.config)!r}: {reply['error']}")
    shared = {"family": draw.family, "tier": draw.tier, "seed": draw.seed, "size": reply["size"], "config": dict(draw.config)}
    return [
        Problem(
            prompt=question,
            answer=answer,
            kind=_KINDS.get(reply["category"], "text"),
            source=f"reasoning-gym/{draw.family}",
            split=draw.split,
            verifier="gym",
            metadata={**shared, "index": index},
        )
        for index, question, answer in reply["entries"]
    ]
