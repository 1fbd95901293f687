"""Critiques by what they correct: a critic reads solutions, right and wrong ones, and is judged by its corrections (RealCritic).

`tirage eval critic PROBLEMS --model MODEL` does this on a problem set, in four modes.
"""

import asyncio

from tirage.agents.explorer import SolveContext
from tirage.core import Problem, Rollout
from tirage.evaluation.realcritic import critique_rows, read_critiqued
from tirage.models.base import Model, Sampling
from tirage.rollouts.runner import judge
from tirage.systems import realcritic
from tirage.systems.parts import AgentParts
from tirage.testing.models import ScriptedModel
from tirage.verification import open_verifier

PROBLEMS = [Problem(prompt=f"What is {n} * {n}?", answer=str(n * n)) for n in (7, 8, 9, 11)]
STUDENTS = dict(zip((problem.id for problem in PROBLEMS), ("\\boxed{49}", "\\boxed{62}", "\\boxed{81}", "\\boxed{111}"), strict=True))


def criticised(step: str, conclusion: str, answer: int) -> str:
    """A critique in the form that the critic is asked for."""
    words = f"Step 1: {step} Step 1 is {conclusion}.\nConclusion: {conclusion}\n"
    return f"{words}<correction>\nStep 1: It is \\boxed{{{answer}}}.\n</correction>"


CRITIQUES = [
    criticised("7 * 7 = 49.", "correct", 49),
    criticised("8 * 8 = 64, not 62.", "incorrect", 64),
    criticised("9 * 9 = 90 - 8.", "incorrect", 82),
    "11 * 11 looks fine to me.",
]


async def roll(model: Model) -> list[Rollout]:
    """One tree per problem: the student's solution, the critique, its correction; what answers the problem is judged."""
    agent = realcritic.build(AgentParts(model=model, sampling=Sampling()), mode="cross", given=STUDENTS)
    verifier, rollouts = open_verifier("math"), []
    for problem in PROBLEMS:
        tree = await agent.solve(problem, SolveContext(seed=0))
        verdicts = await judge(tree, problem, verifier)
        rollouts.append(Rollout(key=problem.id, stage="cross", problem=problem, sample=0, tree=tree, verdicts=verdicts, model=model.name))
    await verifier.close()
    return rollouts


async def main() -> None:
    """Print what became of each solution, and the figures."""
    rollouts = await roll(ScriptedModel(CRITIQUES))
    records = read_critiqued(rollouts)
    for problem, record in zip(PROBLEMS, records, strict=True):
        before, after = ("right" if right else "wrong" for right in (record.before, record.after[0]))
        print(f"{problem.prompt:<16} {before} -> {after}{'' if record.found[0] else ' (no correction)'}")
    (row,) = critique_rows("cross", records)
    assert row.counts is not None
    print(f"right kept {row.counts.kept_share}, wrong fixed {row.counts.fixed_share}, without a correction {row.counts.no_correction}")
    print(f"accuracy {row.counts.original} -> {row.accuracy} [{row.interval.low:.2f}, {row.interval.high:.2f}]")


asyncio.run(main())
