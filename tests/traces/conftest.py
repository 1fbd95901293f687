import pytest

from tests.traces.rollouts import MakeRollout, build, build_broken


@pytest.fixture
def make_rollout() -> MakeRollout:
    return build


@pytest.fixture
def make_broken() -> MakeRollout:
    return build_broken
