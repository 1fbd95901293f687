"""An agent built by hand: a model, a policy that speaks a dialect, a tool, a sandbox, and the explorer that drives them."""

import asyncio

from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer, SolveContext, StepEvent
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.prompts import TOOL_INTEGRATED_REASONING
from tirage.agents.search_options import PathLimits
from tirage.core import Budget, Meter, Problem
from tirage.models.base import Sampling
from tirage.sandbox import Limits, SandboxConfig, open_sandbox
from tirage.testing.models import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.verification.reading import answer_of

# A scripted model says these texts in turn; put `await open_local(FOLDER)` or `await open_openai(URL, NAME)` in its place.
SCRIPT = [
    "I count the primes below 100.\n```python\nprint(len(primes(100)))\n```\n",
    "That function is not built in.\n```python\nfrom sympy import primerange\nfound = list(primerange(100))\nprint(len(found))\n```\n",
    "And their sum, from the same session.\n```python\nprint(sum(found))\n```\n",
    "There are 25 primes, and they sum to \\boxed{1060}.",
]


def show(event: StepEvent) -> None:
    """Called for every new node of the tree."""
    step = event.node.step
    for observation in step.observations if step else ():
        print(f"step {event.node.depth}: {observation.status:<5}  {observation.text.strip()}")


async def main() -> None:
    """Solve one problem."""
    model = ScriptedModel(SCRIPT)
    policy = ModelPolicy(model, FencedPython(), sampling=Sampling(temperature=0.0), system=TOOL_INTEGRATED_REASONING)
    async with open_sandbox(SandboxConfig(memory_mb=512)) as sandbox:
        agent = Explorer(
            policy,
            tools={"python": PythonTool(limits=Limits(wall_s=5))},
            sandbox=sandbox,
            limits=PathLimits(max_calls=4, max_failures=2),
        )
        meter = Meter(Budget(tokens_out=2000))
        problem = Problem(prompt="What is the sum of the primes below 100?")
        tree = await agent.solve(problem, SolveContext(seed=0, meter=meter, on_step=show))
    trajectory = tree.trajectory(tree.chosen)
    print("answer:", answer_of(trajectory, problem), "| stopped because:", trajectory.stop)
    print("spent: ", meter.spent.model_calls, "model calls,", meter.spent.tool_calls, "tool calls,", meter.spent.tokens_out, "tokens")


asyncio.run(main())
