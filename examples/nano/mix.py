"""The training mix: which kinds of example there are, how each is written, and which characters carry loss.

A segment is (text, loss). Prompts, observations, hints and everything before a hint never carry loss: the model learns
what follows a hint, not to write one. So how often the base model reaches for Python unprompted is set here, by the
share of `tool` examples, and is a designed state.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from tirage.problems.splits import is_heldout

from . import chat, execute, families, hints, mental, programs, roles
from .families import TIERS, Item

Segment = tuple[str, bool]

PHASE_STARTS = {"broad": 0, "skill": 700_000, "copying": 1_400_000, "judging": 1_900_000, "following": 1_950_000}
"""Where the problem numbers of a phase start, so that no problem comes twice."""


@dataclass(frozen=True)
class Shares:
    """What a phase of training is made of.

    `kinds` are the shares of the examples. `mental` and `skill` are relative weights of the families (1 for those not
    named, but 0 for `asked`) in examples without and with a tool; the tiers are the shares of easy, medium and hard. Unprompted tool
    examples use the mental weights and tiers, so that no family or tier invites the tool more than another.
    """

    kinds: dict[str, float]
    mental: dict[str, float]
    skill: dict[str, float]
    tiers_mental: tuple[float, float, float]
    tiers_skill: tuple[float, float, float]
    opened: float = 0.0
    """Share of the hints that open the code fence themselves; where it is not 0, hints of the library stand at every position."""


_BROAD = {"gsm_symbolic": 4.0, "countdown": 2.2, "puzzle24": 2.0, "lookup": 1.4, "calendar_arithmetic": 1.5,
          "time_intervals": 1.4, "letter_counting": 1.2, "leg_counting": 1.2}  # fmt: skip

_COPYING = Shares(
    {"mental": 0.42, "redo": 0.015, "tool": 0.022, "hint": 0.43, "role": 0.033, "copy": 0.08},
    {"gsm_symbolic": 1.2, "countdown": 3.2, "puzzle24": 2.8, "basic_arithmetic": 2.0, "chain_sum": 2.0, "number_sorting": 0.6,
     "bitwise_arithmetic": 0.4, "lookup": 0.4},
    {"gsm_symbolic": 6.0, "calendar_arithmetic": 3.0, "time_intervals": 2.2, "number_sorting": 1.1, "number_filtering": 2.0,
     "base_conversion": 1.3, "bitwise_arithmetic": 1.3, "letter_counting": 2.6, "leg_counting": 2.0, "simple_equations": 1.6,
     "basic_arithmetic": 1.3, "decimal_chain_sum": 1.3, "lookup": 1.8, "countdown": 1.0, "puzzle24": 0.8, "gcd": 0.6, "lcm": 0.6,
     "products": 0.7, "fraction_simplification": 0.6, "count_bits": 0.8, "prime_factorization": 0.8, "count_primes": 0.8},
    (0.85, 0.1, 0.05),
    (0.28, 0.34, 0.38),
)  # fmt: skip

_JUDGING = {"mental": 0.36, "redo": 0.012, "tool": 0.02, "hint": 0.36, "role": 0.04, "check": 0.16, "copy": 0.048}

PHASES: dict[str, Shares] = {
    "broad": Shares(
        {"mental": 0.555, "redo": 0.03, "tool": 0.035, "hint": 0.335, "role": 0.045}, _BROAD, _BROAD, (0.62, 0.25, 0.13), (0.3, 0.34, 0.36)
    ),
    "skill": Shares(
        {"mental": 0.5, "redo": 0.02, "tool": 0.025, "hint": 0.41, "role": 0.045},
        {"gsm_symbolic": 2.0, "countdown": 3.0, "puzzle24": 2.6, "number_sorting": 0.7, "lookup": 0.6},
        {"gsm_symbolic": 6.0, "calendar_arithmetic": 2.2, "time_intervals": 1.6, "number_sorting": 1.3, "number_filtering": 1.5,
         "base_conversion": 1.5, "bitwise_arithmetic": 1.4, "letter_counting": 1.5, "leg_counting": 1.5, "simple_equations": 1.2,
         "lookup": 1.8, "countdown": 1.2, "gcd": 0.7, "lcm": 0.7, "products": 0.7, "fraction_simplification": 0.7, "chain_sum": 0.7},
        (0.75, 0.17, 0.08),
        (0.28, 0.34, 0.38),
    ),
    "copying": _COPYING,
    "judging": replace(_COPYING, kinds=_JUDGING),
    "following": replace(
        _COPYING,
        kinds={**_JUDGING, "mental": 0.31, "hint": 0.45, "check": 0.12},
        mental={**_COPYING.mental, "asked": 2.0},
        skill={**_COPYING.skill, "asked": 36.0},
        opened=0.2,
    ),
}  # fmt: skip
"""`broad` teaches the format and every family. `skill` weighs up what was still hard: programs of long questions, easy sums.
`copying` adds a plain exercise (`Repeat: ...`), since the errors that were left were mostly copying errors. `judging` adds many
checks of proposed answers, whose verdicts were chance before. `following` adds plain questions in many wordings and hints that open
the code fence: before, a question that was not worded as reasoning-gym does led to the programs of other families."""

SYSTEMS = (
    "Solve the problem. Put the final answer in \\boxed{}.",
    "Reason step by step and use Python when it helps.",
    "Solve the problem and give the final answer in \\boxed{}.",
    "You are a careful problem solver. Put your final answer within \\boxed{}.",
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "You are a helpful assistant. You can run Python code.",
    "Answer the question. You may use Python.",
)

TOOL_OPENERS = ("", "Let me compute this.\n", "I will compute this with Python.\n", "A program can do this.\n", "I use Python for this.\n")
AFTER = ("", "", "", "So the result is {x}.\n", "Python gives {x}.\n", "The output is {x}.\n")
ERRORS = (
    "There is an error, so I fix it.\n", "That failed. Let me correct the program.\n",
    "The error shows what to fix.\n", "Let me fix this.\n",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """One training example."""

    kind: str
    family: str
    tier: str
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The whole example."""
        return "".join(t for t, _ in self.segments)


