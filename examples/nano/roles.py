"""Examples for a team: planning, checking a proposed answer, and solving by a given plan."""

from __future__ import annotations

import random

from . import chat, execute, families, mix, programs
from .families import Item

PLANS: dict[str, tuple[str, ...]] = {
    "basic_arithmetic": ("Read the expression.", "Evaluate it with Python.", "Give the number."),
    "chain_sum": ("Copy the sum.", "Evaluate it with Python.", "Give the total."),
    "products": ("Copy the factors.", "Multiply them with Python.", "Give the product."),
    "decimal_chain_sum": ("Copy the decimal numbers.", "Add and subtract them with Python.", "Round to the given places."),
    "gsm_symbolic": ("Write down the given numbers.", "Do the operations of the story one by one.", "Give the last value."),
    "gcd": ("Take the numbers.", "Compute their greatest common divisor.", "Give it."),
    "lcm": ("Take the numbers.", "Compute their least common multiple.", "Give it."),
    "prime_factorization": ("Take the number.", "Divide by the smallest factor until 1 is left.", "Join the factors with ×."),
    "count_primes": ("Go through the range.", "Test every number for being prime.", "Give the count."),
    "calendar_arithmetic": ("Write the dates for Python.", "Use the datetime module.", "Give the day or the count."),
    "time_intervals": ("Write both moments as numbers.", "Subtract them.", "Format the difference as asked."),
    "simple_equations": ("Write the equation.", "Solve it for the unknown.", "Give the value."),
    "base_conversion": ("Read the number in its base.", "Convert it to the target base.", "Give the digits."),
    "bitwise_arithmetic": ("Copy the expression.", "Evaluate it with Python.", "Give it in hexadecimal."),
    "count_bits": ("Write the number in binary.", "Count the ones.", "Give the count."),
    "number_sorting": ("Copy the numbers.", "Sort them in the given order.", "Give the list as strings."),
    "number_filtering": ("Copy the list.", "Keep the numbers that pass the test.", "Give the list."),
    "letter_counting": ("Copy the text.", "Count the letter in it.", "Give the count."),
    "leg_counting": ("List the animals.", "Multiply each number by its legs.", "Add everything."),
    "fraction_simplification": ("Find the greatest common divisor.", "Divide both parts by it.", "Give the fraction."),
    "countdown": ("Take the numbers and the target.", "Try all orders and operators with Python.", "Give one expression that fits."),
    "puzzle24": ("Take the four numbers.", "Try all orders and operators with Python.", "Give one expression that makes 24."),
    "asked": ("Write the question as one expression.", "Evaluate it with Python.", "Give the number."),
    "lookup": ("Search for every fact.", "Compute with the values that were found.", "Give the number."),
}


def plan(family: str) -> str:
    """A numbered plan without the answer."""
    return "\n".join(f"{i}. {line}" for i, line in enumerate(PLANS[family], 1))


def _plan(item: Item) -> tuple[mix.Segment, ...]:
    return (chat.prompt(f"Plan: {item.question}"), False), (f"{plan(item.family)}{chat.END}", True)


def compared(code: str, proposed: str) -> str | None:
    """The program with a last line that prints its result and whether `proposed` equals it; None where it ends otherwise."""
    *before, last = code.splitlines() or [""]
    if not (last.startswith("print(") and last.endswith(")")):
        return None
    return "\n".join([*before, f"r = {last[6:-1]}", f"print(r, str(r) == {proposed!r})"])


def check(item: Item, rng: random.Random) -> tuple[mix.Segment, ...] | None:
    """A proposed answer, right half of the time, tested by a program whose output decides the verdict."""
    right = rng.random() < 0.5
    puzzle = item.family in ("countdown", "puzzle24")
    solved = mix.mental.solution(item, rng) if puzzle else (None, item.answer)
    if solved is None:
        return None
    proposed = solved[1] if right else mix.wrong_answer(item, solved[1], rng)
    right = families.score(item, proposed) == 1.0
    if puzzle:
        code = f"print({proposed} == {item.metadata.get('target', 24)})"
        seen, expected, remark = execute.run(code), str(right), ""
    else:
        worked = mix.solved_with_tool(item, rng, repair=0.0)
        code = compared(programs.program(item, rng), proposed) if worked is not None and item.family != "lookup" else None
        if worked is None or code is None:
            return None
        seen, expected = execute.run(code), f"{worked[1]} {right}"
        remark = f"The result is {worked[1]}. "
    if seen.strip() != expected:
        return None
    rounds = mix.tool_round(code, seen)
    remark += "The test says that the proposed answer is " + ("right.\n" if right else "not right.\n")
    user = f"Check: {item.question}\nProposed answer: {proposed}"
    verdict = f"{remark}{chat.THOUGHT}\nVerdict: {'correct' if right else 'wrong'}{chat.END}"
    return (chat.prompt(user), False), (f"{chat.THINK}\n", True), *rounds, (verdict, True)


def _execute(item: Item, rng: random.Random) -> tuple[mix.Segment, ...] | None:
    written = mix.write_tool(item, rng)
    return written and ((chat.prompt(f"{item.question}\nPlan: {plan(item.family)}"), False), *written)  # type: ignore[return-value]


def write(item: Item, rng: random.Random) -> tuple[mix.Segment, ...] | None:
    """One example of a role, the three equally often."""
    role = rng.randrange(3)
    return _plan(item) if role == 0 else check(item, rng) if role == 1 else _execute(item, rng)
