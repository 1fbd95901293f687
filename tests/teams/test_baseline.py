"""What is expected of a query: by hand, by the definition, and unaffected by the query's own outcome."""

import numpy as np
import pytest

from tirage.teams.baseline import COMMON, FADING, NOISE, QueryBaseline


def test_by_hand() -> None:
    """Two equal queries: of each the other's 1 is known, shrunk by its noise; a stranger is told what they all have in common."""
    east, north = [1.0, 0.0], [0.0, 1.0]
    assert QueryBaseline().expect(np.array([east], np.float32), [1.0]) == pytest.approx([0.0])
    expected = QueryBaseline().expect(np.array([east, east], np.float32), [1.0, 0.0])
    # (1 + COMMON) / (1 + COMMON + NOISE) of the other's utility.
    assert expected == pytest.approx([0.0, 11 / 12])
    expected = QueryBaseline().expect(np.array([east, north], np.float32), [1.0, 0.0])
    assert expected == pytest.approx([0.0, 10 / 12])


def test_it_is_the_prediction_from_all_other_outcomes_older_ones_weighing_less() -> None:
    draw = np.random.default_rng(0)
    queries = draw.normal(size=(8, 5)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    utilities = draw.random(8)
    baseline = QueryBaseline()
    baseline.expect(queries[:4], utilities[:4].tolist())
    expected = baseline.expect(queries[4:], utilities[4:].tolist())
    noise = NOISE / np.repeat([FADING, 1.0], 4)
    for i in range(4, 8):
        others = np.arange(8) != i
        kernel = queries.astype(np.float64) @ queries.T + COMMON
        weights = np.linalg.solve(kernel[np.ix_(others, others)] + np.diag(noise[others]), utilities[others])
        assert expected[i - 4] == pytest.approx(kernel[i, others] @ weights)


def test_easy_and_hard_queries_are_told_apart() -> None:
    easy, hard = np.eye(2, 6, dtype=np.float32)
    baseline = QueryBaseline()
    for _ in range(10):
        expected = baseline.expect(np.stack([easy, hard, easy, hard]), [1.0, 0.0, 1.0, 0.0])
    assert expected == pytest.approx([1.0, 0.0, 1.0, 0.0], abs=0.1)


def test_what_is_long_past_is_forgotten() -> None:
    baseline = QueryBaseline()
    for _ in range(200):
        baseline.expect(np.eye(2, dtype=np.float32), [1.0, 1.0])
    assert baseline._queries is not None
    assert len(baseline._queries) < 100
