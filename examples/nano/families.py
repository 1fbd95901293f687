"""Problems: which families and tiers exist, how one is drawn, and how an answer is scored.

Everything comes from reasoning-gym, except two of this project's own: `lookup` (`tirage.problems.lookup`) and `asked` (`nano.asked`).
Question `i` of a reasoning-gym data set depends on `seed + i` only, so a training pool that starts at seed 1,000,000
and a held-out set below 100,000 never share a random state; `mix` removes equal texts on top of that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import reasoning_gym
import yaml

from tirage.problems import lookup

from . import asked

TIERS = ("easy", "medium", "hard")
TRAIN_SEED = 1_000_000
POOL = 2_000_000
SPEC = Path(lookup.__file__).with_name("nano_families.yaml")


@dataclass(frozen=True)
class Item:
    """One problem with everything a program or a scorer needs."""

    family: str
    tier: str
    index: int
    question: str
    answer: str
    metadata: dict[str, Any]

    @property
    def key(self) -> str:
        """What two problems must not share across splits: the text, or for Game of 24 the multiset of numbers."""
        if self.family == "puzzle24":
            return "puzzle24 " + " ".join(map(str, sorted(self.metadata["numbers"]))) + " " + self.tier
        return self.question


@lru_cache(maxsize=1)
def spec() -> dict[str, Any]:
    """The tiers of every family, as the framework's own loader reads them."""
    loaded: dict[str, Any] = yaml.safe_load(SPEC.read_text())
    return loaded


def families() -> tuple[str, ...]:
    """The trained reasoning-gym families, in the order of the file."""
    return tuple(spec()["families"])


@lru_cache(maxsize=256)
def _dataset(family: str, tier: str, seed: int, size: int) -> Any:
    config = spec()["never_trained"][family] if tier == "never" else spec()["families"][family][tier]
    return reasoning_gym.create_dataset(family, seed=seed, size=size, **config)


@lru_cache(maxsize=4)
def _puzzle24_pool(tier: str) -> tuple[tuple[int, int, int, int], ...]:
    """All ordered number quadruples a tier can ask for: reasoning-gym draws them by slow rejection, this lists them once."""
    config = spec()["families"]["puzzle24"][tier]
    low, high, operators = config["min_value"], config["max_value"], config["operators"]
    values = range(low, high + 1)
    found = set()
    for a in values:
        for b in values:
            for c in values:
                for d in values:
                    if _chain_reaches((a, b, c, d), 24, operators):
                        found.add((a, b, c, d))
    return tuple(sorted(found))


def _chain_reaches(numbers: tuple[int, ...], target: int, operators: list[str]) -> bool:
    reached = {numbers[0]}
    for number in numbers[1:]:
        grown = set()
        for value in reached:
            if "+" in operators:
                grown.add(value + number)
            if "-" in operators:
                grown.add(value - number)
            if "*" in operators:
                grown.add(value * number)
            if "/" in operators and value % number == 0:
                grown.add(value // number)
        reached = grown
    return target in reached


PUZZLE24_QUESTION = (
    "Make 24 using {numbers}. You can only use each number once. You can use the operators {operators}.\n"
    "Final answer format instructions:\n"
    "1. Provide your final answer as a arithmetic expression (no '=' sign).\n"
    "2. Do not include the target number in the expression.\n"
    "3. Use '*' for multiplication.\n"
    "4. Use '/' for division.\n"
)


def draw(family: str, tier: str, index: int, seed: int = TRAIN_SEED) -> Item:
    """Problem number `index` of the pool that starts at `seed`; the training pool unless told otherwise."""
    if family == "lookup":
        made = lookup.generate(seed, index, tier)
        return Item(family, tier, index, made["question"], made["answer"], {"facts": made["facts"], "steps": made["steps"]})
    if family == "asked":
        made = asked.generate(seed, index, tier)
        return Item(family, tier, index, made["question"], made["answer"], {"expression": made["expression"], "imports": made["imports"]})
    if family == "puzzle24" and seed >= TRAIN_SEED:
        pool = _puzzle24_pool(tier)
        numbers = random.Random(f"{seed}/{tier}/{index}").choice(pool)
        operators = ", ".join(spec()["families"][family][tier]["operators"])
        question = PUZZLE24_QUESTION.format(numbers=", ".join(map(str, numbers)), operators=operators)
        return Item(family, tier, index, question, "", {"numbers": list(numbers)})
    size = POOL if seed >= TRAIN_SEED else 20_000
    entry = _dataset(family, tier, seed, size)[index]
    return Item(family, tier, index, entry["question"], entry["answer"], entry["metadata"])


def score(item: Item, answer: str | None) -> float:
    """The family's own score of an answer; 1.0 is right."""
    if answer is None:
        return 0.0
    if item.family == "lookup":
        return 1.0 if answer.strip() == item.answer else 0.0
    if item.family == "asked":
        return 1.0 if asked.equal(answer, item.answer) else 0.0
    entry = {"question": item.question, "answer": item.answer, "metadata": item.metadata}
    scored: float = _dataset(item.family, item.tier, 1, 10).score_answer(answer=answer, entry=entry)
    return scored


def heldout(per_cell: int, seed: int = 1000, names: tuple[str, ...] | None = None) -> list[Item]:
    """`per_cell` evaluation problems of every family and tier; never shown in training (see `mix.Pool`)."""
    return [draw(f, t, i, seed) for f in names or families() for t in TIERS for i in range(per_cell)]
