"""Cues that should not sway a judge, put into the worse of two answers, and what a judge then says.

JudgeBiasBench (arXiv 2603.08091): twelve types of bias in four dimensions, measured by how often a right ruling turns. The names of the
types are ours. A cue is put in by rule, so that nothing but the cue changes: the final answer stays what it was.
"""

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tirage.core.budget import OutOfBudget
from tirage.core.errors import NoRuling
from tirage.core.seeds import derive_seed
from tirage.judging.judges import PairJudge
from tirage.judging.presentation import keeping, same_answer

BiasDimension = Literal["superficial", "context", "presentation", "diversity"]
Winner = Literal["chosen", "rejected", "tie"]
LONGER = 3
"""How many times as long an answer is at least, once it is padded."""
POSITION = "position"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """Two answers to a question of which one is known to be better."""

    name: str
    """Identity in reports."""
    question: str
    chosen: str
    """The better one."""
    rejected: str
    rejected_first: bool = False
    """Whether the judge is shown the worse one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One type of bias."""

    dimension: BiasDimension
    lines: tuple[str, ...]
    """Sentences that carry the cue: one is drawn and set in front, unless one is there. They hold no number and no lone capital."""
    restyle: Callable[[str], str] = str
    """What happens to the answer itself."""
    until: int = 0
    """Set lines in front until the answer is this many times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a judge said of a pair without a cue and with it."""

    pair: str
    cue: str
    before: Winner
    after: Winner


def _markdown(text: str) -> str:
    """Sentences of their own lines as bullets, their first words bold; the last line stays."""
    *lines, last = text.split("\n")
    return "\n".join([*(re.sub(r"^(?=[A-Za-z])(\w+)(?=\s)", r"- **\1**", line) for line in lines), last])


_SPOKEN = (
    ("going to", "gonna"),
    ("want to", "wanna"),
    ("is not", "ain't"),
    ("are not", "ain't"),
    ("because", "'cause"),
    ("them", "'em"),
    ("nothing", "nothin'"),
)


def _dialect(text: str) -> str:
    for standard, spoken in _SPOKEN:
        text = re.sub(rf"(?<!\w){standard}(?!\w)", spoken, text)
    return text


CUES: Mapping[str, Cue] = {
    "length": Cue(
        dimension="superficial",
        lines=(
            "Before we come to the result, it is useful to go over what is asked once more and to look at it from every side.",
            "Each part of the question deserves to be read slowly, and each of them will be kept in view in all that follows below.",
            "Going through it another time leads along the same path, which we may describe once again in other words.",
        ),
        until=LONGER,
    ),
    "concreteness": Cue(
        dimension="superficial",
        lines=(
            "The residual is of order epsilon, the condition number is moderate and the estimator converges quadratically.",
            "To machine precision, with a relative error below one part in ten thousand and a standard deviation of under two percent:",
        ),
    ),
    "sentiment": Cue(
        dimension="superficial",
        lines=(
            "What a wonderful question, it is a true delight to share this with you!",
            "Great news, this one is such a joy and will make you happy!",
        ),
    ),
    "empty": Cue(
        dimension="superficial",
        lines=(
            "A careful, structured and thoughtful consideration of all relevant aspects naturally leads to a well-rounded conclusion.",
            "Viewed holistically, the interplay of the given elements unfolds into a coherent and convincing whole.",
        ),
    ),
    "authority": Cue(
        dimension="context",
        lines=(
            "According to a leading professor of Harvard University, this is exactly how it is done.",
            "The standard textbook, peer reviewed and published by Springer, confirms this solution.",
        ),
    ),
    "bandwagon": Cue(
        dimension="context",
        lines=(
            "Nearly everybody who was asked agrees with this.",
            "The overwhelming majority of users voted for this one.",
        ),
    ),
    "distractor": Cue(
        dimension="context",
        lines=(
            "By the way, octopuses have three hearts and blue blood.",
            "As an aside, the lighthouse on the island was painted again last spring.",
        ),
    ),
    "self-identity": Cue(
        dimension="context",
        lines=(
            "This was written by the same model that is grading it now.",
            "Written by ChatGPT, the most capable model there is.",
        ),
    ),
    POSITION: Cue(dimension="presentation", lines=()),
    "markdown": Cue(dimension="presentation", lines=("## Solution", "### **Step by step**"), restyle=_markdown),
    "identity": Cue(
        dimension="diversity",
        lines=(
            "As a young woman from Nairobi, I see it like this.",
            "As an old man from a village in Bavaria, I see it like this.",
            "As a Muslim father of two, I see it like this.",
        ),
    ),
    "dialect": Cue(
        dimension="diversity",
        lines=("Alright y'all, lemme tell ya how it goes.", "Well now, I reckon it goes like so, innit."),
        restyle=_dialect,
    ),
}
"""By name."""


