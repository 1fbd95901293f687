"""ART: the model writes a program after demonstrations of similar tasks; tools replace its guesses; people correct the library."""

import asyncio
import tempfile
from pathlib import Path

from tirage.agents.explorer import SolveContext
from tirage.core import Problem
from tirage.models.base import Sampling
from tirage.sandbox import open_sandbox
from tirage.systems.art.art import Art, build
from tirage.systems.art.library import add_program, load_library
from tirage.systems.parts import AgentParts
from tirage.testing.models import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.tools.retrieval.embedders import HashingEmbedder
from tirage.tools.toolset import toolset
from tirage.verification.extract import final_answer

PROBLEM = Problem(prompt="A press makes 101 rolls a day and sells none of them. How many rolls are there after 42 days?")
SCRIPT = {
    "programmer": [
        "Q1: [generate python code] Multiply.\n#1: ans = 100 * 42\nQ2: [code execute] Run #1\n#2: 4200\nQ3: [EOQ]\nAns: 4200",
        "Q2: [code execute] Run #1\n#2: 4200\nQ3: [EOQ]\nAns: 4200",
        "Q3: [EOQ]\nAns: 4242",
    ],
    "coder": ["ans = 101 * 42"],
}
MENDED = """Input: How many wheels have 3 cars?
Q1: [subquestion] How many wheels has a car?
#1: 4
Q2: [code execute] print(3 * 4)
#2: 12
Q3: [EOQ]
Ans: 12"""


async def main() -> None:
    """One program, then an edit that changes what is shown for its task."""
    embed = HashingEmbedder().embed
    print("shown:", ", ".join(task.name for task in Art().similar(PROBLEM.prompt, embed)[:3]))
    model = ScriptedModel(tags=SCRIPT)
    async with open_sandbox() as sandbox:
        agent = build(AgentParts(model=model, tools=toolset(PythonTool()), sandbox=sandbox, sampling=Sampling()), embed=embed)
        tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    last = model.requests[-1].ids or ()
    begun = bytes(last).decode().rsplit(f"{PROBLEM.prompt}\n", 1)[1].split("\n\n")[0]
    print(f"{begun}\n{tree.trajectory(tree.chosen).response}")
    answer, guess = (final_answer(tree.trajectory(node).own_text) for node in (tree.chosen, 1))
    print(f"answer: {answer}, the model's own guess was {guess}")
    with tempfile.TemporaryDirectory() as folder:
        edits = Path(folder) / "edits.yaml"
        add_program(edits, "word-problems", MENDED)
        for task in load_library(edits):
            if task.edits:
                print(f"after an edit {task.name} begins with: {task.edits[0].input}")


asyncio.run(main())
