import math

import pytest

from tirage.training.batches import BLANK, lr_factor, padded_tokens, plan_steps, split_micro

LENGTHS = [10 + 7 * (index % 13) for index in range(50)]


def test_every_row_once_per_epoch() -> None:
    steps = plan_steps(LENGTHS, batch_size=8, seed=0, epochs=2)
    assert len(steps) == 2 * math.ceil(50 / 8)
    assert sorted(row for step in steps[:7] for row in step) == list(range(50))
    assert sorted(row for step in steps[7:] for row in step) == list(range(50))


def test_the_seed_decides_and_epochs_differ() -> None:
    assert plan_steps(LENGTHS, batch_size=8, seed=1) == plan_steps(LENGTHS, batch_size=8, seed=1)
    assert plan_steps(LENGTHS, batch_size=8, seed=1) != plan_steps(LENGTHS, batch_size=8, seed=2)
    steps = plan_steps(LENGTHS, batch_size=8, seed=1, epochs=2)
    assert steps[:7] != steps[7:]


def test_max_steps_is_exact_and_a_prefix_is_shared() -> None:
    assert len(plan_steps([5, 6, 7], batch_size=2, seed=0, max_steps=17)) == 17
    assert plan_steps(LENGTHS, batch_size=8, seed=0, max_steps=5) == plan_steps(LENGTHS, batch_size=8, seed=0, epochs=1)[:5]


def test_half_an_epoch() -> None:
    assert len(plan_steps(LENGTHS, batch_size=5, seed=0, epochs=1.5)) == 15
    assert len(plan_steps(LENGTHS, batch_size=5, seed=0, epochs=0.5)) == 5


def test_like_lengths_go_together() -> None:
    steps = plan_steps(LENGTHS, batch_size=8, seed=0)
    assert sum(padded_tokens(steps, LENGTHS)) < 1.15 * sum(LENGTHS)


@pytest.mark.parametrize("wrong", [{"epochs": 0.0}, {"max_steps": 0}])
def test_nothing_to_do_is_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        plan_steps(LENGTHS, batch_size=8, seed=0, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no rows"):
        plan_steps([], batch_size=8, seed=0)


def test_micro_batches() -> None:
    assert split_micro([[1, 2, 3, 4, 5], [6]], 2) == [[1, 2, 3], [4, 5], [6], [BLANK]]


def test_learning_rate_by_hand() -> None:
    assert [lr_factor(step, 10, 0.2, "constant") for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert [lr_factor(step, 4, 0.0, "linear") for step in range(4)] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert lr_factor(2, 4, 0.0, "cosine") == pytest.approx(0.5)
    assert all(lr_factor(step, 4, 0.1, "cosine") > 0 for step in range(4))