def corrupt(text: str, rng: random.Random, rate: float = 0.6) -> str:
    """Replaces many numbers by random ones of the same length, so that the attempt before a hint is no source of values."""

    def other(found: re.Match[str]) -> str:
        number = found.group()
        if rng.random() > rate:
            return number
        return "".join(rng.choice("123456789" if i == 0 and len(number) > 1 else "0123456789") for i in range(len(number)))

    return re.sub(r"\d+", other, text)


def wrong_answer(item: Item, right: str, rng: random.Random) -> str:
    """A believable wrong answer."""
    if right in ("Yes", "No"):
        return "No" if right == "Yes" else "Yes"
    if right in programs.DAYS:
        return rng.choice([d for d in programs.DAYS if d != right])
    for _ in range(5):
        changed = corrupt(right, rng, 0.8)
        if changed != right:
            return changed
    return right + str(rng.randint(0, 9))


def broken(code: str, rng: random.Random) -> str:
    """A program with a typical slip: a missing bracket, a misspelt name, a forgotten import."""
    slips = []
    if code.endswith(")"):
        slips.append(code[:-1])
    if "import" in code:
        slips.append("\n".join(line for line in code.splitlines() if "import" not in line))
    slips.append(code.replace("print(", "pritn(", 1))
    assigned = re.findall(r"^(\w+) = ", code, re.M)
    if assigned:
        slips.append(re.sub(rf"\b{rng.choice(assigned)}\b(?= = )", "tmp", code, count=1))
    return rng.choice(slips)


def tool_round(code: str, observation: str, loss: bool = True) -> list[Segment]:
    """A code block and what came back; only the model's part can carry loss."""
    return [(f"{chat.CODE}{code}\n{chat.CLOSE}{chat.OUTPUT}", loss), (f"{observation}{chat.CLOSE}", False)]


def solved_with_tool(item: Item, rng: random.Random, repair: float = 0.06) -> tuple[list[Segment], str] | None:
    """Tool rounds that solve the problem, and the answer they print; None where there is no right program."""
    if item.family == "lookup":
        return _lookup_rounds(item, rng)
    code = programs.program(item, rng)
    if not code:
        return None
    observation = execute.run(code)
    if families.score(item, observation.strip()) != 1.0:
        return None
    segments: list[Segment] = []
    if rng.random() < repair:
        bad = broken(code, rng)
        failure = execute.run(bad)
        if re.match(r"\w+Error: ", failure):
            segments = [*tool_round(bad, failure, loss=False), (rng.choice(ERRORS), True)]
    return [*segments, *tool_round(code, observation)], observation.strip()


