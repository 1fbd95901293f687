"""What a play adds to its tree besides turns: words that were given to it, and what a valuer says of a node."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tirage.agents.pool import Candidate
from tirage.agents.roles import Role
from tirage.agents.stepper import FATAL, ONE_CALL
from tirage.agents.transcript import Call, OutOfBudget, Transcript
from tirage.agents.valuers import Estimate, Valuer, most_tokens_of
from tirage.core.errors import TirageError, boundary
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Opening, Source, Span, Step
from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT, Tree
from tirage.models.allowance import spending
from tirage.verification.reading import answer_of


def put(script: Transcript, move: str, text: str, *, after: int = ROOT) -> int:
    """A node with a solution that nobody sampled here: given from outside, or taken out of a reply. It is judged like an answer."""
    step = Step(spans=(Span(Source.FORCED, text),), finish=Finish.STOP, opening=Opening(messages=(), prompt=()))
    node = script.tree.add(after, step, stop=StopReason.ANSWERED, move=move).index
    script.given(node, text)
    return node


def remark(tree: Tree, node: int, text: str) -> None:
    """Keep words about a node beside those that are there."""
    before = tree.notes.get(node, "")
    tree.notes[node] = f"{before}; {text}" if before else text


async def draw_and_check(script: Transcript, solver: Role[str], checker: Role[Any], draws: Sequence[int], *, checks: int) -> list[int]:
    """One candidate per draw, then `checks` checks of each that has an answer; the nodes of those.

    The checker is asked with `solution` and `answer`; a single check is greedy unless its role says otherwise. Raises `OutOfBudget`.
    """
    turns = await script.together([Call(role=solver, fields={}, draw=draw) for draw in draws])
    if checks == 1 and checker.temperature is None:
        checker = replace(checker, temperature=0.0)
    calls = []
    for turn in turns:
        answer = None if turn.error is not None else answer_of(script.tree.trajectory(turn.node), script.problem)
        if answer is not None:
            fields = {"solution": turn.text, "answer": answer}
            calls += [Call(role=checker, fields=fields, after=turn.node, draw=draw) for draw in range(checks)]
    if calls:
        await script.together(calls)
    return list(dict.fromkeys(call.after for call in calls))


async def spelt(script: Transcript, pool: Sequence[Candidate]) -> list[Candidate]:
    """Candidates whose equal answers are spelt the same, for their vote."""
    answers = await script.spelt(item.answer for item in pool)
    return [replace(item, answer=answer) for item, answer in zip(pool, answers, strict=True)]


async def appraise(script: Transcript, nodes: Sequence[int], valuer: Valuer) -> None:
    """Ask a valuer about nodes side by side and keep what it can say in `tree.values`; its cost is the transcript's judging.

    Values are not in the log: a tree that goes on after an interruption asks for them again. Raises `OutOfBudget` when a limit is
    reached already, and what `stepper.FATAL` names.
    """
    reason = script.spent()
    if reason is not None:
        raise OutOfBudget(reason)
    left = script.left()
    part = None if left is None else left // max(1, len(nodes))
    found = await asyncio.gather(*(_value(script, node, valuer, part) for node in nodes))
    for node, estimate in zip(nodes, found, strict=True):
        script.tree.judging = script.tree.judging + estimate.usage
        if estimate.value is not None:
            script.tree.values[node] = estimate.value
        if estimate.note:
            remark(script.tree, node, estimate.note)


async def _value(script: Transcript, node: int, valuer: Valuer, tokens: int | None) -> Estimate:
    """What a valuer says on at most `tokens` sampled tokens."""
    if tokens == 0 and most_tokens_of(valuer) != 0:
        return Estimate(value=None, note="not valued: the budget is spent")
    path, seed = script.tree.trajectory(node), derive_seed(script.tree.seed, "value", node)
    estimate = Estimate(value=None)
    script.meter.reserve(ONE_CALL)
    try:
        with boundary("model"), spending(tokens):
            estimate = await valuer.value(script.problem, path, seed)
    except FATAL:
        raise
    except TirageError as error:
        estimate = Estimate(value=None, note=f"not valued: {error}", usage=ONE_CALL)
    finally:
        script.meter.settle(ONE_CALL, estimate.usage)
    return estimate
