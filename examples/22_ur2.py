"""UR2: a model asks a collection for facts as it reasons, another one tells them; what is read is kept apart from what is trained on.

With a real model: tirage index add facts.sqlite FOLDER && tirage solve "..." --agent ur2 --collection facts.sqlite --model ...
"""

import asyncio
import tempfile
from pathlib import Path

from tirage.agents.explorer import SolveContext
from tirage.core import Problem
from tirage.core.step import Source
from tirage.models.base import Sampling
from tirage.systems.parts import AgentParts
from tirage.systems.ur2.ur2 import fallback_count, outcome, ur2
from tirage.testing.models import ScriptedModel
from tirage.tools.retrieval import Collection, SearchTool

FACTS = {
    "calendar": "The calendar of Xanth has 13 months, and each month has 32 days. A spare day ends the year.",
    "kings": "Xanth was ruled by kings until the frost of 803.",
    "coins": "A Xanthian crown is worth 12 pence.",
}
POLICY = [
    "<think>I need the length of a year.</think>\n<|begin_of_query|>Is 416 right?<|end_of_query|>",
    "<think>That was no question for a fact.</think>\n<|begin_of_query|>How many months and days has a year in Xanth?<|end_of_query|>",
    "<think>13 * 32 + 1 = 417.</think>\n<answer>417</answer>",
]
TELLER = {
    "classifier": ["reasoning", "knowledge"],
    "rewriter": ["The calendar: how many months a year has, and how many days a month."],
    "summariser": ["A year has 13 months of 32 days and a spare day."],
}


async def main() -> None:
    """One problem, with queries that ask for reasoning refused and the others rewritten."""
    with tempfile.TemporaryDirectory() as folder, Collection(Path(folder) / "facts.sqlite") as collection:
        for _ in collection.add(FACTS.items()):
            pass
        parts = AgentParts(
            model=ScriptedModel(POLICY),
            others=(ScriptedModel(tags=TELLER),),
            tools={"search": SearchTool(collection, k=1)},
            sampling=Sampling(temperature=0.3, max_tokens=1024),
        )
        tree = await ur2(parts, strict=True, rewrite=True).solve(Problem(prompt="How many days has a year of Xanth?"), SolveContext(seed=0))
    path = tree.trajectory(tree.chosen)
    for step in path.steps:
        for span in step.spans:
            print(f"{'trained' if span.source is Source.POLICY else 'masked':<8} {' '.join(span.text.split())}")
    read = [seen.data["chunks"] for step in path.steps for seen in step.observations if not seen.data["fallback"]]
    print(f"{outcome(path)}: {tree.usage.tool_calls} queries, {fallback_count(path)} refused, {sum(map(len, read))} passage read")
    print(f"{tree.usage.model_calls} model calls, those of the knowledge service included")


asyncio.run(main())
