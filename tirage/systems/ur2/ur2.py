"""UR2 (arXiv 2508.06165): one policy that reasons and asks, with retrieval kept for the problems that need it.

The policy thinks between think tags, asks one fact between query tags, reads it between result tags, and answers between answer tags,
all in one turn; the tags are data (`tag_sets.yaml`). The difficulty gate decides from its accuracy without retrieval whether it may ask
at all.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from tirage.agents.dialects.base import Reading
from tirage.agents.dialects.tag_sets import TagSet, tag_set
from tirage.agents.explorer import Agent, Explorer, SolveContext
from tirage.core.errors import ConfigError
from tirage.core.message import Observation, ToolCall
from tirage.core.problem import Problem
from tirage.core.step import Finish, Source
from tirage.core.trajectory import StopReason, Trajectory
from tirage.core.tree import Tree
from tirage.models.base import Completion
from tirage.search.best_of_n import BestOfN
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.tools.base import Tool
from tirage.tools.retrieval.summaries import MOST_WORDS, NOTHING, QueryRewriter, SummarisingSearch, clean_query
from tirage.tools.retrieval.tool import SearchTool
from tirage.traces.jsonl import TraceStore

ROUNDS = 10
"""Model turns per problem at most."""
SEARCH = "search"
"""What a query calls."""
TAGS = "ur2"
"""The form of the authors."""
_BOX = re.compile(r"\\(?=f?box)")


def prompt_of(tags: TagSet, *, search: bool) -> str:
    """The system message in which the tags are explained."""
    return prompt("ur2", "search" if search else "plain").format(**tags.fields(), most_words=MOST_WORDS)


class TaggedSearch:
    """The tags as a dialect with one tool, `search`."""

    closers: tuple[str, ...] = ()
    uses_schemas = False

    def __init__(self, tags: TagSet) -> None:
        """In the form of `tags`."""
        self.tags = tags
        self.name = f"{tags.name}-tags"
        self.stops = (tags.query[1], tags.answer[1])

    def read(self, step_text: str, completion: Completion) -> Reading:
        """An answer ends the path, a query calls; neither of them, or a query without a word, cannot be read and ends it too."""
        if tagged_answer(step_text, self.tags) is not None:
            return Reading(finish=Finish.STOP)
        if completion.finish == "length":
            return Reading(finish=Finish.LENGTH)
        asked = self.tags.queries.search(step_text) if step_text.endswith(self.tags.query[1]) else None
        if asked is None:
            return Reading(finish=Finish.MALFORMED, problem="there is neither an answer nor a query")
        query = clean_query(asked[1])
        if not query:
            return Reading(finish=Finish.MALFORMED, problem="the query is empty")
        arguments = {"query": query, "reasoning": step_text[: asked.start()].strip()}
        return Reading(finish=Finish.CALL, calls=(ToolCall(name=SEARCH, arguments=json.dumps(arguments, ensure_ascii=False)),))

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """The documents in their tags, all of one author: none of it is trained on. Nothing behind an answer or an empty query."""
        tags = self.tags
        asked = tags.queries.search(tail, max(tail.rfind(tags.query[0]), 0))
        if not tail.endswith(tags.query[1]) or asked is None or not clean_query(asked[1]):
            return []
        # A document must not be able to answer, or to end itself.
        said = "\n".join(observation.text for observation in observations).strip()
        text = _BOX.sub("", tags.any.sub(lambda found: f"[{found[0].strip('<>')}]", said)) or NOTHING
        return [(Source.TOOL, f"\n{tags.result[0]}\n{text}\n{tags.result[1]}\n")]


def tagged_answer(response: str, tags: TagSet | None = None) -> str | None:
    """What stands between the last answer tags; None without a word there."""
    found = (tags or tag_set(TAGS)).answers.findall(response)
    return (found[-1].strip() or None) if found else None


def ur2(
    parts: AgentParts,
    *,
    n: int = 1,
    rounds: int = ROUNDS,
    search: bool = True,
    strict: bool = False,
    rewrite: bool = False,
    gate: str | None = None,
    tags: str = TAGS,
) -> Agent:
    """UR2's inference loop over the search tool, whose passages the second model tells as facts; `n` chains of `rounds` turns each.

    The paper samples at temperature 0.3, 1024 tokens a turn, and refuses queries that ask for reasoning (`strict`) in training alone.

    Args:
        parts: With one search tool; one that does not summarise is made to.
        n: Chains; the answer is the majority.
        rounds: Turns of a chain at most.
        search: False leaves retrieval out, to measure how hard problems are without it.
        strict: Refuse queries that ask for reasoning.
        rewrite: Have queries rewritten for the retriever.
        gate: Run folder of such rollouts without retrieval: what was easy there is solved without it here.
        tags: The form of the tags: a set that is shipped (`tag_sets.yaml`), or a YAML file.

    Raises:
        ConfigError: There is no such tool, or several; no rollouts in `gate`; no such tags, or tags that overlap.
    """
    form = tag_set(tags)
    plain = _explorer(parts, None, form, n=n, rounds=rounds)
    if not search:
        return plain
    searching = _explorer(parts, _knowledge(parts, strict=strict, rewrite=rewrite), form, n=n, rounds=rounds)
    return searching if gate is None else Gated(plain, searching, accuracies(Path(gate)))


def _explorer(parts: AgentParts, tool: Tool | None, tags: TagSet, *, n: int, rounds: int) -> Explorer:
    """The loop; without a tool it is told of no queries and may ask none."""
    # What hints speak of, code, has no place here.
    vote = "majority" if parts.search_options.valuer is None else "value"
    told = replace(parts, system=prompt_of(tags, search=tool is not None), hints=None, sandbox=None)
    return told.explorer(
        told.policy(dialect=TaggedSearch(tags)),
        search=lambda seed: BestOfN(n, vote=vote),
        tools={} if tool is None else {SEARCH: tool},
        answer_of=partial(tagged_answer, tags=tags),
        limits=replace(parts.limits, max_calls=0 if tool is None else rounds, max_steps=rounds, max_failures=rounds + 1),
    )


def _knowledge(parts: AgentParts, *, strict: bool, rewrite: bool) -> SummarisingSearch:
    """The parts's search tool as the knowledge service."""
    found = [item for item in parts.tools.values() if isinstance(item, SearchTool | SummarisingSearch)]
    if len(found) != 1:
        remedy = "give a collection with --collection FILE, or {index: FILE} among agent.tools"
        raise ConfigError(f"agent 'ur2' asks one search tool, and there {'is none' if not found else f'are {len(found)}'}; {remedy}")
    (tool,) = found
    if isinstance(tool, SearchTool):
        return SummarisingSearch(tool, parts.second, strict=strict, rewriter=QueryRewriter(parts.second) if rewrite else None)
    if strict or rewrite:
        raise ConfigError(
            f"agent 'ur2': the tool {tool.spec.name!r} summarises already; set strict and rewrite where the tool is configured"
        )
    return tool


