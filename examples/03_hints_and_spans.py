"""Hints in the manner of START: text placed into the model's own thinking, at four positions, and recorded as a hint."""

import asyncio

from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.hints import HintPlan, load_library
from tirage.agents.model_policy import ModelPolicy
from tirage.core import HintPosition, Problem, Trajectory
from tirage.models.base import Request, Sampling
from tirage.sandbox import open_sandbox
from tirage.testing.models import ByteRenderer, ScriptedModel
from tirage.tools.python import PythonTool
from tirage.verification.reading import answer_of

PROBLEM = Problem(prompt="What is 123 * 457?")


def say(request: Request) -> str:
    """A model that guesses by itself, and computes once something in its context mentions Python."""
    context = ByteRenderer().decode(request.ids or ())
    if "```output" in context:
        return "\n</think>\nThe answer is \\boxed{56211}."
    if "Python" in context:
        return "```python\nprint(123 * 457)\n```\n"
    return "About 120 * 460. Wait, that is only close.\n</think>\nThe answer is \\boxed{55200}."


def show(trajectory: Trajectory) -> None:
    """Print who wrote which tokens."""
    for use in trajectory.hints:
        print(f"  {use.hint_id} at token {use.offset} of the response, because: {use.reason}")
    for step in trajectory.steps:
        for span in step.spans:
            print(f"  {span.source:>8} {len(span.ids or ()):>4} tokens  {span.text!r:.90}")


async def main() -> None:
    """The same problem without a hint and with one at each position."""
    async with open_sandbox() as sandbox:
        for position in (None, *HintPosition):
            plan = None if position is None else HintPlan(library=load_library(), positions=(position,), rounds=1)
            model = ScriptedModel(say, thinks=True)
            policy = ModelPolicy(model, FencedPython(), sampling=Sampling(logprobs=True), hints=plan)
            agent = Explorer(policy, tools={"python": PythonTool()}, sandbox=sandbox)
            tree = await agent.solve(PROBLEM, SolveContext(seed=1))
            trajectory = tree.trajectory(tree.chosen)
            print(f"\n{position or 'no hint'}: answer {answer_of(trajectory, PROBLEM)}")
            show(trajectory)


asyncio.run(main())
