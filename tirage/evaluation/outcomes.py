"""Outcome: the one line of a rollout that every metric needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tirage.core import Problem, Rollout, Trajectory, Usage, Verdict

_COMPARING = ("math", "numeric", "exact", "choice")
"""Verifiers that compare with a reference; by others, such as the scorers of reasoning-gym, different answers may be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one rollout ended and what it cost. Small enough to keep millions of them in memory."""

    problem_id: str
    family: str = "all"
    tier: str = "-"
    split: str = ""
    """`train`, `heldout`, `unseen` or empty, as the problem says."""
    stage: str = ""
    """Part of the run it belongs to, e.g. `before`."""
    sample: int = 0
    """Which of several rollouts of the same problem, from 0."""
    correct: bool | None
    """None: ungraded. Never counted as wrong unless a caller asks for it."""
    score: float | None = None
    """In [0, 1]; None when ungraded."""
    used_tool: bool = False
    """True when at least one tool call was run on the chosen path."""
    hinted: bool = False
    """True when the chosen path holds at least one hint."""
    answer: str | None = None
    vote: str | None = None
    """What the answer counts as in a vote, where that is not itself: the reference that it was found equal to."""
    stop: str = ""
    """Why the chosen path ended; empty when nothing was produced."""
    tokens_in: int = 0
    """Prompt tokens of all model calls, discarded branches included."""
    tokens_out: int = 0
    """Sampled tokens, discarded branches included."""
    model_calls: int = 0
    tool_calls: int = 0
    wall_s: float = 0.0
    """Wall time in seconds; kept out of all deterministic output."""
    error: str | None = None
    """`boundary: kind: message` of what broke around the policy; None when nothing did."""


def outcome_of(rollout: Rollout) -> Outcome:
    """Summarise a rollout by its chosen path; the cost is that of its whole tree."""
    return _outcome(rollout, rollout.trajectory, rollout.verdict, correct=rollout.correct, usage=rollout.tree.usage)


def read_outcomes(rollouts: Iterable[Rollout]) -> list[Outcome]:
    """One outcome per rollout, in order. Rollouts are dropped as they are read, so a generator stays flat in memory."""
    return [outcome_of(rollout) for rollout in rollouts]


def read_leaf_outcomes(rollouts: Iterable[Rollout]) -> list[Outcome]:
    """One outcome per *judged end* of every tree, so that a stored best-of-N pool can be scored by pass@k and maj@k.

    Samples are numbered per problem in order of arrival, over all its rollouts. The cost of an end is that of its own path, so a shared
    prefix counts once per end and the sum can exceed what was spent; `wall_s` is the rollout's time divided by its ends.
    """
    outcomes: list[Outcome] = []
    drawn: dict[str, int] = {}
    for rollout in rollouts:
        ends = sorted(index for index in rollout.verdicts if index > 0)
        for index in ends:
            path = rollout.tree.trajectory(index)
            verdict = rollout.verdicts[index]
            sample = drawn.get(rollout.problem.id, 0)
            drawn[rollout.problem.id] = sample + 1
            outcomes.append(
                _outcome(
                    rollout, path, verdict, correct=verdict.correct, usage=path.usage, sample=sample, wall_s=rollout.wall_s / len(ends)
                )
            )
    return outcomes


def _compares(problem: Problem) -> bool:
    """Whether answers are right because they equal one reference, so that right ones equal each other."""
    return problem.verifier in _COMPARING and len(problem.accepted) == 1


def by_stage(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Group by stage, in order of first appearance: the conditions of a report."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.stage, []).append(outcome)
    return groups


def by_problem(outcomes: Iterable[Outcome]) -> Mapping[str, list[Outcome]]:
    """Group by problem, in order of first appearance."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.problem_id, []).append(outcome)
    return groups


def _outcome(
    rollout: Rollout,
    path: Trajectory | None,
    verdict: Verdict | None,
    *,
    correct: bool | None,
    usage: Usage,
    sample: int | None = None,
    wall_s: float | None = None,
) -> Outcome:
    problem = rollout.problem
    failure = path.error if path is not None else None
    return Outcome(
        problem_id=problem.id,
        family=problem.family,
        tier=problem.tier,
        split=problem.split,
        stage=rollout.stage,
        sample=rollout.sample if sample is None else sample,
        correct=correct,
        score=verdict.score if verdict is not None else None,
        used_tool=path is not None and path.used_tool,
        hinted=path is not None and bool(path.hints),
        answer=verdict.answer if verdict is not None else None,
        vote=problem.answer if verdict is not None and verdict.correct and _compares(problem) else None,
        stop=path.stop.value if path is not None else "",
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        model_calls=usage.model_calls,
        tool_calls=usage.tool_calls,
        wall_s=rollout.wall_s if wall_s is None else wall_s,
        error=f"{failure.boundary}: {failure.kind}: {failure.message}" if failure is not None else None,
    )
