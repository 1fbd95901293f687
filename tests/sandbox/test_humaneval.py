"""HumanEval: the canonical solutions pass in the sandbox, and with their bodies taken out they do not."""

import asyncio
import gzip
import json
import os
import sys
from pathlib import Path

import pytest

from tirage.sandbox import Limits, SandboxConfig, open_sandbox

DATA = Path(os.environ.get("TIRAGE_DATA", "")) / "HumanEval.jsonl.gz"
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the forking box needs Linux"),
    pytest.mark.skipif(not DATA.is_file(), reason="set TIRAGE_DATA to the folder with HumanEval.jsonl.gz"),
]


@pytest.mark.parametrize(("empty", "passing"), [(False, 164), (True, 0)], ids=["canonical", "empty"])
async def test_solutions(empty: bool, passing: int) -> None:
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        problems = [json.loads(line) for line in file]
    room = asyncio.Semaphore(8)

    async with open_sandbox(SandboxConfig(preload=())) as sandbox:

        async def solve(problem: dict[str, str]) -> bool:
            body = "    pass\n" if empty else problem["canonical_solution"]
            async with room:
                session = await sandbox.open()
                program = f"{problem['prompt']}{body}\n{problem['test']}\ncheck({problem['entry_point']})\n"
                result = await session.run(program, Limits(wall_s=10.0))
                await session.close()
            return result.failure is None

        passed = await asyncio.gather(*(solve(problem) for problem in problems))
    assert (len(passed), sum(passed)) == (164, passing)
