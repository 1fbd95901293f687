"""Socratic Questioning: unsure, so it asks itself what it would have to know; answers become hints, and the plurality over hints wins."""

import asyncio

from tirage.agents.explorer import SolveContext
from tirage.core import Problem
from tirage.models.base import Sampling
from tirage.systems.parts import AgentParts
from tirage.systems.socratic import Socratic, build
from tirage.testing.models import ScriptedModel
from tirage.verification.extract import final_answer

PROBLEM = Problem(prompt="A hall has 12 rows of 32 seats. How many people can sit in it?")


def says(answer: str, confidence: str) -> str:
    """An answerer's reply."""
    return f"Let me think. Used hints: none\nConfidence: {confidence}\nAnswer: \\boxed{{{answer}}}"


SCRIPT = {
    "answerer": {
        "Hint 1: There are 12 rows": says("384", "high"),
        "Hint 1: A row is about": says("380", "middle"),
        "Hint 1: Every seat": says("384", "high"),
        "Question: How many rows": says("12", "high"),
        "Question: How long": says("20 m", "middle"),
        "Question: Is a seat": says("no", "high"),
        "": says("400", "low"),
    },
    "raiser": ["1. How many rows are there?\n2. How long is a row?\n3. Is a seat shared?"],
    "editor": {
        "How many rows": "There are 12 rows.",
        "How long": "A row is about 20 m long.",
        "Is a seat": "Every seat takes one person.",
    },
}


async def main() -> None:
    """One problem; the notes of the tree tell depth, turn and confidence of every answer."""
    agent = build(AgentParts(model=ScriptedModel(tags=SCRIPT), sampling=Sampling()), max_depth=2)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    for node in tree.nodes[1:]:
        if node.index in tree.notes:
            note = tree.notes[node.index]
            print("  " * (int(note.split()[1].rstrip(",")) - 1) + note)
        elif node.step is not None:
            print(f"    {node.move}: {node.step.text.splitlines()}")
    by_hint = [final_answer(tree.trajectory(node.index).own_text) for node in tree.nodes if "turn 2" in tree.notes.get(node.index, "")]
    print(f"hint by hint: {by_hint} -> {final_answer(tree.trajectory(tree.chosen).own_text)}")
    print(f"{tree.usage.model_calls} model calls of at most {Socratic(max_depth=2).most_calls}")


asyncio.run(main())