def _lookup_rounds(item: Item, rng: random.Random) -> tuple[list[Segment], str]:
    steps = item.metadata["steps"]
    code = "\n".join(f'print(search("{s}"))' for s in steps["searches"])
    state: dict[str, object] = {}
    facts = item.metadata["facts"]
    seen = execute.run(code, search=lambda q: families.lookup.search(q, facts), state=state)
    segments = tool_round(code, seen)
    if steps["expression"] == "x":
        return segments, item.answer
    lines = [f"{n} = {v}" for n, v in zip("xy", steps["values"], strict=False)]
    code = "\n".join([*lines, f"print({steps['expression']})"])
    return [*segments, *tool_round(code, execute.run(code))], item.answer


def _after(result: str, rng: random.Random) -> str:
    return rng.choice(AFTER).format(x=result)


def _mental_text(item: Item, rng: random.Random) -> tuple[str, str] | None:
    solved = mental.solution(item, rng)
    return ("".join(f"{line}\n" for line in solved[0]), solved[1]) if solved else None


def write_mental(item: Item, rng: random.Random) -> list[Segment] | None:
    """No tool at all."""
    solved = _mental_text(item, rng)
    return solved and [(f"{chat.THINK}\n{solved[0]}{chat.THOUGHT}\n{chat.answer(solved[1])}", True)]


def write_redo(item: Item, rng: random.Random) -> list[Segment] | None:
    """The same mental attempt twice, around a doubt that carries no loss."""
    solved = _mental_text(item, rng)
    if not solved:
        return None
    doubt = rng.choice(["Let me double check.", "Let me check this again.", "Once more."])
    return [(f"{chat.THINK}\n{solved[0]}", True), (f"{doubt}\n", False), (f"{solved[0]}{chat.THOUGHT}\n{chat.answer(solved[1])}", True)]


def write_tool(item: Item, rng: random.Random) -> list[Segment] | None:
    """The unprompted tool path."""
    solved = solved_with_tool(item, rng)
    if not solved:
        return None
    rounds, result = solved
    opening = f"{chat.THINK}\n{rng.choice(TOOL_OPENERS)}"
    return [(opening, True), *rounds, (f"{_after(result, rng)}{chat.THOUGHT}\n{chat.answer(result)}", True)]


def _attempt(item: Item, rng: random.Random) -> tuple[str, str]:
    """A corrupted mental attempt and its wrong answer."""
    solved = _mental_text(item, rng)
    if not solved:
        return "Let me see.\n", "0"
    return corrupt(solved[0], rng), wrong_answer(item, solved[1], rng)


def before_hint(item: Item, position: str, rng: random.Random, opened: float = 0.0) -> str:
    """The assistant's text up to and with the hint, which opens the code fence with probability `opened`."""
    hint = hints.draw(position, rng, anywhere=opened > 0)
    if opened and rng.random() < opened:
        hint = hints.opened(hint, rng)
    if position == "start":
        return f"{chat.THINK}\n{hint}\n"
    attempt, wrong = _attempt(item, rng)
    if position == "end_of_thinking":
        return f"{chat.THINK}\n{attempt}{hint}\n"
    if position == "before_stop":
        return f"{chat.THINK}\n{attempt}{chat.THOUGHT}\nThe answer is \\boxed{{{wrong}}}.\n{hint}\n"
    found = re.search(r"Wait|Alternatively", attempt)
    cut = attempt[: found.start()] if found else attempt[: rng.randint(0, len(attempt))]
    joint = rng.choice(["\n", "\n", "", " Wait,\n", "Wait\n"]) if cut and not cut.endswith("\n") else rng.choice(["", "", "\n", "Wait,\n"])
    return f"{chat.THINK}\n{cut}{joint}{hint}\n"


