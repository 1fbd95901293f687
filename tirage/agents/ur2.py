"""UR2 (arXiv 2508.06165): one policy that reasons and asks, with retrieval kept for the problems that need it.

The policy thinks between think tags, asks one fact between query tags, reads it between document tags, and answers between answer tags,
all in one turn; the difficulty gate decides from its accuracy without retrieval whether it may ask at all.
"""

import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tirage.agents.dialect import Reading
from tirage.agents.equipment import PathLimits
from tirage.agents.explorer import Agent, Explorer
from tirage.agents.growth import Log, StepEvent
from tirage.agents.policy import ModelPolicy
from tirage.core.budget import Meter
from tirage.core.message import Observation, ToolCall
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Source
from tirage.core.trajectory import StopReason, Trajectory
from tirage.core.tree import Tree
from tirage.models.base import Completion, Model, Sampling
from tirage.tools.base import Tool
from tirage.tools.retrieval.summaries import MOST_WORDS, NOTHING, clean_query

ROUNDS = 10
"""Model turns per problem at most."""
ROUND_TOKENS = 1024
TEMPERATURE = 0.3
UNKNOWN = "I don't know"
"""What counts as the answer of a path without one."""
MOST_QUERIES = 4
WARM_UP = 15
"""Epochs in which asking is itself rewarded."""
MIXTURE = {"hard": 7, "medium": 2, "easy": 1}
TAGS = ("think", "query", "answer")
_QUERY_END, _ANSWER_END = "</query>", "</answer>"
_QUERY = re.compile(r"<query>((?:(?!<query>).)*?)</query>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})>")
_ANY_TAG = re.compile(rf"<(/?(?:{'|'.join(TAGS)}|document))>")
THINK = "Reason between <think> and </think>, then give the final answer alone between <answer> and </answer>."
PLAIN_PROMPT = f"Solve the problem by reasoning alone. {THINK}"
SEARCH_PROMPT = (
    f"Solve the problem. {THINK} Where you lack a piece of knowledge, ask for it between <query> and </query>: one fact per query, in less "
    f"than {MOST_WORDS} words. What is known about it will be shown between <document> and </document>, and you go on from there."
)


class TaggedSearch:
    """The tags as a dialect with one tool, `search`."""

    name = "ur2-tags"
    stops = (_QUERY_END, _ANSWER_END)
    uses_schemas = False

    def read(self, step_text: str, completion: Completion) -> Reading:
        """An answer ends the path, a query calls; a query without a word cannot be read and ends it too."""
        if _ANSWER.search(step_text):
            return Reading(finish=Finish.STOP)
        if completion.finish == "length":
            return Reading(finish=Finish.LENGTH)
        asked = _QUERY.search(step_text) if step_text.endswith(_QUERY_END) else None
        if asked is None:
            return Reading(finish=Finish.STOP)
        query = clean_query(asked[1])
        if not query:
            return Reading(finish=Finish.MALFORMED, problem="the query is empty")
        arguments = {"query": query, "reasoning": step_text[: asked.start()].strip()}
        return Reading(finish=Finish.CALL, calls=(ToolCall(name="search", arguments=json.dumps(arguments, ensure_ascii=False)),))

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """The documents in their tags, all of one author: none of it is trained on. Nothing behind an answer or an empty query."""
        asked = _QUERY.search(tail, max(tail.rfind("<query>"), 0))
        if not tail.endswith(_QUERY_END) or asked is None or not clean_query(asked[1]):
            return []
        # A document must not be able to answer, or to end itself.
        text = _ANY_TAG.sub(r"[\1]", "\n".join(observation.text for observation in observations).strip()) or NOTHING
        return [(Source.TOOL, f"\n<document>\n{text}\n</document>\n")]


def tagged_answer(response: str) -> str | None:
    """What stands between the last answer tags; None without a word there."""
    found = _ANSWER.findall(response)
    return (found[-1].strip() or None) if found else None


