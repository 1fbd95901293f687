"""What a workflow adds to its tree besides turns: words that were given to it, and what a valuer says of a node."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tirage.agents.step_executor import FATAL, ONE_CALL
from tirage.agents.valuation import Estimate, Valuer, most_tokens_of
from tirage.core.budget import OutOfBudget
from tirage.core.errors import TirageError, boundary
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Opening, Source, Span, Step
from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Tree
from tirage.judging.candidate_pool import CheckedCandidate
from tirage.models.allowance import spending
from tirage.verification.reading import answer_of
from tirage.workflows.roles import Role
from tirage.workflows.turns import Call, WorkflowRun


def put(flow: WorkflowRun, move: str, text: str, *, after: int = ROOT) -> int:
    """A node with a solution that nobody sampled here: given from outside, or taken out of a reply. It is judged like an answer."""
    step = Step(spans=(Span(Source.FORCED, text),), finish=Finish.STOP, opening=Opening(messages=(), prompt=()))
    node = flow.tree.add(after, step, stop=StopReason.ANSWERED, move=move).index
    flow.given(node, text)
    return node


def remark(tree: Tree, node: int, text: str) -> None:
    """Keep words about a node beside those that are there."""
    before = tree.notes.get(node, "")
    tree.notes[node] = f"{before}; {text}" if before else text


async def draw_and_check(flow: WorkflowRun, solver: Role[str], checker: Role[Any], draws: Sequence[int], *, checks: int) -> list[int]:
    """One candidate per draw, then `checks` checks of each that has an answer; the nodes of those.

    The checker is asked with `solution` and `answer`; a single check is greedy unless its role says otherwise. Raises `OutOfBudget`.
    """
    turns = await flow.together([Call(role=solver, fields={}, draw=draw) for draw in draws])
    if checks == 1 and checker.temperature is None:
        checker = replace(checker, temperature=0.0)
    calls = []
    for turn in turns:
        answer = None if turn.error is not None else answer_of(flow.tree.trajectory(turn.node), flow.problem)
        if answer is not None:
            fields = {"solution": turn.text, "answer": answer}
            calls += [Call(role=checker, fields=fields, after=turn.node, draw=draw) for draw in range(checks)]
    if calls:
        await flow.together(calls)
    return list(dict.fromkeys(call.after for call in calls))


async def spelt(flow: WorkflowRun, pool: Sequence[CheckedCandidate]) -> list[CheckedCandidate]:
    """Candidates whose equal answers are spelt the same, for their vote."""
    answers = await flow.spelt(item.answer for item in pool)
    return [replace(item, answer=answer) for item, answer in zip(pool, answers, strict=True)]


async def appraise(flow: WorkflowRun, nodes: Sequence[int], valuer: Valuer) -> None:
    """Ask a valuer about nodes side by side and keep what it can say in `tree.values`; its cost is the transcript's judging.

    Values are not in the log: a tree that goes on after an interruption asks for them again. Raises `OutOfBudget` when a limit is
    reached already, and what `step_executor.FATAL` names.
    """
    reason = flow.spent()
    if reason is not None:
        raise OutOfBudget(reason)
    left = flow.left()
    part = None if left is None else left // max(1, len(nodes))
    found = await asyncio.gather(*(_value(flow, node, valuer, part) for node in nodes))
    for node, estimate in zip(nodes, found, strict=True):
        flow.tree.judging = flow.tree.judging + estimate.usage
        if estimate.value is not None:
            flow.tree.values[node] = estimate.value
        if estimate.note:
            remark(flow.tree, node, estimate.note)


async def _value(flow: WorkflowRun, node: int, valuer: Valuer, tokens: int | None) -> Estimate:
    """What a valuer says on at most `tokens` sampled tokens."""
    if tokens == 0 and most_tokens_of(valuer) != 0:
        return Estimate(value=None, note="not valued: the budget is spent")
    path, seed = flow.tree.trajectory(node), derive_seed(flow.tree.seed, "value", node)
    estimate = Estimate(value=None)
    flow.meter.reserve(ONE_CALL)
    try:
        with boundary("model"), spending(tokens):
            estimate = await valuer.value(flow.problem, path, seed)
    except FATAL:
        raise
    except TirageError as error:
        estimate = Estimate(value=None, note=f"not valued: {error}", usage=ONE_CALL)
    finally:
        flow.meter.settle(ONE_CALL, estimate.usage)
    return estimate
