"""Best of N: several chains in one tree, one budget, and the majority answer (self-consistency)."""

import asyncio
from collections import Counter

from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.model_policy import ModelPolicy
from tirage.core import Budget, Meter, Problem, Tree
from tirage.models.base import Sampling
from tirage.sandbox import open_sandbox
from tirage.search.best_of_n import BestOfN
from tirage.testing.models import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.verification.extract import final_answer

PROBLEM = Problem(prompt="How many two-digit numbers are divisible by 7?", answer="13")
CHAINS = [
    "99 / 7 is 14. \\boxed{14}",
    "```python\nprint(sum(n % 7 == 0 for n in range(10, 100)))\n```\n",
    "14 multiples up to 99, less the one below 10. \\boxed{13}",
    "From 14 to 98. \\boxed{12}",
    "98/7 - 1. \\boxed{13}",
    "The count is \\boxed{13}",
]


async def solve(n: int, budget: Budget) -> tuple[Tree, Meter]:
    """Grow one tree of `n` chains; the chains are drawn concurrently, the tree is the same every time."""
    policy = ModelPolicy(ScriptedModel(CHAINS), FencedPython(), sampling=Sampling(temperature=0.8))
    async with open_sandbox() as sandbox:
        agent = Explorer(policy, tools={"python": PythonTool()}, sandbox=sandbox, search=lambda seed: BestOfN(n))
        meter = Meter(budget)
        return await agent.solve(PROBLEM, SolveContext(seed=0, meter=meter)), meter


def describe(tree: Tree) -> None:
    """Print every chain and the vote."""
    answers = {leaf: final_answer(tree.trajectory(leaf).own_text) for leaf in tree.leaves()}
    for leaf, answer in answers.items():
        print(f"chain {tree.nodes[leaf].sample + 1}: {len(tree.path(leaf))} steps, answer {answer}")
    print("votes:", dict(Counter(answers.values())), "-> answer", answers[tree.chosen])


async def main() -> None:
    """One tree to its end, and one whose shared budget runs out."""
    tree, meter = await solve(5, Budget())
    describe(tree)
    print("cost of the whole tree:", meter.spent.tokens_out, "tokens")
    partial, _ = await solve(5, Budget(model_calls=3))
    print(f"\nunder a budget of 3 model calls: {len(partial.nodes) - 1} nodes, ended by {partial.ended!r}")


asyncio.run(main())
