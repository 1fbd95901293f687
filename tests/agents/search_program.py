"""A tree search on a deterministic model and a real sandbox, in a process that may be killed: python search_program.py FOLDER SEED

The final tree goes to FOLDER/tree.json, every model call that was made to FOLDER/calls.txt.
"""

import asyncio
import json
import sys
from pathlib import Path

from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.search_options import SearchOptions
from tirage.core import Budget, Problem, Tree
from tirage.core.codec import encode
from tirage.core.seeds import derive_seed
from tirage.judging.valuers import Execution
from tirage.models.base import Completion, Request, Sampling
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.search.strategies import strategy
from tirage.testing.scripted import ScriptedModel
from tirage.tools.python import PythonTool
from tirage.traces.search_log import SearchLog

PROBLEM = Problem(prompt="Grow a number.", answer="1")


def says(request: Request) -> str:
    """By seed alone: code that depends on the state of the path, then an answer."""
    assert request.ids is not None
    asked = bytes(token for token in request.ids if token < 256).decode()
    draw = derive_seed(request.sampling.seed or 0, len(request.ids)) % 100
    if asked.count("```output") >= 3 or draw < 15:
        return f"\\boxed{{{draw % 7}}}"
    if draw > 90:
        return "```python\nraise ValueError(seen)\n```\n```output"
    return f"```python\nseen = [*globals().get('seen', []), {draw}]\nprint(seen)\n```\n```output"


class Recorded(ScriptedModel):
    """Writes down each call before it answers, slowly enough to be killed in the middle."""

    def __init__(self, path: Path) -> None:
        super().__init__(says, name="recorded")
        self._path = path

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        await asyncio.sleep(0.002)
        found = await super().complete(request)
        with self._path.open("a") as file:
            file.write(f"{request.sampling.seed} {len(request.ids or ())}\n")
        return found


async def grow(folder: Path, seed: int, name: str) -> Tree:
    tool = PythonTool()
    model = Recorded(folder / "calls.txt")
    log = SearchLog(folder, set())
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        agent = Explorer(
            ModelPolicy(model, FencedPython(), sampling=Sampling(temperature=1.0, logprobs=True), tools=(tool.spec,)),
            tools={"python": tool},
            sandbox=sandbox,
            search=strategy(name),
            search_options=SearchOptions(valuer=Execution(), budget=Budget(nodes=60)),
        )
        tree = await agent.solve(PROBLEM, SolveContext(seed=seed, log=log.of("a")))
    log.close()
    return tree


def plain(tree: Tree) -> str:
    """The tree without times."""

    def drop(data: object) -> object:
        if isinstance(data, dict):
            return {key: drop(value) for key, value in data.items() if key not in ("duration_s", "sandbox_s")}
        return [drop(item) for item in data] if isinstance(data, list) else data

    return json.dumps(drop(encode(tree)), sort_keys=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    (place / "tree.json").write_text(plain(asyncio.run(grow(place, int(sys.argv[2]), sys.argv[3]))))
