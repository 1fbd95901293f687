"""Plain questions of arithmetic in the words of people: "What is 4839 * 2716?", "How much is 51 times 99200?".

The families of reasoning-gym state their problems in a few fixed sentences; whoever tries the model asks otherwise.
Standard library only; `generate` is a pure function of its arguments.
"""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

DIGITS = {"easy": (1, 2), "medium": (2, 4), "hard": (2, 6)}
"""Tier -> fewest and most digits of a number."""

FRAMES = (
    "Compute {e}.", "Calculate {e}.", "Evaluate {e}.", "Find {e}.", "Work out {e}.", "Please compute {e}.", "How much is {e}?",
    "What's {e}?", "What is the value of {e}?", "What is the result of {e}?", "Tell me what {e} is.", "{e} = ?", "{e} =", "{e}?", "{e}",
)  # fmt: skip
SIGNS = {"+": ("+",), "-": ("-",), "*": ("*", "*", "×", "x"), "//": ("//",), "%": ("%",), "/": ("/", "÷")}
WORDS = {
    "+": ("What is {a} plus {b}?", "How much is {a} plus {b}?", "Add {a} and {b}.", "What is the sum of {a} and {b}?"),
    "-": ("What is {a} minus {b}?", "How much is {a} minus {b}?", "Subtract {b} from {a}.", "What is the difference of {a} and {b}?"),
    "*": ("What is {a} times {b}?", "How much is {a} times {b}?", "Multiply {a} by {b}.", "What is the product of {a} and {b}?"),
    "/": ("What is {a} divided by {b}?", "Divide {a} by {b}.", "How much is {a} divided by {b}?"),
    "//": ("How many times does {b} go into {a}?",),
    "%": ("What is the remainder when {a} is divided by {b}?", "What is {a} mod {b}?", "What is {a} modulo {b}?"),
}
NAMED = {"gcd": ("gcd", "greatest common divisor", "GCD"), "lcm": ("lcm", "least common multiple", "LCM")}
CHOICES = {
    "max": ("Which is larger, {a} or {b}?", "Which is bigger, {a} or {b}?", "Which number is larger, {a} or {b}?",
            "What is the larger of {a} and {b}?"),
    "min": ("Which is smaller, {a} or {b}?", "Which number is smaller, {a} or {b}?", "What is the smaller of {a} and {b}?"),
}  # fmt: skip

Asked = tuple[str, str, str, str]
"""Question, Python expression, imports that it needs, answer."""


def generate(seed: int, index: int, tier: str) -> dict[str, Any]:
    """Question `index` of the pool `seed`: `question`, `answer`, and the `expression` and `imports` of its program."""
    rng = random.Random(f"asked/{seed}/{tier}/{index}")
    kinds = (_pair, _quotient, _chain, _named, _choice, _power, _decimals)
    question, expression, imports, answer = rng.choices(kinds, (0.64, 0.09, 0.09, 0.07, 0.05, 0.02, 0.04))[0](rng, tier)
    return {"question": question, "answer": answer, "expression": expression, "imports": imports}


def equal(answer: str, right: str) -> bool:
    """Whether two answers are the same number."""
    try:
        return Fraction(answer.strip()) == Fraction(right)
    except (ValueError, ZeroDivisionError):
        return False


def _number(rng: random.Random, tier: str) -> int:
    """A number of the tier; one in four is made of two digits only, since runs and repeats are what copying gets wrong."""
    length = rng.randint(*DIGITS[tier])
    digits = rng.sample("0123456789", 2) if rng.random() < 0.25 else "0123456789"
    head = rng.choice([d for d in digits if d != "0"])
    return int(head + "".join(rng.choice(digits) for _ in range(length - 1)))


def _framed(expression: str, rng: random.Random) -> str:
    """A question around an expression."""
    if rng.random() < 0.08:
        expression = expression.replace(" ", "")
    return f"What is {expression}?" if rng.random() < 0.55 else rng.choice(FRAMES).format(e=expression)


def _worded(a: int | str, sign: str, b: int | str, rng: random.Random, words: float = 0.25) -> str:
    """A question about `a sign b`, with signs or in words."""
    if rng.random() < words:
        return rng.choice(WORDS[sign]).format(a=a, b=b)
    return _framed(f"{a} {rng.choice(SIGNS[sign])} {b}", rng)


