"""OctoTools: one role plans, one writes the command, the framework runs it, one checks; every turn and call is a node of one tree."""

import asyncio
import json

from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core import Budget, Problem, Tree
from tirage.models.base import Sampling
from tirage.sandbox import open_sandbox
from tirage.systems.octotools import build
from tirage.systems.parts import AgentParts
from tirage.testing.models import ScriptedModel
from tirage.tools.function import tool
from tirage.tools.python import PythonTool
from tirage.tools.toolset import toolset
from tirage.verification.extract import final_answer

PROBLEM = Problem(prompt="How many days do 3 years of Xanth have?")


@tool
def search(query: str) -> str:
    """Look something up in the almanac."""
    return "A year of Xanth has 417 days."


def says(**fields: object) -> str:
    """A role's reply."""
    return json.dumps(fields)


SCRIPT = {
    "analyser": [says(concise_summary="years to days", relevant_tools="search, python")],
    "predictor": [
        says(tool_name="search", sub_goal="find the length of a year"),
        says(tool_name="python", sub_goal="multiply", context="a year of Xanth has 417 days; 3 years are asked for"),
    ],
    "commander": [says(command={"query": "length of a year of Xanth"}), says(command="print(3 * 417)")],
    "verifier": [says(analysis="the length is known, the product is not", stop_signal=False), "Conclusion: STOP"],
    "summariser": ["A year has 417 days, so three have \\boxed{1251}."],
}


async def solve(budget: Budget) -> Tree:
    """One problem; `tags` is what each role says."""
    async with open_sandbox() as sandbox:
        tools = toolset(search, PythonTool())
        agent = build(
            AgentParts(
                model=ScriptedModel(tags=SCRIPT),
                tools=tools,
                sandbox=sandbox,
                sampling=Sampling(max_tokens=2000),
                search_options=SearchOptions(budget=budget),
            )
        )
        return await agent.solve(PROBLEM, SolveContext(seed=0))


async def main() -> None:
    """The whole workflow, and one whose budget leaves room for a single step and the summary."""
    tree = await solve(Budget())
    print(" -> ".join(node.move for node in tree.nodes[1:]))
    for node in tree.nodes[1:]:
        if node.step is not None and node.move == "executor":
            print(node.step.calls[0].name, node.step.calls[0].arguments, "gave", node.step.observations[0].text.strip())
    answer = final_answer(tree.trajectory(tree.chosen).own_text)
    print(f"answer: {answer}, {tree.usage.model_calls} model calls, {tree.usage.tool_calls} tool calls")
    print("with 5 calls:", (await solve(Budget(model_calls=5))).ended)


asyncio.run(main())
