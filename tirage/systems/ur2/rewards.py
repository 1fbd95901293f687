"""What UR2 trains on (arXiv 2508.06165): problems mixed by difficulty, and the rewards of stage 1."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tirage.agents.dialects.tag_sets import TagSet, tag_set
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.systems.ur2.ur2 import TAGS, Difficulty, difficulty
from tirage.tools.retrieval.summaries import MOST_WORDS, clean_query

MOST_QUERIES = 4
WARM_UP = 15
"""Epochs in which asking is itself rewarded."""
MIXTURE = {"hard": 7, "medium": 2, "easy": 1}
LONGEST = 10
"""Words of an answer; the reference's own number of words where that is more."""
ROLES = ("\nuser", "\nassistant", "\nAssistant", "<|im_start|>", "<tool_call>")
"""What belongs to a chat template and not to a text."""
_FOREIGN = re.compile(r"[\u4e00-\u9fff]")


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
    """+1 without a violation; else minus their number where asking is allowed, and 0 where it is not."""
    search: float
    """+3 for one query, +4 for more, in the first 15 epochs and where asking is allowed."""
    refused: float
    """-0.5 per refused query, where asking is allowed."""

    @property
    def total(self) -> float:
        """Their sum."""
        return self.format + self.search + self.refused


def violations(text: str, *, may_search: bool, epoch: int = 0, tags: TagSet | None = None, longest: int = LONGEST) -> tuple[str, ...]:
    """What breaks the format in the policy's own text (documents left out), one entry per breach.

    Where asking is allowed it is asked for, in the first 15 epochs (`epoch` counts from 0). `longest`: words that an answer may have.
    """
    tags = tags or tag_set(TAGS)
    found: list[str] = []
    queries = [clean_query(query) for query in tags.queries.findall(text)]
    if not _balanced(text, tags):
        found.append("tags do not match")
    elif len(queries) > MOST_QUERIES:
        found.append(f"{len(queries)} queries")
    found += [f"a query of more than {MOST_WORDS} words" for query in queries if len(query.split()) > MOST_WORDS]
    answers = tags.answers.findall(text)
    if len(answers) != 1:
        found.append(f"{len(answers)} answers")
    found += [f"a role: {role.strip()}" for role in ROLES if role in text]
    if _FOREIGN.search(text):
        found.append("a foreign script")
    if any(len(answer.split()) > longest for answer in answers):
        found.append(f"an answer of more than {longest} words")
    if queries and not may_search:
        found.append("a query where none is allowed")
    if not queries and may_search and epoch < WARM_UP:
        found.append("no query")
    if any(tags.any.search(answer) for answer in answers):
        found.append("tags inside the answer")
    return tuple(found)


def _balanced(text: str, tags: TagSet) -> bool:
    """Whether every tag is closed by its own, innermost first."""
    opened: list[str] = []
    closing = dict([tags.think, tags.query, tags.answer])
    for tag in tags.own.findall(text):
        if tag in closing:
            opened.append(closing[tag])
        elif not opened or opened.pop() != tag:
            return False
    return not opened


def stage_one_rewards(
    text: str, *, refused: int, epoch: int, may_search: bool, tags: TagSet | None = None, longest: int = LONGEST
) -> Rewards:
    """The rewards of stage 1 for the policy's own text; `refused` queries of it were refused, `epoch` counts from 0.

    Stage 2 adds the answer's correctness, which a verifier tells.
    """
    tags = tags or tag_set(TAGS)
    breaches = len(violations(text, may_search=may_search, epoch=epoch, tags=tags, longest=longest))
    queries = len(tags.queries.findall(text))
    asked = (0.0, 3.0, 4.0)[min(queries, 2)] if may_search and epoch < WARM_UP else 0.0
    form = 1.0 if not breaches else -float(breaches) if may_search else 0.0
    return Rewards(format=form, search=asked, refused=-0.5 * refused if may_search else 0.0)
