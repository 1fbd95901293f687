import pytest

from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.verification import open_verifier
from tirage.verification.factory import VERIFIERS


@pytest.mark.parametrize("name", VERIFIERS)
async def test_every_name_opens_and_carries_its_version(name):
    verifier = open_verifier(name)
    verdict = await verifier.verify(Problem(prompt="?", verifier=name), "no answer")
    assert verdict.verifier == verifier.name == f"{name}/1"
    assert verdict.correct is None
    await verifier.close()
    await verifier.close()


async def test_options_reach_the_verifier():
    verdict = await open_verifier("numeric", relative=0.5).verify(Problem(prompt="?", answer="10"), "14")
    assert verdict.correct


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'math'"):
        open_verifier("maths")
    with pytest.raises(ConfigError, match="does not take"):
        open_verifier("choice", relative=1)
