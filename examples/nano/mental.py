"""Short solutions without a tool: honest intermediate results where there are any, and the right final answer.

They teach the base model to answer at once. On the easy tier it learns to be right; on the harder ones it can only
guess, which is the weakness that hints and training rounds are there to repair.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from decimal import Decimal

from . import gsm, puzzles
from .families import TRAIN_SEED, Item
from .programs import time_ends

Lines = list[str]


def _running(item: Item, rng: random.Random) -> Lines:
    parts = item.metadata["expression"].split(" ")
    if "(" in item.metadata["expression"] or "*" in item.metadata["expression"]:
        return [f"{item.metadata['expression']} = {item.answer}"]
    lines, total = [], Decimal(parts[0])
    for sign, number in zip(parts[1::2], parts[2::2], strict=True):
        after = total + Decimal(number) if sign == "+" else total - Decimal(number)
        lines.append(f"{total} {sign} {number} = {after}")
        total = after
    return lines


def _gsm(item: Item, rng: random.Random) -> Lines:
    work = gsm.worked(item, item.metadata.get("pool_seed", TRAIN_SEED))
    return list(work.by_hand) if work else [f"That makes {item.answer}."]


def _gcd(item: Item, rng: random.Random) -> Lines:
    lines = []
    a, *rest = item.metadata["numbers"]
    for b in rest:
        x, y = max(a, b), min(a, b)
        while y:
            lines.append(f"{x} mod {y} = {x % y}")
            x, y = y, x % y
        a = x
    return lines


def _lcm(item: Item, rng: random.Random) -> Lines:
    lines = []
    a, *rest = item.metadata["numbers"]
    for b in rest:
        g = math.gcd(a, b)
        lines.append(f"gcd of {a} and {b} is {g}, {a} * {b} / {g} = {a * b // g}")
        a = a * b // g
    return lines


def _factors(item: Item, rng: random.Random) -> Lines:
    n = item.metadata["number"]
    lines = []
    for p in item.metadata["factors"][:-1]:
        lines.append(f"{n} / {p} = {n // p}")
        n //= p
    return [*lines, f"{n} is prime"]


def _primes(item: Item, rng: random.Random) -> Lines:
    primes = item.metadata["primes"]
    return [f"The primes are {', '.join(map(str, primes)) or 'none'}"] if len(primes) <= 12 else [f"There are {item.answer} primes."]


def _calendar(item: Item, rng: random.Random) -> Lines:
    meta = item.metadata
    if meta["task"] == "is_leap_year":
        return [f"{meta['year']} mod 4 = {meta['year'] % 4}"]
    if meta["task"] == "weekday_offset":
        n = meta["offset_days"]
        start = re.search(r"(\w+day),", item.question)
        assert start is not None
        return [f"{abs(n)} mod 7 = {abs(n) % 7}", f"{start.group(1)} {'+' if n > 0 else '-'} {abs(n) % 7} is {item.answer}"]
    return [f"I think it is {item.answer}."]


def _interval(item: Item, rng: random.Random) -> Lines:
    start, end = time_ends(item)
    return [f"{end} - {start} = {item.answer}"] if item.metadata["task_type"] != "date" else [f"That is {item.answer}."]


def _equation(item: Item, rng: random.Random) -> Lines:
    return [f"{item.metadata['variable']} = {item.answer}"]


def _base(item: Item, rng: random.Random) -> Lines:
    m = item.metadata
    return [
        f"{m['source_repr']} in base {m['source_base']} is {m['decimal_value']}",
        f"{m['decimal_value']} in base {m['target_base']} is {m['target_repr']}",
    ]


def _bits(item: Item, rng: random.Random) -> Lines:
    return [f"In binary: {item.metadata['binary']}"] if item.tier == "easy" else [f"I count {item.answer} ones."]


def _guess(item: Item, rng: random.Random) -> Lines:
    return [rng.choice(["I can see the answer.", "Let me go through it.", "This can be done directly."])]


def _letters(item: Item, rng: random.Random) -> Lines:
    letter = item.metadata["target_letter"]
    return [", ".join(f"{w} {w.lower().count(letter)}" for w in item.metadata["span"])]


def _legs(item: Item, rng: random.Random) -> Lines:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    lines = [f"{a}: {n} * {ANIMALS[a]} = {n * ANIMALS[a]}" for a, n in item.metadata["animals"].items()]
    return [*lines, f"in total {item.answer}"]


def _fraction(item: Item, rng: random.Random) -> Lines:
    return [f"Divide both by {item.metadata['factor']}"]


def _expression_only(item: Item, rng: random.Random) -> Lines:
    return [f"{item.metadata['expression']} = {item.answer}"]


def _lookup(item: Item, rng: random.Random) -> Lines:
    steps = item.metadata["steps"]
    return [f"The {s} is about {v}." for s, v in zip(steps["searches"], steps["values"], strict=True)]


LINES: dict[str, Callable[[Item, random.Random], Lines]] = {
    "basic_arithmetic": _running,
    "chain_sum": _running,
    "products": _expression_only,
    "decimal_chain_sum": _running,
    "gsm_symbolic": _gsm,
    "gcd": _gcd,
    "lcm": _lcm,
    "prime_factorization": _factors,
    "count_primes": _primes,
    "calendar_arithmetic": _calendar,
    "time_intervals": _interval,
    "simple_equations": _equation,
    "base_conversion": _base,
    "bitwise_arithmetic": _guess,
    "count_bits": _bits,
    "number_sorting": _guess,
    "number_filtering": _guess,
    "letter_counting": _letters,
    "leg_counting": _legs,
    "fraction_simplification": _fraction,
    "lookup": _lookup,
    "asked": _expression_only,
}

OPENERS = ("Let me see.", "I can do this directly.", "Let me think.", "First the given numbers.", "Let me work it out.")
DOUBTS = ("Wait, let me look again.", "Wait, is that right?", "Alternatively, check it once more.", "Wait, once more.")


def solution(item: Item, rng: random.Random) -> tuple[list[str], str] | None:
    """Lines of thought without a tool and the answer; None for a puzzle whose solution needs negative numbers.

    About one in six contains a connective ("Wait", "Alternatively") after which the last step is said again, so that the
    positions at which a framework inserts hints occur in the model's own text.
    """
    if item.family in ("countdown", "puzzle24"):
        return puzzles.by_hand(item, rng)
    lines = LINES[item.family](item, rng)
    if rng.random() < 0.6:
        lines = [rng.choice(OPENERS), *lines]
    if rng.random() < 0.18:
        lines = [*lines, f"{rng.choice(DOUBTS)} {lines[-1] if len(lines[-1]) < 60 else 'It is the same.'}"]
    return lines, item.answer
