"""Train, held-out and unseen problems that share no question, for mixtures of seeded families.

Two things keep the sides apart. Seeds: each split draws from its own range. Text: small families repeat their questions under every
seed ("3 + 4" comes up again and again), so the text itself decides on which side a question may appear (`is_heldout`).
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.problems.base import ProblemSet, interleave
from tirage.problems.base import is_heldout as is_heldout

Split = Literal["train", "heldout", "unseen"]
_ROUNDS = 4


class FixedSet(BaseModel):
    """An evaluation set that is named once and for all: entries 0 to `per_cell` - 1 of every family and tier from `seed`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(ge=0)
    per_cell: int = Field(ge=1)


class Mixture(BaseModel):
    """Families in tiers, and which seeds belong to which split. One YAML file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    train_seed_from: int = Field(
        default=1_000_000, description="Seeds from here on are left to whoever trains a base model; no split draws them."
    )
    heldout_seed_below: int = Field(default=100_000, ge=1, description="Seeds below it are held-out and unseen.")
    rounds_seed: int | None = Field(default=None, description="Train seeds start here; null: at heldout_seed_below.")
    heldout: FixedSet | None = Field(default=None, description="Held-out entries that a base model's training left out one by one as well.")
    families: dict[str, dict[str, dict[str, Any]]] = Field(description="family -> tier -> reasoning-gym configuration")
    never_trained: dict[str, dict[str, Any]] = Field(default_factory=dict, description="family -> configuration; the split `unseen`")

    @model_validator(mode="after")
    def _apart(self) -> "Mixture":
        if not self.heldout_seed_below <= self._train_start < self.train_seed_from:
            order = f"{self.heldout_seed_below} <= {self._train_start} < {self.train_seed_from}"
            raise ValueError(f"heldout_seed_below <= rounds_seed < train_seed_from must hold: {order}")
        twice = sorted(self.families.keys() & self.never_trained.keys())
        if twice:
            raise ValueError(f"{', '.join(twice)} stand in families and in never_trained; keep one")
        return self

    @property
    def tiers(self) -> tuple[str, ...]:
        """All tier names, in order of appearance."""
        return tuple(dict.fromkeys(tier for tiers in self.families.values() for tier in tiers))

    def cells(self, split: Split, tiers: Sequence[str] | None = None) -> list[tuple[str, str, dict[str, Any]]]:
        """(family, tier, configuration) of everything a split draws from; `tiers` limits it and does not apply to `unseen`.

        Raises:
            ConfigError: an unknown tier, or nothing to draw from.
        """
        if split == "unseen":
            found = [(family, "", config) for family, config in self.never_trained.items()]
        else:
            unknown = sorted(set(tiers or ()) - set(self.tiers))
            if unknown:
                raise ConfigError(f"unknown tier {', '.join(unknown)}; the mixture has {', '.join(self.tiers)}")
            every = [(family, tier, config) for family, each in self.families.items() for tier, config in each.items()]
            found = [cell for cell in every if not tiers or cell[1] in tiers]
        if not found:
            raise ConfigError(f"the mixture has no families for the split {split!r}")
        return found

    def seeds(self, split: Split) -> range:
        """The seeds of a split."""
        return range(self._train_start, self.train_seed_from) if split == "train" else range(self.heldout_seed_below)

    @property
    def _train_start(self) -> int:
        return self.heldout_seed_below if self.rounds_seed is None else self.rounds_seed


def load_mixture(path: str | Path | None = None) -> Mixture:
    """Read a mixture file; None reads the embedded model's own.

    Raises:
        ConfigError: the file is missing or does not fit; names the key.
    """
    place = files("tirage.problems") / "nano_families.yaml" if path is None else Path(path)
    try:
        data = yaml.safe_load(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the mixture {place}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"the mixture {place} is not YAML: {error}") from error
    return parse_mixture(data, str(place))


def parse_mixture(data: Any, name: str = "mixture") -> Mixture:
    """Check mixture data. Raises `ConfigError` naming the keys that do not fit."""
    try:
        return Mixture.model_validate(data)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc'])) or name}: {item['msg']}" for item in error.errors()]
        raise ConfigError(f"{name} is not a mixture: {'; '.join(lines)}") from error


def draw_split(mixture: Mixture, split: Split, *, count: int, seed: int = 0, tiers: Sequence[str] | None = None) -> ProblemSet:
    """Draw `count` distinct problems of a split, evenly over families and tiers, in an order whose every prefix is a fair mixture.

    A family that runs out of distinct questions leaves its share to the others. The same arguments give the same problems in the same
    order; different seeds give different ones, and no two splits share a question whatever the seeds and counts.

    Raises:
        ConfigError: `count` < 1, an unknown tier, or a family reasoning-gym does not know.
        DataError: all families together have fewer distinct questions than asked for.
    """
    if count < 1:
        raise ConfigError(f"count={count}; ask for at least 1 problem")
    cells = sorted(mixture.cells(split, tiers), key=lambda cell: derive_seed("cell", seed, cell[0], cell[1]))
    quotas = [count // len(cells) + (place < count % len(cells)) for place in range(len(cells))]
    groups: list[list[Problem]] = [[] for _ in cells]
    dry: set[int] = set()
    problems: tuple[Problem, ...] = ()
    for _ in range(_ROUNDS):
        short = [place for place, quota in enumerate(quotas) if place not in dry and len(groups[place]) < quota]
        for place, group in zip(short, _draw(mixture, split, seed, [(cells[place], quotas[place]) for place in short]), strict=True):
            groups[place] = group
            if len(group) < quotas[place]:
                dry.add(place)
        problems = _distinct_texts(interleave(groups))
        missing = count - len(problems)
        alive = [place for place in range(len(cells)) if place not in dry]
        if missing <= 0 or not alive:
            break
        for turn, place in enumerate(alive):
            quotas[place] += missing // len(alive) + (turn < missing % len(alive))
    if len(problems) < count:
        raise DataError(f"the mixture has only {len(problems)} distinct {split} problems for these tiers; {count} were asked for")
    return ProblemSet(f"gym/{split}", problems[:count])


def _distinct_texts(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Without repeated questions: families may ask the same ("3 + 4" is a sum in more than one)."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(" ".join(problem.prompt.lower().split()), problem)
    return tuple(first.values())


def _draw(mixture: Mixture, split: Split, seed: int, wanted: list[tuple[tuple[str, str, dict[str, Any]], int]]) -> list[list[Problem]]:
    from tirage.problems.gym import GymDraw, draw_problems

    seeds = mixture.seeds(split)
    draws = []
    for (family, tier, config), quota in wanted:
        if quota == 0:
            continue
        span = min(len(seeds), 400 + 30 * quota)
        start = seeds[derive_seed("window", seed, family, tier) % (len(seeds) - span + 1)]
        side: Literal["train", "heldout"] | Literal["any"] = "any" if split == "unseen" else split
        draws.append(GymDraw(family=family, config=config, count=quota, seed=start, span=span, side=side, tier=tier, split=split))
    drawn = iter(draw_problems(draws)) if draws else iter(())
    return [next(drawn) if quota else [] for _, quota in wanted]


def single_tier(families: Mapping[str, Mapping[str, Any]]) -> Mixture:
    """A mixture of families without tiers, with the usual seed ranges."""
    return parse_mixture({"families": {family: {"": dict(config)} for family, config in families.items()}}, "families")