class PathOutcome(StrEnum):
    """How a path ended, in the paper's words."""

    FINISHED = "finished"
    QUERY_ERROR = "query_inst_error"
    MAX_ROUNDS = "max_rounds"
    SHOT_DOWN = "shot_down"


def outcome(path: Trajectory, tags: TagSet | None = None) -> PathOutcome:
    """How `path` ended, in the authors' tags or others."""
    tags = tags or tag_set(TAGS)
    if tagged_answer(path.own_text, tags) is not None:
        return PathOutcome.FINISHED
    if path.stop is StopReason.CALLS:
        return PathOutcome.MAX_ROUNDS
    asked = path.stop is StopReason.MALFORMED and path.response.endswith(tags.query[1])
    return PathOutcome.QUERY_ERROR if asked else PathOutcome.SHOT_DOWN


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


def accuracies(folder: Path) -> dict[str, float]:
    """Share of right rollouts among the graded ones of each problem, by problem id. Raises `ConfigError` where there are none."""
    right: dict[str, list[bool]] = {}
    for rollout in TraceStore(folder).read():
        if rollout.correct is not None:
            right.setdefault(rollout.problem.id, []).append(rollout.correct)
    if not right:
        raise ConfigError(f"{folder} holds no graded rollouts; make some with: tirage rollout PROBLEMS -n 20 --run {folder}")
    return {problem: sum(found) / len(found) for problem, found in right.items()}


class Gated(Agent):
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

    async def solve(self, problem: Problem, context: SolveContext) -> Tree:
        """Solve with one of the two agents."""
        agent = self.searching if self.may_search(problem) else self.plain
        return await agent.solve(problem, context)


SPEC = SystemSpec(
    name="ur2",
    paper="2508.06165",
    summary="UR2: reasoning that asks a collection for facts, told by a model; easy problems do without",
    build=ur2,
    sampling={"temperature": 0.3, "max_tokens": 1024},
    takes_reward=True,
)