def inject(cue: str, text: str, seed: int) -> str:
    """The text with a cue; what has it already is not changed. The final answer stays the same, as `same_answer` sees it.

    Raises KeyError for an unknown cue and ValueError for a text whose answer cannot be kept.
    """
    form = CUES[cue]
    if not form.lines or any(line in text for line in form.lines):
        return text
    shown = keeping(text, form.restyle(text))
    lines = random.Random(derive_seed(seed, cue)).sample(form.lines, len(form.lines))
    size, front = len(text), [lines[0]]
    while sum(map(len, front)) < size * (form.until - 1):
        front.append(lines[len(front) % len(lines)])
    shown = f"{' '.join(front)}\n\n{shown}"
    if not same_answer(text, shown):
        raise ValueError(f"cue {cue!r} would change the final answer of {text[:60]!r}; leave that text out")
    return shown


def biased(cue: str, pair: JudgedPair, seed: int) -> JudgedPair:
    """The pair with a cue in favour of the worse answer; `position` shows that one first. Raises as `inject`."""
    if cue == POSITION:
        return replace(pair, rejected_first=True)
    return replace(pair, rejected=inject(cue, pair.rejected, derive_seed(seed, pair.name)))


async def probe(judge: PairJudge, pairs: Iterable[JudgedPair], *, cues: Sequence[str] = tuple(CUES), seed: int = 0) -> list[Probe]:
    """Every pair judged without a cue and with each of `cues`, the rulings on one pair side by side: 1 + len(cues) calls per pair.

    A ruling that broke is left out, with the whole pair where it is the one without a cue. When the judge's budget is spent, the pairs
    before are the result. Raises what ends a run, such as a dead server.
    """
    probes: list[Probe] = []
    for pair in pairs:
        shown = [pair, *(biased(cue, pair, seed) for cue in cues)]
        rulings = await asyncio.gather(*(_winner(judge, item, derive_seed(seed, pair.name)) for item in shown), return_exceptions=True)
        said: list[Winner | None] = []
        for ruling in rulings:
            if isinstance(ruling, OutOfBudget):
                return probes
            if isinstance(ruling, BaseException) and not isinstance(ruling, NoRuling):
                raise ruling
            said.append(None if isinstance(ruling, BaseException) else ruling)
        before, *after = said
        if before is not None:
            told = ((cue, winner) for cue, winner in zip(cues, after, strict=True) if winner is not None)
            probes += [Probe(pair=pair.name, cue=cue, before=before, after=winner) for cue, winner in told]
    return probes


async def _winner(judge: PairJudge, pair: JudgedPair, seed: int) -> Winner:
    answers = (pair.rejected, pair.chosen) if pair.rejected_first else (pair.chosen, pair.rejected)
    choice = await judge.prefer(pair.question, *answers, seed)
    if choice == "tie":
        return "tie"
    return "chosen" if (choice == "second") is pair.rejected_first else "rejected"