def _pair(rng: random.Random, tier: str) -> Asked:
    a, sign, b = _number(rng, tier), rng.choice("+-*"), _number(rng, tier)
    expression = f"{a} {sign} {b}"
    shown = (f"{a:,}", f"{b:,}") if rng.random() < 0.03 else (str(a), str(b))
    return _worded(shown[0], sign, shown[1], rng), expression, "", str(eval(expression))


def _quotient(rng: random.Random, tier: str) -> Asked:
    sign = rng.choice(("/", "//", "%", "%"))
    b = max(2, _number(rng, "easy" if tier == "easy" else "medium"))
    a = b * _number(rng, "easy") if sign == "/" and rng.random() < 0.7 else _number(rng, tier)
    question = _worded(a, sign, b, rng, words=0.5)
    if sign == "/":
        return question, f"Fraction({a}, {b})", "from fractions import Fraction", str(Fraction(a, b))
    return question, f"{a} {sign} {b}", "", str(a // b if sign == "//" else a % b)


def _chain(rng: random.Random, tier: str) -> Asked:
    a, b, c = (_number(rng, "easy" if tier == "easy" else "medium") for _ in range(3))
    first, second = rng.choice("+-*"), rng.choice("+-*")
    form = rng.choice(("{a} {f} {b} {s} {c}", "{a} {f} {b} {s} {c}", "({a} {f} {b}) {s} {c}", "{a} {f} ({b} {s} {c})"))
    expression = form.format(a=a, b=b, c=c, f=first, s=second)
    return _framed(expression, rng), expression, "", str(eval(expression))


def _named(rng: random.Random, tier: str) -> Asked:
    name = rng.choice(("gcd", "gcd", "lcm"))
    shared = rng.randint(1, 12)
    a, b = (shared * max(1, _number(rng, "easy" if tier == "easy" else "medium") // 4) for _ in range(2))
    words = rng.choice(NAMED[name])
    question = rng.choice(("What is the {w} of {a} and {b}?", "What is the {w} of {a} and {b}?", "Find the {w} of {a} and {b}.",
                           "Compute the {w} of {a} and {b}.", "{n}({a}, {b})", "What is {n}({a}, {b})?"))  # fmt: skip
    answer = math.gcd(a, b) if name == "gcd" else math.lcm(a, b)
    return question.format(w=words, n=name, a=a, b=b), f"{name}({a}, {b})", f"from math import {name}", str(answer)


def _choice(rng: random.Random, tier: str) -> Asked:
    name = rng.choice(("max", "max", "min"))
    whole = _number(rng, "easy")
    if rng.random() < 0.6:
        a, b = (f"{whole}.{rng.choice(('', '0', '1'))}{rng.randint(1, 9)}" for _ in range(2))
    else:
        a, b = str(_number(rng, tier)), str(_number(rng, tier))
    answer = max(a, b, key=Decimal) if name == "max" else min(a, b, key=Decimal)
    return rng.choice(CHOICES[name]).format(a=a, b=b), f"{name}({a}, {b})", "", answer


def _power(rng: random.Random, tier: str) -> Asked:
    base, exponent = rng.randint(2, 30), rng.randint(2, 5 if tier == "easy" else 10)
    sign = rng.choice(("**", "^", " ** ", " to the power of "))
    question = rng.choice((f"What is {base}{sign}{exponent}?", f"Compute {base}{sign}{exponent}."))
    return question, f"{base}**{exponent}", "", str(base**exponent)


def _decimals(rng: random.Random, tier: str) -> Asked:
    places = 1 if tier == "easy" else 2
    a, b = (f"{_number(rng, 'easy')}.{'0' * rng.randint(0, places - 1)}{rng.randint(1, 9)}" for _ in range(2))
    sign = rng.choice("+-")
    total = Decimal(a) + Decimal(b) if sign == "+" else Decimal(a) - Decimal(b)
    width = max(len(text.partition(".")[2]) for text in (a, b))
    return _worded(a, sign, b, rng), f"round({a} {sign} {b}, {width})", "", str(total)
