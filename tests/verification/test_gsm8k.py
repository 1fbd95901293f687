"""Real solutions by real models, with their authors' judgement."""

import json
import os
from pathlib import Path

import pytest

from tirage.core.problem import Problem
from tirage.verification.answer import MathVerifier
from tirage.verification.selfcheck import check_problems

FOLDER = Path(os.environ.get("TIRAGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


@pytest.fixture(scope="module")
def rows():
    path = FOLDER / "gsm8k-model-solutions.jsonl"
    if not path.exists():
        pytest.skip(f"no real data in {FOLDER}; set TIRAGE_DATA to the folder with {path.name}")
    with path.open() as file:
        return [json.loads(line) for line in file]


def gold(row) -> Problem:
    return Problem(prompt=row["question"], answer=row["ground_truth"].rsplit("A: ", 1)[1], metadata={"family": "gsm8k"})


async def test_agreement_with_the_authors(rows):
    verifier = MathVerifier()
    wrong = []
    for row in rows:
        for model in MODELS:
            verdict = await verifier.verify(gold(row), row[model]["solution"])
            if verdict.correct is not row[model]["is_correct"]:
                wrong.append((row["question"][:40], model, verdict))
    await verifier.close()
    assert len(rows) * len(MODELS) == 5276
    assert wrong == []


async def test_all_references_pass_and_damaged_ones_fail(rows):
    (check,) = await check_problems(map(gold, rows))
    assert (check.problems, check.passed, check.caught, check.faults) == (1319, 1319, 1319, ())


async def test_real_tool_transcripts_give_the_extracted_answer():
    path = FOLDER / "tora-code-34b-gsm8k.jsonl"
    if not path.exists():
        pytest.skip(f"no real data in {FOLDER}; set TIRAGE_DATA to the folder with {path.name}")
    verifier = MathVerifier()
    with path.open() as file:
        records = [json.loads(line) for line in file]
    right = 0
    for record in records:
        verdict = await verifier.verify(Problem(prompt=record["question"], answer=record["gt"]), record["code"][0])
        right += verdict.correct is True
    await verifier.close()
    assert len(records) == 1319
    assert abs(right / 1319 - 0.807) <= 0.003, right
