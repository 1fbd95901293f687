"""T1: many candidates, each checked by a program of the model's own; rewards and votes count for what passes."""

import asyncio

from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core import Budget, Problem, Tree
from tirage.judging.candidate_pool import check_figures, read_pool, select, selection_curve
from tirage.models.base import Request, Sampling
from tirage.rollouts.runner import judge
from tirage.sandbox import open_sandbox
from tirage.systems import t1
from tirage.systems.parts import AgentParts
from tirage.testing.models import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.verification import open_verifier

PROBLEM = Problem(prompt="How many two-digit numbers are divisible by 7?", answer="13")
GUESSES = ["99 / 7 is 14. \\boxed{14}", "14, up to 98: \\boxed{14}", "98/7 - 1. \\boxed{13}", "It is \\boxed{14}"]


def check(request: Request) -> str:
    """What a model would write: first the program, which the sandbox runs, then its closing words."""
    asked = bytes(token for token in request.ids or () if token < 256).decode()
    if "```output\n" in asked:
        return "Verdict: correct" if "output\nTrue" in asked else "Verdict: wrong"
    proposed = asked.rpartition("Proposed answer: ")[2].split("\n")[0]
    return f"```python\nprint(sum(n % 7 == 0 for n in range(10, 100)) == {proposed})\n```\n```output"


async def solve(budget: Budget) -> Tree:
    """One tree with all candidates and their checks."""
    model = ScriptedModel(tags={"solver": GUESSES, "verifier": check})
    async with open_sandbox() as sandbox:
        tools, sampling = {"python": PythonTool()}, Sampling(temperature=0.8, logprobs=True)
        agent = t1.build(
            AgentParts(model=model, tools=tools, sandbox=sandbox, sampling=sampling, search_options=SearchOptions(budget=budget)),
            n=4,
            width=1,
        )
        return await agent.solve(PROBLEM, SolveContext(seed=0))


async def main() -> None:
    """The choice with and without the filter, the figures of the filter, and the choice among fewer candidates."""
    tree = await solve(Budget())
    pool = read_pool(tree)
    for item in pool:
        print(f"node {item.node}: answer {item.answer}, {'passes' if item.survives else 'rejected'}, reward {item.reward}")
    voted, _ = select(pool, rule="majority", filtered=False)
    chosen, _ = select(pool, rule="weighted")
    assert voted is not None
    assert chosen is not None
    print(f"majority: {voted.answer}; checked and weighted: {chosen.answer}; the tree's own choice is node {tree.chosen}")

    verifier = open_verifier("math")
    verdicts = await judge(tree, PROBLEM, verifier)
    await verifier.close()
    figures = check_figures([(tree, verdicts)])
    print(f"precision {figures.precision}, recall {figures.recall}, pass@{len(pool)} {figures.oracle}")
    right = {item.node: bool(verdicts[item.node].correct) for item in pool}
    print("right among N candidates:", selection_curve(pool, right))

    partial = await solve(Budget(model_calls=7))
    print(f"with 7 model calls: {len(read_pool(partial))} candidates checked, ended by {partial.ended!r}")


asyncio.run(main())
