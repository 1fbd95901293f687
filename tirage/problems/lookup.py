"""Fact lookup over a made-up world: problems that need a search tool, with their own facts.

Every problem invents its numbers, so nothing can be memorised and a right answer must come from the passages.
Standard library only; `generate` is a pure function of its arguments.
"""

from __future__ import annotations

import random
from typing import Any

NAMES: tuple[str, ...] = (
    "Velo", "Quam", "Dorvik", "Lintar", "Sarn", "Kessel", "Ombra", "Tavik", "Runa", "Zelt",
    "Morvan", "Pelka", "Ister", "Galdu", "Fenwa", "Hurst", "Jarno", "Bexel", "Corda", "Nimra",
    "Ulvar", "Wendo", "Yarrow", "Axum", "Brill", "Castra", "Drent", "Elvar", "Falk", "Grenna",
    "Hovi", "Ilmar", "Jesko", "Kolm", "Lavra", "Mirth", "Nord", "Oskar", "Plint", "Quell",
    "Rivet", "Skarn", "Torva", "Umber", "Vanta", "Wolde", "Xanth", "Ystad", "Zorin", "Alder",
    "Borel", "Cindra", "Dalmo", "Erebo", "Fjord", "Gorm", "Helix", "Indra", "Jotun", "Krell",
)  # fmt: skip

ATTRIBUTES: dict[str, tuple[int, int, str, str]] = {
    "population": (200, 9000, "people", "The population of {name} is {value} people."),
    "height": (20, 900, "metres", "The height of {name} is {value} metres."),
    "area": (10, 800, "square kilometres", "The area of {name} is {value} square kilometres."),
    "length": (15, 700, "kilometres", "The length of {name} is {value} kilometres."),
    "depth": (5, 400, "metres", "The depth of {name} is {value} metres."),
    "founding year": (1100, 1950, "", "The founding year of {name} is {value}."),
}

TIERS = ("easy", "medium", "hard")


def fact(name: str, attribute: str, value: int) -> str:
    """The passage that states one fact."""
    return ATTRIBUTES[attribute][3].format(name=name, value=value)


def _easy(rng: random.Random, draw: Any) -> tuple[str, list[tuple[str, str]], str]:
    (n, a, _) = draw()
    question = rng.choice([f"What is the {a} of {n}?", f"Find the {a} of {n}.", f"Look up the {a} of {n}."])
    return question, [(a, n)], "x"


def _medium(rng: random.Random, draw: Any) -> tuple[str, list[tuple[str, str]], str]:
    (n, a, v), (m, b, w) = draw(), draw()
    if v < w:
        (n, a, v), (m, b, w) = (m, b, w), (n, a, v)
    question, expression = rng.choice(
        [
            (f"What is the {a} of {n} plus the {b} of {m}?", "x + y"),
            (f"Add the {a} of {n} and the {b} of {m}.", "x + y"),
            (f"What is the {a} of {n} minus the {b} of {m}?", "x - y"),
            (f"By how much is the {a} of {n} larger than the {b} of {m}?", "x - y"),
            (f"What is the {a} of {n} times the {b} of {m}?", "x * y"),
            (f"Multiply the {a} of {n} by the {b} of {m}.", "x * y"),
        ]
    )
    return question, [(a, n), (b, m)], expression


def _hard(rng: random.Random, draw: Any) -> tuple[str, list[tuple[str, str]], str]:
    (n, a, _), (m, b, _) = draw(), draw()
    k = rng.randint(2, 60)
    question, expression = rng.choice(
        [
            (f"Add the {a} of {n} and the {b} of {m}, then multiply by {k}.", f"(x + y) * {k}"),
            (f"Multiply the {a} of {n} by {k} and add the {b} of {m}.", f"x * {k} + y"),
            (f"Multiply the {a} of {n} by the {b} of {m}, then add {k}.", f"x * y + {k}"),
            (f"What is {k} times the {a} of {n}, plus the {b} of {m}?", f"{k} * x + y"),
        ]
    )
    return question, [(a, n), (b, m)], expression


def generate(seed: int, index: int, tier: str) -> dict[str, Any]:
    """Problem `index` of the pool `seed`.

    Args:
        seed: the pool; nano's training uses 1,000,000 and above, evaluation stays below 100,000.
        index: number of the problem in the pool, from 0.
        tier: `easy` (one fact), `medium` (two facts, one operation) or `hard` (two facts, a constant, two operations).

    Returns:
        `question`, `answer` (a decimal integer), `facts` (the passages to search, some of them distractors, shuffled),
        and `steps`: the searches in order and the expression over their values x and y.

    Raises:
        KeyError: for an unknown tier.
    """
    make = {"easy": _easy, "medium": _medium, "hard": _hard}[tier]
    rng = random.Random(f"lookup/{seed}/{tier}/{index}")
    names = rng.sample(NAMES, 5)
    values: dict[tuple[str, str], int] = {}
    for name in names[:4]:
        for attribute in rng.sample(sorted(ATTRIBUTES), 3):
            low, high, _, _ = ATTRIBUTES[attribute]
            values[(attribute, name)] = rng.randint(low, high)
    known = sorted(values)
    rng.shuffle(known)

    def draw() -> tuple[str, str, int]:
        attribute, name = known.pop()
        return name, attribute, values[(attribute, name)]

    question, searches, expression = make(rng, draw)
    bound = dict(zip(("x", "y"), (values[s] for s in searches), strict=False))
    answer = eval(expression, {"__builtins__": {}}, bound)
    facts = [fact(name, attribute, value) for (attribute, name), value in values.items()]
    rng.shuffle(facts)
    return {
        "question": question,
        "answer": str(answer),
        "facts": facts,
        "steps": {"searches": [f"{a} of {n}" for a, n in searches], "values": list(bound.values()), "expression": expression},
    }


def search(query: str, facts: list[str]) -> str:
    """The passage that shares most words with the query; the first one on a tie. Enough for `generate`'s facts."""
    words = set(query.lower().replace("?", " ").split())

    def overlap(passage: str) -> int:
        return len(words & set(passage.lower().rstrip(".").split()))

    return max(facts, key=overlap) if facts else ""
