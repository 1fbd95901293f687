"""Many problems into an append-only store: resume without redoing anything, then ask questions about what happened."""

import asyncio
import tempfile

from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer
from tirage.agents.model_policy import ModelPolicy
from tirage.core import Problem, Source
from tirage.models.base import Sampling
from tirage.rollouts.runner import Runner, Stage
from tirage.sandbox import open_sandbox
from tirage.testing.models import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.traces import TraceStore
from tirage.traces.index import Query, TraceIndex
from tirage.verification.verifiers import Verifiers

SCRIPT = {  # what the model says, by what its prompt matches; the first match counts
    r"```output": "So it is \\boxed{391}.",
    r"17 \* 23": "```python\nprint(17 * 23)\n```\n",
    r"2 \+ 2": "\\boxed{4}",
    r"capital": "\\boxed{Lyon}",
}
PROBLEMS = (
    Problem(prompt="What is 17 * 23?", answer="391", metadata={"family": "arithmetic"}),
    Problem(prompt="What is 2 + 2?", answer="4", metadata={"family": "arithmetic"}),
    Problem(prompt="What is the capital of France?", answer="Paris", metadata={"family": "facts"}),
)


async def roll(store: TraceStore) -> None:
    """Roll out what is missing; a finished rollout is on disk before the next one of its worker begins."""
    model = ScriptedModel(SCRIPT)
    async with open_sandbox() as sandbox, Verifiers() as verifiers:
        policy = ModelPolicy(model, FencedPython(), sampling=Sampling())
        agent = Explorer(policy, tools={"python": PythonTool()}, sandbox=sandbox)
        runner = Runner(agent, verifiers.of, store, seed=0, concurrency=8)
        progress = await runner.run(Stage(name="first", problems=PROBLEMS, samples=2, model=model.name))
    print(f"{progress.done} of {progress.total} done, {progress.resumed} of them before; {progress.correct} of {progress.graded} right")


with tempfile.TemporaryDirectory() as folder, TraceStore(folder) as store:
    asyncio.run(roll(store))
    asyncio.run(roll(store))  # the same again: everything is there already

    with TraceIndex(store) as index:
        index.catch_up()
        for row in index.rows(Query(family="arithmetic")):
            print(f"{row.key}  right={row.correct}  tool={row.used_tool}  tokens={row.tokens_out}")
        print("wrong:", [(row.family, row.answer) for row in index.rows(Query(correct=False))])
        print("code that prints:", {hit.text for hit in index.grep("print(", source=Source.POLICY)})
    for rollout in store.read(where=lambda rollout: rollout.problem.family == "facts"):
        print(rollout.key, "->", rollout.verdict.answer if rollout.verdict else None)
