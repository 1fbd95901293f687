"""What UR2 trains on (arXiv 2508.06165): problems mixed by difficulty, and the rewards of stage 1."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tirage.agents.ur2 import ANSWER, QUERY, TAGS, Difficulty, difficulty
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.tools.retrieval.summaries import MOST_WORDS, clean_query

MOST_QUERIES = 4
WARM_UP = 15
"""Epochs in which asking is itself rewarded."""
MIXTURE = {"hard": 7, "medium": 2, "easy": 1}
_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})>")


def mix(problems: Sequence[Problem], accuracies: Mapping[str, float], *, seed: int) -> list[Problem]:
    """As many measured problems as can be had in the proportion 7 hard : 2 medium : 1 easy, in random order; hopeless ones are left out."""
    draw = random.Random(derive_seed(seed, "mixture"))
    classes: dict[str, list[Problem]] = {name: [] for name in MIXTURE}
    for problem in problems:
        kind = difficulty(accuracies[problem.id]) if problem.id in accuracies else Difficulty.HOPELESS
        if kind is not Difficulty.HOPELESS:
            classes[kind].append(problem)
    rounds = min(len(classes[name]) // share for name, share in MIXTURE.items())
    chosen = [problem for name, share in MIXTURE.items() for problem in draw.sample(classes[name], rounds * share)]
    draw.shuffle(chosen)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """Stage-1 rewards of a path, by part."""

    format: float
    """+1, or minus the number of violations."""
    search: float
    """+3 for one query, +4 for more, in the first 15 epochs and where asking is allowed."""
    refused: float
    """-0.5 per refused query."""

    @property
    def total(self) -> float:
        """Their sum."""
        return self.format + self.search + self.refused


def violations(text: str, *, may_search: bool) -> tuple[str, ...]:
    """What breaks the format in the policy's own text (documents left out), one entry per breach."""
    found: list[str] = []
    if not _balanced(text):
        found.append("tags do not match")
    queries = [clean_query(query) for query in QUERY.findall(text)]
    if len(queries) > MOST_QUERIES:
        found.append(f"{len(queries)} queries")
    found += ["a query of more than 20 words" for query in queries if len(query.split()) > MOST_WORDS]
    answers = ANSWER.findall(text)
    if len(answers) != 1:
        found.append(f"{len(answers)} answers")
    if queries and not may_search:
        found.append("a query where none is allowed")
    if any(_TAG.search(answer) for answer in answers):
        found.append("tags inside the answer")
    return tuple(found)


def _balanced(text: str) -> bool:
    """Whether every tag is closed by its own, innermost first."""
    opened: list[str] = []
    for closing, tag in _TAG.findall(text):
        if not closing:
            opened.append(tag)
        elif not opened or opened.pop() != tag:
            return False
    return not opened


def stage_one_rewards(text: str, *, refused: int, epoch: int, may_search: bool) -> Rewards:
    """The rewards of stage 1 for the policy's own text; `refused` queries of it were refused, `epoch` counts from 0.

    Stage 2 adds the answer's correctness, which a verifier tells.
    """
    breaches = len(violations(text, may_search=may_search))
    queries = len(QUERY.findall(text))
    asked = (0.0, 3.0, 4.0)[min(queries, 2)] if may_search and epoch < WARM_UP else 0.0
    return Rewards(format=-float(breaches) if breaches else 1.0, search=asked, refused=-0.5 * refused)
