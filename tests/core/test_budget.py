import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirage.core import Budget, Meter, Usage

NAMES = ("tokens_in", "tokens_out", "model_calls", "tool_calls", "sandbox_s", "cost_usd")


def test_no_limits_never_run_out():
    meter = Meter(Budget(), spent=Usage(tokens_out=10**9, cost_usd=1e6))
    assert meter.exhausted(elapsed_s=1e9) is None


@pytest.mark.parametrize("name", NAMES)
def test_each_limit_is_reached_by_spending_and_by_reserving(name):
    meter = Meter(Budget(**{name: 3}))
    assert meter.exhausted() is None
    meter.reserve(Usage(**{name: 2}))
    assert meter.exhausted() is None
    meter.reserve(Usage(**{name: 1}))
    assert meter.exhausted() == name
    meter.settle(Usage(**{name: 3}), Usage(**{name: 1}))
    assert meter.exhausted() is None
    meter.settle(Usage(), Usage(**{name: 2}))
    assert meter.exhausted() == name


def test_wall_time_is_asked_first():
    meter = Meter(Budget(wall_s=2.0, tokens_out=0))
    assert meter.exhausted(elapsed_s=1.9) == "tokens_out"
    assert meter.exhausted(elapsed_s=2.0) == "wall_s"


@pytest.mark.parametrize("name", ["model_calls", "depth"])
def test_zero_is_a_limit(name):
    assert Meter(Budget(**{name: 0})).exhausted() == name


@pytest.mark.parametrize("name", [*NAMES, "wall_s"])
def test_a_negative_limit_is_refused(name):
    with pytest.raises(ValueError, match=f"budget {name}=-1 is negative; use None for unlimited"):
        Budget(**{name: -1})


@pytest.mark.parametrize("name", NAMES)
def test_more_than_was_reserved_cannot_be_settled(name):
    meter = Meter(Budget())
    meter.reserve(Usage(**{name: 1}))
    with pytest.raises(ValueError, match=f"settling more {name} than was reserved"):
        meter.settle(Usage(**{name: 2}), Usage())
    assert meter.spent == Usage()
    assert meter.reserved == Usage(**{name: 1})


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_when_all_has_settled_nothing_is_in_flight_and_all_is_counted(work):
    meter = Meter(Budget(tokens_out=100))
    for expected, _ in work:
        meter.reserve(Usage(tokens_out=expected))
    for expected, actual in work:
        meter.settle(Usage(tokens_out=expected), Usage(tokens_out=actual, tokens_cached=1))
    assert meter.reserved.tokens_out == 0
    total = sum(actual for _, actual in work)
    assert meter.spent == Usage(tokens_out=total, tokens_cached=len(work))
    assert (meter.exhausted() == "tokens_out") == (total >= 100)


def test_what_is_recalled_counts_here_and_not_above():
    above = Meter(Budget(tool_calls=2))
    meter = Meter(Budget(tool_calls=2), above=above)
    meter.recall(Usage(tool_calls=2))
    assert meter.exhausted() == "tool_calls"
    assert above.spent == Usage()