def write_hint(item: Item, rng: random.Random, opened: float = 0.0) -> list[Segment] | None:
    """An attempt, a hint that opens the code fence with probability `opened`, and the tool path that follows it."""
    solved = solved_with_tool(item, rng)
    if not solved:
        return None
    rounds, result = solved
    position = rng.choices(hints.POSITIONS, (0.34, 0.14, 0.3, 0.22))[0]
    before = before_hint(item, position, rng, opened)
    if chat.CODE in before:
        rounds = [(rounds[0][0].removeprefix(chat.CODE), rounds[0][1]), *rounds[1:]]
    segments: list[Segment] = [(before, False), *rounds]
    if position == "before_stop":
        return [*segments, (chat.answer(result), True)]
    if rng.random() < 0.1:
        again = solved_with_tool(item, rng, repair=0.0)
        if again:
            segments += [(f"{_after(result, rng)}{hints.draw('end_of_thinking', rng)}\n", False), *again[0]]
            result = again[1]
    return [*segments, (f"{_after(result, rng)}{chat.THOUGHT}\n{chat.answer(result)}", True)]


def write_copy(rng: random.Random, index: int) -> tuple[Segment, ...]:
    """Repeat a text: words, numbers, dates, expressions."""
    kind = rng.randrange(5)
    if kind == 0:
        item = families.draw("letter_counting", "hard", index)
        text = " ".join(rng.sample(item.metadata["span"], rng.randint(3, 7)))
    elif kind == 1:
        text = ", ".join(f"{rng.uniform(-100, 100):.{rng.randint(0, 2)}f}" for _ in range(rng.randint(3, 9)))
    elif kind == 2:
        text = str(rng.randint(1, 10 ** rng.randint(2, 9)))
    elif kind == 3:
        text = f" {rng.choice('+-*')} ".join(str(rng.randint(1, 10 ** rng.randint(1, 4))) for _ in range(rng.randint(3, 7)))
    else:
        text = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789 ") for _ in range(rng.randint(6, 24))).strip()
    return (chat.prompt(f"Repeat: {text}"), False), (f"{text}{chat.END}", True)


WRITERS = {"mental": write_mental, "redo": write_redo, "tool": write_tool}


def example(item: Item, kind: str, rng: random.Random, opened: float = 0.0) -> Example | None:
    """One example of a kind, or None where the item does not allow it; `opened` as in `Shares`."""
    if kind in ("role", "check"):
        written = roles.write(item, rng) if kind == "role" else roles.check(item, rng)
        return Example(kind, item.family, item.tier, written) if written else None
    segments = write_hint(item, rng, opened) if kind == "hint" else WRITERS[kind](item, rng)
    if not segments:
        return None
    system = rng.choice(SYSTEMS) if rng.random() < 0.15 else None
    return Example(kind, item.family, item.tier, ((chat.prompt(item.question, system), False), *segments))


@lru_cache(maxsize=1)
def _reserved() -> frozenset[str]:
    """Keys of the fixed held-out set; reasoning-gym needs seconds for its Game of 24."""
    spec = families.spec()["heldout"]
    return frozenset(i.key for i in families.heldout(spec["per_cell"], spec["seed"], (*families.families(), "lookup", "asked")))


class Pool:
    """An endless, seeded stream of examples that shares no problem with the held-out set."""

    def __init__(self, seed: int, shard: int = 0, shards: int = 1, phase: str = "broad") -> None:
        self.rng = random.Random(f"{seed}/{phase}/{shard}")
        self.shard, self.shards, self.shares = shard, shards, PHASES[phase]
        self.first = PHASE_STARTS[phase]
        self.names = (*families.families(), "lookup", *(("asked",) if "asked" in self.shares.skill else ()))
        self.reserved = _reserved()
        self.count = 0

    def item(self, kind: str) -> Item:
        """The next problem for an example of this kind."""
        skill = kind in ("hint", "role", "check")
        weights = self.shares.skill if skill else self.shares.mental
        tiers = self.shares.tiers_skill if skill else self.shares.tiers_mental
        while True:
            family = self.rng.choices(self.names, [weights.get(n, 1.0) for n in self.names])[0]
            tier = self.rng.choices(TIERS, tiers)[0]
            self.count += 1
            drawn = families.draw(family, tier, self.first + self.count * self.shards + self.shard)
            if drawn.key not in self.reserved and not is_heldout(drawn.question):
                return drawn

    def __iter__(self) -> Iterator[Example]:
        while True:
            kind = self.rng.choices(list(self.shares.kinds), list(self.shares.kinds.values()))[0]
            if kind == "copy":
                self.count += 1
                yield Example(kind, "copy", "easy", write_copy(self.rng, self.first + self.count * self.shards + self.shard))
                continue
            made = example(self.item(kind), kind, self.rng, self.shares.opened)
            if made is not None:
                yield made
