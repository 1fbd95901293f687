import asyncio
from dataclasses import replace

import pytest

from tirage.core.problem import Problem
from tirage.problems.gym import GymDraw, draw_problems, load_gym
from tirage.verification.grading.workers import WorkerPool
from tirage.verification.gym import GymVerifier

FAMILIES = (
    "binary_matrix", "calendar_arithmetic", "chain_sum", "coin_flip", "complex_arithmetic", "countdown", "game_of_life_halting",
    "n_queens", "number_sorting", "polynomial_multiplication", "prime_factorization", "puzzle24", "simple_integration",
    "spell_backward", "spiral_matrix", "string_insertion", "word_ladder",
)  # fmt: skip


@pytest.fixture(scope="module")
def problems() -> dict[str, list[Problem]]:
    return dict(zip(FAMILIES, draw_problems([GymDraw(family=name, count=6, seed=3) for name in FAMILIES]), strict=True))


@pytest.fixture(scope="module")
def verifier():
    gym = GymVerifier(workers=WorkerPool("gym", size=1, timeout_s=30.0))
    yield gym
    asyncio.run(gym.close())


@pytest.mark.parametrize("family", FAMILIES)
async def test_references_pass_boxed_and_bare_and_junk_does_not(problems, verifier, family):
    for problem in problems[family][:3]:
        assert problem.answer is not None
        for response in (problem.answer, f"Thus \\boxed{{{problem.answer}}}."):
            verdict = await verifier.verify(problem, response)
            assert (verdict.correct, verdict.score) == (True, 1.0), (response, verdict)
        for junk in ("nan", "inf", "-1", "[]", "None", "zzz", "(((", "9" * 30):
            verdict = await verifier.verify(problem, f"\\boxed{{{junk}}}")
            assert verdict.correct is False or junk == problem.answer, (junk, problem.answer, verdict)


async def test_a_partial_score_is_kept_and_not_correct(problems, verifier):
    problem = problems["chain_sum"][0]
    verdict = await verifier.verify(problem, f"\\boxed{{{problem.answer} or so}}")
    assert verdict.correct is False
    assert verdict.score is not None
    assert 0.0 < verdict.score < 1.0
    assert verdict.detail == "partial score"


async def test_what_lenient_scorers_let_through_is_stopped(problems, verifier):
    async def correct(family: str, index: int, answer: str) -> bool | None:
        return (await verifier.verify(problems[family][index], f"\\boxed{{{answer}}}")).correct

    assert await correct("game_of_life_halting", 0, "banana") is False
    assert await correct("complex_arithmetic", 0, "nan") is False
    assert await correct("coin_flip", 0, "0") is False
    assert await correct("puzzle24", 0, "(1 + 1 + 1 + 1) * 6") is False
    assert await correct("puzzle24", 0, "4*6*1*1") is False
    for problem in problems["number_sorting"]:
        values = [float(value) for value in problem.answer.strip("[]").replace("'", "").split(",")]
        off = [str(value + 0.5) for value in values]
        assert (await verifier.verify(problem, f"\\boxed{{{off}}}")).correct is False
    for problem in problems["countdown"]:
        factorial = f"{problem.answer} + 0!*0"
        assert (await verifier.verify(problem, f"\\boxed{{{factorial}}}")).correct is False
    word = problems["spell_backward"][0].answer
    assert (await verifier.verify(problems["spell_backward"][0], f"\\boxed{{{word}{word}}}")).correct is False


async def test_an_answer_is_never_run_as_code(problems, verifier, tmp_path):
    target = tmp_path / "made"
    bombs = [f"__import__('os').system('touch {target}')", f"open('{target}','w').write('x')", f"[open('{target}','w') for _ in '1']"]
    for family in ("countdown", "puzzle24", "simple_integration", "polynomial_multiplication", "binary_matrix", "spiral_matrix"):
        for bomb in bombs:
            assert (await verifier.verify(problems[family][0], bomb)).correct is not True
    for family in ("n_queens", "string_insertion"):
        for bomb in bombs:
            assert (await verifier.verify(problems[family][0], bomb)).correct is not True
    assert not target.exists()


async def test_a_literal_still_earns_the_scorers_partial_credit(problems, verifier):
    problem = problems["string_insertion"][0]
    verdict = await verifier.verify(problem, f"\\boxed{{{list(problem.answer)}}}")
    assert (verdict.correct, verdict.score) == (False, 0.1)


async def test_a_malformed_answer_is_wrong_not_ungraded(problems, verifier):
    verdict = await verifier.verify(problems["prime_factorization"][0], r"\boxed{seven}")
    assert (verdict.correct, verdict.score, verdict.detail) == (False, 0.0, "malformed answer (ValueError)")


async def test_a_hanging_answer_is_ungraded(problems):
    gym = GymVerifier(workers=WorkerPool("gym", size=1, timeout_s=3.0))
    try:
        verdict = await gym.verify(problems["polynomial_multiplication"][0], r"\boxed{9**9**9**9}")
        assert (verdict.correct, verdict.score, verdict.detail) == (None, None, "timeout")
        assert (await gym.verify(problems["chain_sum"][0], problems["chain_sum"][0].answer)).correct
    finally:
        await gym.close()


async def test_edited_or_foreign_problems_are_ungraded(problems, verifier):
    problem = problems["chain_sum"][0]
    edited = await verifier.verify(replace(problem, prompt=problem.prompt + " "), "5")
    assert edited.correct is None
    assert "gave another question" in edited.detail
    foreign = await verifier.verify(Problem(prompt="?", answer="5", verifier="gym"), "5")
    assert "has no metadata family, seed, size, index, config" in foreign.detail


async def test_stored_problems_are_graded_after_a_round_trip(tmp_path, verifier):
    from tirage.problems.files import read_problems, write_problems

    written = load_gym({"lcm": {}}, count=2, seed=8)
    write_problems(written, tmp_path / "lcm.jsonl")
    for problem in read_problems(tmp_path / "lcm.jsonl"):
        assert (await verifier.verify(problem, str(problem.answer))).correct
