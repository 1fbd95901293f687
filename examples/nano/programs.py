"""A short Python program for every problem: the numbers of the question, copied, and one computation.

Every program prints the answer exactly as the family's scorer wants it. `variety` picks among equivalent ways to write
it, so that sampling at temperature gives different programs; the tests run every template against the real scorer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from . import gsm
from .families import TRAIN_SEED, Item

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DATE = rf"({'|'.join(MONTHS)}) (\d+)"


def _expression(item: Item, rng: random.Random) -> str:
    text = item.metadata["expression"]
    return rng.choice([f"print({text})", f"x = {text}\nprint(x)", f"result = {text}\nprint(result)"])


def _asked(item: Item, rng: random.Random) -> str:
    imports = item.metadata["imports"]
    return f"{imports}\n{_expression(item, rng)}" if imports else _expression(item, rng)


def _decimal(item: Item, rng: random.Random) -> str:
    text = item.metadata["expression"]
    places = max(len(n.partition(".")[2]) for n in re.findall(r"[\d.]+", text))
    return rng.choice([f"print(round({text}, {places}))", f"x = {text}\nprint(round(x, {places}))"])


def _gsm(item: Item, rng: random.Random) -> str:
    work = gsm.worked(item, item.metadata.get("pool_seed", TRAIN_SEED))
    return "" if work is None else "\n".join([*work.inputs, *work.derived, f"print({work.answer})"])


def _gcd(item: Item, rng: random.Random) -> str:
    name = "gcd" if item.family == "gcd" else "lcm"
    numbers = ", ".join(map(str, item.metadata["numbers"]))
    return rng.choice([f"from math import {name}\nprint({name}({numbers}))", f"import math\nprint(math.{name}({numbers}))"])


def _factors(item: Item, rng: random.Random) -> str:
    n = item.metadata["number"]
    loop = "while n > 1:\n    while n % d == 0:\n        f.append(str(d))\n        n //= d\n    d += 1"
    by_hand = f'n = {n}\nf = []\nd = 2\n{loop}\nprint(" × ".join(f))'
    by_sympy = f'from sympy import factorint\nf = factorint({n})\nprint(" × ".join(str(p) for p in f for _ in range(f[p])))'
    return by_hand if rng.random() < 0.8 else by_sympy


def _primes(item: Item, rng: random.Random) -> str:
    a, b = item.metadata["start"], item.metadata["end"]
    test = "n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))"
    return rng.choice(
        [
            f"print(sum({test} for n in range({a}, {b} + 1)))",
            f"a = {a}\nb = {b}\nprint(sum({test} for n in range(a, b + 1)))",
        ]
    )


def _date(found: tuple[str, str], year: str | int = 2022) -> str:
    return f"date({year}, {MONTHS.index(found[0]) + 1}, {int(found[1])})"


def _calendar(item: Item, rng: random.Random) -> str:
    q, meta = item.question, item.metadata
    task = meta["task"]
    if task == "is_leap_year":
        y = meta["year"]
        return rng.choice(
            [
                f'y = {y}\nprint("Yes" if y % 4 == 0 and (y % 100 or y % 400 == 0) else "No")',
                f'from calendar import isleap\nprint("Yes" if isleap({y}) else "No")',
            ]
        )
    found = re.findall(DATE, q)
    if task == "weekday_of_date":
        if not found:
            month, day, year = re.findall(r"(\d\d)/(\d\d)/(\d{4})", q)[0]
            when = f"date({year}, {int(month)}, {int(day)})"
        else:
            when = _date(found[0])
        return f'from datetime import date\nd = {when}\nprint(d.strftime("%A"))'
    if task == "weekday_offset":
        n = meta["offset_days"]
        when = f"{_date(found[0])} {'+' if n > 0 else '-'} timedelta({abs(n)})"
        return f'from datetime import date, timedelta\nd = {when}\nprint(d.strftime("%A"))'
    if task == "weekday_of_date_from_first_date":
        first = DAYS.index(meta["first_day"])
        when = _date(next(f for f in found if f != ("January", "1")))
        return (
            f"from datetime import date\nn = ({when} - date(2022, 1, 1)).days\n"
            f'days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]\n'
            f'print(days[(days.index("{DAYS[first]}") + n) % 7])'
        )
    if task == "recurring_event_day":
        day = DAYS.index(meta["weekday"])
        pick = {"first": "[0]", "second": "[1]", "third": "[2]", "fourth": "[3]", "last": "[-1]"}[meta["ordinal"]]
        return (
            f"from calendar import monthrange, weekday\nm = {meta['month']}\n"
            f"days = [d for d in range(1, monthrange(2022, m)[1] + 1) if weekday(2022, m, d) == {day}]\nprint(days{pick})"
        )
    a, b = _date(found[0]), _date(found[1])
    wanted = "< 5"
    if task == "count_days":
        stripped = re.sub(rf"(\w+day), {DATE}", "", q)
        name = next(d for d in DAYS if re.search(rf"\b{d}", stripped))
        wanted = f"== {DAYS.index(name)}"
    return (
        f"from datetime import date, timedelta\na = {a}\nb = {b}\n"
        f"print(sum((a + timedelta(i)).weekday() {wanted} for i in range((b - a).days + 1)))"
    )


def _seconds(text: str) -> str:
    return " + ".join(t for t in (f"{int(v)} * {w}" if w > 1 else str(int(v)) for v, w in zip(text.split(":"), (3600, 60, 1), strict=True)))


SHORT_MONTHS = {m[:3]: m for m in MONTHS}


def _any_date(text: str) -> str:
    """`date(...)` for the seven date formats of time_intervals."""
    if m := re.search(r"(\d{4})-(\d\d)-(\d\d)", text):
        y, mo, d = m.groups()
    elif m := re.search(r"(\d\d)/(\d\d)/(\d{4})", text):
        mo, d, y = m.groups()
    elif m := re.search(r"(\d\d) ([A-Z][a-z]+) (\d{4})", text):
        d, name, y = m.groups()
        mo = str(MONTHS.index(name) + 1)
    else:
        m = re.search(r"([A-Z][a-z]+) (\d\d),? (\d{4})", text)
        assert m is not None
        name, d, y = m.groups()
        mo = str(MONTHS.index(SHORT_MONTHS[name[:3]]) + 1)
    return f"date({int(y)}, {int(mo)}, {int(d)})"


def time_ends(item: Item) -> tuple[str, str]:
    """The two moments of a time_intervals question as the question writes them."""
    from reasoning_gym.arithmetic.time_intervals import TimeIntervalsDataset

    for template in TimeIntervalsDataset.TEMPLATES:
        pattern = re.escape(template).replace(r"\{start\}", "(.+?)").replace(r"\{end\}", "(.+?)").replace(r"\{format\}", "(.+?)")
        if m := re.fullmatch(pattern, item.question):
            return m.group(1), m.group(2)
    raise ValueError(f"no template of time_intervals fits {item.question!r}")


def _interval(item: Item, rng: random.Random) -> str:
    start, end = time_ends(item)
    kind = item.metadata["task_type"]
    if kind == "date":
        return f'from datetime import date\na = {_any_date(start)}\nb = {_any_date(end)}\nprint((b - a).days, "days")'
    if kind == "time":
        (h1, m1), (h2, m2) = (map(int, t.split(":")) for t in (start, end))
        tail = 'print(f"{d // 60:02d}:{d % 60:02d}")'
        wrap = "d = (b - a) % 1440"
        return f"a = {h1} * 60 + {m1}\nb = {h2} * 60 + {m2}\n{'d = b - a' if (h2, m2) >= (h1, m1) else wrap}\n{tail}"
    wrap = "d = b - a" if end >= start else "d = (b - a) % 86400"
    return f'a = {_seconds(start)}\nb = {_seconds(end)}\n{wrap}\nprint(f"{{d // 3600:02d}}:{{d // 60 % 60:02d}}:{{d % 60:02d}}")'


def _equation(item: Item, rng: random.Random) -> str:
    name = item.metadata["variable"]
    left, right = item.metadata["equation"].split(" = ")
    call = f"print(solve({left} - ({right}), {name})[0])"
    if rng.random() < 0.5:
        call = f"print(solve(Eq({left}, {right}), {name})[0])"
        return f'from sympy import Eq, Symbol, solve\n{name} = Symbol("{name}")\n{call}'
    return f'from sympy import Symbol, solve\n{name} = Symbol("{name}")\n{call}'


def _base(item: Item, rng: random.Random) -> str:
    meta = item.metadata
    text, source, target = meta["source_repr"], meta["source_base"], meta["target_base"]
    if target == 10:
        return f'print(int("{text}", {source}))'
    if target == 2:
        return f'print(bin(int("{text}", {source}))[2:])'
    if target == 16:
        return f'print(hex(int("{text}", {source}))[2:])'
    loop = f's = ""\nwhile n:\n    s = "0123456789abcdef"[n % {target}] + s\n    n //= {target}'
    return f'n = int("{text}", {source})\n{loop}\nprint(s or "0")'


def _bitwise(item: Item, rng: random.Random) -> str:
    return rng.choice([f"print(hex({item.metadata['problem']}))", f"x = {item.metadata['problem']}\nprint(hex(x))"])


def _bits(item: Item, rng: random.Random) -> str:
    return rng.choice(['print(bin({0}).count("1"))', 'n = {0}\nprint(bin(n).count("1"))']).format(item.metadata["number"])


def _sorting(item: Item, rng: random.Random) -> str:
    numbers = ", ".join(item.metadata["original_numbers"])
    reverse = ", reverse=True" if item.metadata["direction"] == "descending" else ""
    return f"x = [{numbers}]\nprint([str(n) for n in sorted(x{reverse})])"


def _filtering(item: Item, rng: random.Random) -> str:
    meta = item.metadata
    action, side = meta["operation"].split("_")
    test = f"{'not ' if action == 'remove' else ''}float(n) {'>' if side == 'larger' else '<'} {meta['filter_value']}"
    return f"x = {meta['original_numbers']}\nprint([n for n in x if {test}])"


def _letters(item: Item, rng: random.Random) -> str:
    text, letter = " ".join(item.metadata["span"]), item.metadata["target_letter"]
    return rng.choice(['print("{0}".lower().count("{1}"))', 's = "{0}"\nprint(s.lower().count("{1}"))']).format(text, letter)


def _legs(item: Item, rng: random.Random) -> str:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    terms = " + ".join(f"{n} * {ANIMALS[a]}" for a, n in item.metadata["animals"].items())
    return rng.choice([f"print({terms})", f"legs = {terms}\nprint(legs)"])


def _fraction(item: Item, rng: random.Random) -> str:
    a, b = item.metadata["numerator"], item.metadata["denominator"]
    if item.metadata["simplified_denominator"] == 1 or rng.random() < 0.5:
        return f'from math import gcd\na = {a}\nb = {b}\ng = gcd(a, b)\nprint(f"{{a // g}}/{{b // g}}")'
    return f"from fractions import Fraction\nprint(Fraction({a}, {b}))"


def _countdown(item: Item, rng: random.Random) -> str:
    numbers, target = item.metadata["numbers"], item.metadata.get("target", 24)
    names = "abcd"[: len(numbers)]
    operators = "opq"[: len(numbers) - 1]
    signs = "+-*/" if item.family == "puzzle24" else "+-*"
    expression = "{a}"
    for operator, name in zip(operators, names[1:], strict=True):
        expression = f"({expression}{{{operator}}}{{{name}}})"
    expression = expression[1:-1]
    return (
        f"from itertools import permutations, product\nr = []\n"
        f"for {', '.join(names)} in permutations({numbers}):\n"
        f'    for {", ".join(operators)} in product("{signs}", repeat={len(operators)}):\n'
        f'        e = f"{expression}"\n'
        f"        if eval(e) == {target}:\n"
        f"            r.append(e)\n"
        f"print(r[0])"
    )


PROGRAMS: dict[str, Callable[[Item, random.Random], str]] = {
    "basic_arithmetic": _expression,
    "chain_sum": _expression,
    "products": _expression,
    "decimal_chain_sum": _decimal,
    "gsm_symbolic": _gsm,
    "gcd": _gcd,
    "lcm": _gcd,
    "prime_factorization": _factors,
    "count_primes": _primes,
    "calendar_arithmetic": _calendar,
    "time_intervals": _interval,
    "simple_equations": _equation,
    "base_conversion": _base,
    "bitwise_arithmetic": _bitwise,
    "count_bits": _bits,
    "number_sorting": _sorting,
    "number_filtering": _filtering,
    "letter_counting": _letters,
    "leg_counting": _legs,
    "fraction_simplification": _fraction,
    "countdown": _countdown,
    "puzzle24": _countdown,
    "asked": _asked,
}


def program(item: Item, rng: random.Random) -> str:
    """A program that prints the item's answer; empty where none can be derived (a handful of gsm_symbolic questions)."""
    return PROGRAMS[item.family](item, rng)