def make_agent(model: Model, search: Tool, *, allowed: bool = True, temperature: float = TEMPERATURE) -> Explorer:
    """The agent of the inference loop; `allowed`: whether it is told of queries and may ask."""
    policy = ModelPolicy(
        model,
        TaggedSearch(),
        sampling=Sampling(temperature=temperature, max_tokens=ROUND_TOKENS),
        system=SEARCH_PROMPT if allowed else PLAIN_PROMPT,
    )
    limits = PathLimits(max_calls=ROUNDS if allowed else 0, max_steps=ROUNDS, max_failures=ROUNDS + 1)
    return Explorer(policy, tools={"search": search}, sandbox=None, answer_of=tagged_answer, limits=limits)


class Outcome(StrEnum):
    """How a path ended, in the paper's words."""

    FINISHED = "finished"
    QUERY_ERROR = "query_inst_error"
    MAX_ROUNDS = "max_rounds"
    SHOT_DOWN = "shot_down"


def outcome(path: Trajectory) -> Outcome:
    """How `path` ended."""
    if tagged_answer(path.response) is not None:
        return Outcome.FINISHED
    ends = {StopReason.MALFORMED: Outcome.QUERY_ERROR, StopReason.CALLS: Outcome.MAX_ROUNDS}
    return ends.get(path.stop, Outcome.SHOT_DOWN)


def fallback_count(path: Trajectory) -> int:
    """Queries that were refused because they asked for reasoning."""
    return sum(bool(seen.data.get("fallback")) for step in path.steps for seen in step.observations)


class Difficulty(StrEnum):
    """By the accuracy without retrieval: at least 0.8, 0.5, 0.2, and below (our thresholds; the paper names none)."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"
    HOPELESS = "hopeless"
    """Left out of training."""


def difficulty(accuracy: float) -> Difficulty:
    """The class of an accuracy in [0, 1]."""
    if accuracy >= 0.8:
        return Difficulty.EASY
    if accuracy >= 0.5:
        return Difficulty.MEDIUM
    return Difficulty.HARD if accuracy >= 0.2 else Difficulty.HOPELESS


async def measure_accuracy(
    agent: Agent, problem: Problem, is_right: Callable[[str | None], Awaitable[bool]], *, seed: int, samples: int = 20
) -> float:
    """Share of `samples` paths of an agent without retrieval whose answer is right; `agent` answers between tags."""
    right = 0
    for number in range(samples):
        tree = await agent.solve(problem, seed=derive_seed(seed, "accuracy", number))
        path = tree.trajectory(tree.chosen)
        right += await is_right(tagged_answer(path.response))
    return right / samples


class Gated:
    """The difficulty gate: easy problems are solved without retrieval, the others, and those never measured, with it."""

    def __init__(self, plain: Agent, searching: Agent, accuracies: Mapping[str, float]) -> None:
        """`accuracies` without retrieval, by problem id."""
        self.plain = plain
        self.searching = searching
        self.accuracies = accuracies

    def may_search(self, problem: Problem) -> bool:
        """What the gate says to a problem."""
        accuracy = self.accuracies.get(problem.id)
        return accuracy is None or difficulty(accuracy) is not Difficulty.EASY

    async def solve(
        self,
        problem: Problem,
        *,
        seed: int,
        meter: Meter | None = None,
        on_step: Callable[[StepEvent], None] | None = None,
        log: Log | None = None,
    ) -> Tree:
        """Solve with one of the two agents."""
        agent = self.searching if self.may_search(problem) else self.plain
        return await agent.solve(problem, seed=seed, meter=meter, on_step=on_step, log=log)


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
    queries = [clean_query(query) for query in _QUERY.findall(text)]
    if len(queries) > MOST_QUERIES:
        found.append(f"{len(queries)} queries")
    found += ["a query of more than 20 words" for query in queries if len(query.split()) > MOST_WORDS]
    answers = _ANSWER.findall(text)
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
    queries = len(_QUERY.findall(text))
    asked = (0.0, 3.0, 4.0)[min(queries, 2)] if may_search and epoch < WARM_UP else 0.0
    return Rewards(format=-float(breaches) if breaches else 1.0, search=asked, refused=-0.5 * refused)
