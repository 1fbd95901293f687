from tirage.core.problem import Problem
from tirage.problems.gym import load_gym
from tirage.verification.extract import as_response
from tirage.verification.selfcheck import check_problems, damaged


async def test_sound_problems_pass():
    problems = [
        Problem(prompt=str(n), answer=answer, metadata={"family": "f"}) for n, answer in enumerate(("5", "3/4", r"\frac{1}{2}", "Monday"))
    ]
    problems += [Problem(prompt="c", answer="B", kind="choice", verifier="choice")]
    math, choice = await check_problems(problems)
    assert (math.family, math.verifier, math.problems, math.passed, math.caught, math.ok) == ("f", "math/2", 4, 4, 4, True)
    assert (choice.verifier, choice.ok, choice.faults) == ("choice/2", True, ())


async def test_a_wrong_pairing_is_reported():
    (row,) = await check_problems([Problem(prompt="q", answer="seven", verifier="numeric"), Problem(prompt="r", verifier="numeric")])
    assert (row.ok, row.problems, row.without_reference, row.passed, row.caught) == (False, 2, 1, 0, 1)
    assert "its own reference 'seven' is refused" in row.faults[0]


async def test_a_reference_that_nobody_can_read_is_reported():
    problems = [Problem(prompt="a", answer=r"x = \frac{1}{2"), Problem(prompt="b", answer="12"), Problem(prompt="c", answer="???")]
    (row,) = await check_problems(problems)
    assert (row.ok, row.passed, row.unreadable) == (False, 1, 1)
    assert "is refused" in row.faults[0]
    assert "cannot be compared with other answers" in row.faults[1]


async def test_gym_problems_pass_their_own_scorers():
    rows = await check_problems(load_gym({"gcd": {}, "number_sorting": {}, "puzzle24": {}}, count=2))
    assert [(row.family, row.ok, row.faults) for row in rows] == [("gcd", True, ()), ("number_sorting", True, ()), ("puzzle24", True, ())]


def test_damage_differs_from_the_reference():
    assert damaged(Problem(prompt="q", answer="3 + 4"))[1:] == ["4 + 4"]
    assert damaged(Problem(prompt="q", answer="12345.6"))[1:] == ["112345.6"]
    assert damaged(Problem(prompt="q", answer="A", kind="choice"))[1:] == ["B"]


def test_answers_are_boxed_when_their_braces_pair_up():
    assert as_response(r"\{1\}") == r"\boxed{\{1\}}"
    assert as_response("{1}") == r"\boxed{{1}}"
    assert as_response("a}b{") == "a}b{"
    assert as_response("{") == "{"
