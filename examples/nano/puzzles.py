"""Countdown and Game of 24 by hand: line-by-line moves such as `12 + 4 = 16, left 16 7 2`, with noticed dead ends.

The lines are legal arithmetic in a fixed form, so a tree search can check and extend them one by one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .families import Item


@dataclass(frozen=True)
class Move:
    """One combination of two of the numbers left."""

    line: str
    left: tuple[int, ...]
    texts: tuple[str, ...]


def moves(left: tuple[int, ...], texts: tuple[str, ...], signs: str) -> list[Move]:
    """Every legal next move: any two numbers, results that are non-negative integers; the new number stands first."""
    found: list[Move] = []
    for i, a in enumerate(left):
        for j, b in enumerate(left):
            if i == j:
                continue
            rest = tuple(v for k, v in enumerate(left) if k not in (i, j))
            others = tuple(t for k, t in enumerate(texts) if k not in (i, j))
            for sign in signs:
                if (sign in "+*" and (i > j)) or (sign == "-" and a < b) or (sign == "/" and (b == 0 or a % b)):
                    continue
                value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[sign]
                kept = (value, *rest)
                line = f"{a} {sign} {b} = {value}, left {' '.join(map(str, kept))}"
                found.append(Move(line, kept, (f"({texts[i]} {sign} {texts[j]})", *others)))
    return found


def solve(left: tuple[int, ...], target: int, signs: str, rng: random.Random, texts: tuple[str, ...] = ()) -> list[Move] | None:
    """A random winning sequence of moves, or None."""
    texts = texts or tuple(map(str, left))
    if len(left) == 1:
        return [] if left[0] == target else None
    options = moves(left, texts, signs)
    rng.shuffle(options)
    for move in options:
        rest = solve(move.left, target, signs, rng, move.texts)
        if rest is not None:
            return [move, *rest]
    return None


def target_and_signs(item: Item) -> tuple[int, str]:
    """What is to be reached, and the operators that the tier allows."""
    if item.family == "countdown":
        return item.metadata["target"], "+-*"
    allowed = item.question.split("operators")[1].split("\n")[0]
    return 24, "".join(s for s in "+-*/" if s in allowed)


def dead_end(item: Item, rng: random.Random) -> list[str]:
    """A random legal attempt that misses, ending in the remark that it does."""
    target, signs = target_and_signs(item)
    left, texts = tuple(item.metadata["numbers"]), tuple(map(str, item.metadata["numbers"]))
    lines: list[str] = []
    while len(left) > 1:
        move = rng.choice(moves(left, texts, signs))
        left, texts = move.left, move.texts
        lines.append(move.line)
    if left[0] == target:
        return []
    lines[-1] += ": no. " + rng.choice(["Wait, try again.", "Wait, another way.", "Alternatively:"])
    return lines


def by_hand(item: Item, rng: random.Random) -> tuple[list[str], str] | None:
    """Moves that reach the target and the expression they spell; None where subtraction below zero would be needed."""
    target, signs = target_and_signs(item)
    path = solve(tuple(item.metadata["numbers"]), target, signs, rng)
    if path is None:
        return None
    lines: list[str] = []
    if rng.random() < 0.3:
        for _ in range(rng.choice([1, 1, 2])):
            lines += dead_end(item, rng)
    return lines + [m.line for m in path], path[-1].texts[0][1:-1]
