import pytest

from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.verification import open_verifier
from tirage.verification.factory import VERIFIERS


@pytest.mark.parametrize("name", VERIFIERS)
async def test_every_name_opens_and_carries_its_version(name):
    verifier = open_verifier(name)
    verdict = await verifier.verify(Problem(prompt="?", verifier=name), "no answer")
    assert verdict.verifier == verifier.name == f"{name}/{1 if name == 'gym' else 2}"
    assert verdict.correct is None
    await verifier.close()
    await verifier.close()


@pytest.mark.parametrize(
    ("name", "left", "right", "equal"),
    [
        ("math", r"\dfrac{1}{2}", "0.5", True),
        ("math", "(1,2)", "(1, 2)", True),
        ("math", "3", "4", False),
        ("numeric", "2.00001", "2", True),
        ("numeric", "x", "2", None),
        ("exact", "a  b", "a b", True),
        ("exact", "a", "b", False),
        ("choice", "(c)", "C", True),
        ("choice", "seven", "C", None),
        ("gym", "0.50", "1/2", True),
    ],
)
async def test_every_verifier_says_whether_two_answers_are_equal(name, left, right, equal):
    verifier = open_verifier(name)
    try:
        assert await verifier.equal(left, right) is equal
    finally:
        await verifier.close()


async def test_options_reach_the_verifier():
    verdict = await open_verifier("numeric", relative=0.5).verify(Problem(prompt="?", answer="10"), "14")
    assert verdict.correct


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'math'"):
        open_verifier("maths")
    with pytest.raises(ConfigError, match="does not take"):
        open_verifier("choice", relative=1)
