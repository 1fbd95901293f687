import numpy as np
import pytest

from tirage.evaluation import clustered_bootstrap, mean_interval, wilson


def test_wilson_by_hand():
    # z = 1.959964, n = 10, share 0.8: centre (0.8 + 0.192073) / 1.384146, half 1.959964 sqrt(0.016 + 0.0096036) / 1.384146.
    measured = wilson(8, 10)
    assert (measured.low, measured.high) == (pytest.approx(0.490162, abs=1e-6), pytest.approx(0.943318, abs=1e-6))
    none, every = wilson(0, 10), wilson(10, 10)
    assert (none.low, none.high) == (0.0, pytest.approx(0.277533, abs=1e-6))  # z^2 / (n + z^2)
    assert (every.low, every.high) == (pytest.approx(1 - 0.277533, abs=1e-6), 1.0)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (3, 7), (50, 100), (299, 300)])
def test_wilson_agrees_with_scipy(successes: int, n: int):
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.binomtest(successes, n).proportion_ci(0.9, method="wilson")
    ours = wilson(successes, n, level=0.9)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))


@pytest.mark.parametrize(("successes", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0), (0, -1, 0.95)])
def test_wilson_refuses_nonsense(successes: int, n: int, level: float):
    with pytest.raises(ValueError, match=r"impossible|level"):
        wilson(successes, n, level=level)


def test_percentile_bootstrap_by_hand():
    # Two problems, 0 and 1: the resampled mean is 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
    wide = clustered_bootstrap([[0], [1]], method="percentile")
    narrow = clustered_bootstrap([[0], [1]], method="percentile", level=0.4)
    assert (wide.low, wide.high) == (0.0, 1.0)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


@pytest.mark.parametrize(("method", "name"), [("percentile", "percentile"), ("bca", "BCa")])
def test_bootstrap_agrees_with_scipy(method, name: str):
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(3).beta(0.6, 3.0, size=80)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=40_000, method=name, rng=np.random.default_rng(0)).confidence_interval
    ours = clustered_bootstrap([[value] for value in values], method=method, resamples=40_000)
    assert ours.low == pytest.approx(theirs.low, abs=2e-3)
    assert ours.high == pytest.approx(theirs.high, abs=2e-3)


def test_more_samples_of_a_problem_do_not_narrow_the_interval():
    once = clustered_bootstrap([[float(i % 3 == 0)] for i in range(60)])
    eight = clustered_bootstrap([[float(i % 3 == 0)] * 8 for i in range(60)])
    assert (once.low, once.high) == (eight.low, eight.high)
    assert once.high - once.low > 0.2


def test_same_seed_same_interval():
    data = [[(i * i % 97) / 97] for i in range(50)]
    assert clustered_bootstrap(data, seed=4) == clustered_bootstrap(data, seed=4)
    assert clustered_bootstrap(data, seed=4) != clustered_bootstrap(data, seed=5)


def test_chunks_keep_memory_flat_for_many_problems():
    data = [[float(i % 2)] for i in range(30_000)]
    measured = clustered_bootstrap(data, resamples=300, method="percentile")
    assert measured.low < 0.5 < measured.high
    assert measured.high - measured.low == pytest.approx(2 * 1.96 * 0.5 / 30_000**0.5, rel=0.2)


def test_clustered_data_are_covered_as_promised():
    generator = np.random.default_rng(11)
    hits = 0
    for trial in range(200):
        skill = generator.beta(0.5, 0.5, size=40)  # true mean 1/2, strongly clustered
        clusters = [list((generator.random(4) < each).astype(float)) for each in skill]
        measured = mean_interval(clusters, resamples=400, seed=trial)
        hits += measured.low <= 0.5 <= measured.high
    assert 0.90 <= hits / 200 <= 0.99


def test_mean_interval_picks_the_method():
    assert mean_interval([[1.0], [0.0], [1.0]]).method == "wilson"
    assert mean_interval([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).method == "bca"
    unanimous = mean_interval([[1.0, 1.0]] * 10)
    assert unanimous.method == "wilson"
    assert unanimous.low == pytest.approx(0.722467, abs=1e-6)
    assert (mean_interval([]).low, mean_interval([]).high) == (0.0, 1.0)


def test_empty_input_is_refused():
    with pytest.raises(ValueError, match="at least one problem"):
        clustered_bootstrap([])
    with pytest.raises(ValueError, match="cluster 1 is empty"):
        clustered_bootstrap([[1.0], []])
    with pytest.raises(ValueError, match="resamples=0"):
        clustered_bootstrap([[1.0], [0.0]], resamples=0)
