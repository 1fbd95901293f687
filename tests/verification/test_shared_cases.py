"""Pairs of answers that users of other graders reported, each with what it should have come out as."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tirage.core.problem import Problem
from tirage.verification import open_verifier

CASES = Path(os.environ.get("TIRAGE_CASES", Path(__file__).parents[3] / "shared" / "cases"))
ARGUED = {
    ("5k", "5000"): "k is a variable as `8k` is, which must not equal 8000; a currency sign (`$5k`) or a capital K makes it a thousand",
}
"""Pairs that are judged otherwise than their file says, and why."""


async def judged(rows: list[dict[str, Any]]) -> list[bool | None]:
    names = {row["verifier"] for row in rows}
    verifiers: dict[str, Any] = {name: open_verifier(name) for name in names}

    async def one(row: dict[str, Any]) -> bool | None:
        verifier = verifiers[row["verifier"]]
        if row["raw"] or row["verifier"] != "math":
            problem = Problem(prompt="?", answer=row["gold"], verifier=row["verifier"])
            return (await verifier.verify(problem, row["prediction"])).correct
        return await verifier.equal(row["prediction"], row["gold"])

    try:
        return list(await asyncio.gather(*map(one, rows)))
    finally:
        for verifier in verifiers.values():
            await verifier.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["grading-wrong-today.jsonl", "grading-right-today.jsonl"])
async def test_reported_pairs_come_out_right(name: str) -> None:
    path = CASES / name
    if not path.is_file():
        pytest.skip(f"there is no {path}; set TIRAGE_CASES to the folder with {name}")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    got = await judged(rows)
    differing = [(row, verdict) for row, verdict in zip(rows, got, strict=True) if verdict is not row["expected"]]
    assert [row for row, verdict in differing if verdict is True] == []
    assert [row for row, _ in differing if (row["gold"], row["prediction"]) not in ARGUED] == []
