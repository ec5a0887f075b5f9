"""Deciles, intervals and interquartile means against hand-worked numbers and against scipy and numpy."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from eval.stats import deciles, improvement_probability, interquartile_mean, seed_band, seed_interval, share_interval


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_deciles_of_0_to_100_are_the_tens():
    assert deciles(range(101)) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def test_deciles_lie_between_neighbours_in_proportion():
    # Ten numbers: the p-th percentile is at position 9 p / 100 of the sorted ones.
    assert deciles([9, 0, 1, 8, 2, 7, 3, 6, 4, 5]) == pytest.approx([0, 0.9, 1.8, 2.7, 3.6, 4.5, 5.4, 6.3, 7.2, 8.1, 9])


def test_deciles_agree_with_numpy_and_are_plain_numbers():
    values = np.random.default_rng(1).exponential(size=37)
    found = deciles(values)
    assert len(found) == 11 and all(type(value) is float for value in found)
    assert found == pytest.approx([np.quantile(values, share) for share in np.linspace(0, 1, 11)])


def test_deciles_of_one_number_are_that_number():
    assert deciles([7]) == [7.0] * 11


@pytest.mark.parametrize("seeds", [1, 3])
def test_share_interval_brackets_the_share(seeds: int):
    successes = [[True] * 30 + [False] * 20 for _ in range(seeds)]
    low, high = share_interval(successes, rng())
    assert 0 < low < 0.6 < high < 1
    # Normal approximation of the binomial: 0.6 -+ 1.96 sqrt(0.6 x 0.4 / n).
    half = 1.96 * np.sqrt(0.24 / (50 * seeds))
    assert [low, high] == pytest.approx([0.6 - half, 0.6 + half], abs=0.025)


def test_share_interval_is_wider_where_seeds_disagree():
    alike = share_interval([[True, False] * 25] * 4, rng())
    apart = share_interval([[True] * 50, [True] * 50, [False] * 50, [False] * 50], rng())
    assert apart[1] - apart[0] > 2 * (alike[1] - alike[0])


def test_share_interval_is_exact_where_all_episodes_agree():
    # Clopper and Pearson: with no failure in n, the lower end is (alpha / 2) ^ (1 / n).
    assert share_interval([[True] * 5, [True] * 5], rng()) == pytest.approx((0.025**0.1, 1.0))
    assert share_interval([[False] * 10], rng()) == pytest.approx((0.0, 1 - 0.025**0.1))


def test_share_interval_is_deterministic():
    successes = [[True, False, True], [False, False, True, True]]
    assert share_interval(successes, rng()) == share_interval(successes, rng())


def test_interquartile_mean_leaves_out_the_outer_quarters():
    # Sorted -100 1 2 3 4 5 6 900: two off at each end leave 2 3 4 5.
    assert interquartile_mean([900, 1, 2, 3, 4, 5, 6, -100]) == 3.5


def test_interquartile_mean_of_three_is_their_mean():
    assert interquartile_mean([1.0, 2.0, 30.0]) == 11.0


def test_interquartile_mean_agrees_with_scipy_along_an_axis():
    values = np.random.default_rng(2).normal(size=(3, 8, 5))
    expected = scipy_stats.trim_mean(values, 0.25, axis=1)
    np.testing.assert_allclose(interquartile_mean(values, axis=1), expected)
    by_hand = np.sort(values, axis=1)[:, 2:6].mean(1)
    np.testing.assert_allclose(interquartile_mean(values, axis=1), by_hand)


def test_seed_band_encloses_the_middle_at_every_point():
    values = np.random.default_rng(3).normal(size=(6, 7))
    middle, low, high = seed_band(values, rng())
    assert middle.shape == low.shape == high.shape == (7,)
    assert (low < middle).all() and (middle < high).all()
    assert (low >= values.min(0)).all() and (high <= values.max(0)).all()


def test_seed_band_of_one_seed_is_that_seed():
    values = np.array([[1.0, 5.0, 2.0]])
    for curve in seed_band(values, rng()):
        np.testing.assert_array_equal(curve, values[0])


def test_seed_interval_has_the_width_of_the_standard_error():
    values = np.random.default_rng(4).normal(size=(50, 3))
    low, high = seed_interval(values, rng())
    half = 1.96 * values.std(0) / np.sqrt(50)
    np.testing.assert_allclose(low, values.mean(0) - half, atol=0.05)
    np.testing.assert_allclose(high, values.mean(0) + half, atol=0.05)


def test_improvement_counts_ties_half():
    # 1 against (0, 1, 2): one win, one tie, one loss; 2 against them: two wins, one tie.
    share, low, high = improvement_probability(np.array([1.0, 2.0]), np.array([0.0, 1.0, 2.0]), rng())
    assert share == pytest.approx((1.5 + 2.5) / 6)
    assert low <= share <= high


@pytest.mark.parametrize("seed", range(5))
def test_statistics_agree_with_independent_ones_on_random_tables(seed: int):
    generator = np.random.default_rng(seed)
    table, other = generator.normal(size=(9, 4)), generator.normal(0.3, 1.0, size=(7, 4))
    tenths = scipy_stats.mstats.mquantiles(table[:, 0], np.linspace(0, 1, 11), alphap=1, betap=1)
    assert deciles(table[:, 0]) == pytest.approx(tenths)
    middle, low, high = seed_band(table, rng())
    bootstrap = scipy_stats.bootstrap(
        (table,), lambda x, axis: scipy_stats.trim_mean(x, 0.25, axis=axis), axis=0, method="percentile",
        n_resamples=4_000, vectorized=True, rng=np.random.default_rng(1),
    )  # fmt: skip
    np.testing.assert_allclose(middle, scipy_stats.trim_mean(table, 0.25, axis=0))
    np.testing.assert_allclose(low, bootstrap.confidence_interval.low, atol=0.12)
    np.testing.assert_allclose(high, bootstrap.confidence_interval.high, atol=0.12)
    share, low, high = improvement_probability(table[:, 0], other[:, 0], rng())
    # Mann and Whitney's U counts the pairs that the first wins, ties half.
    assert share == pytest.approx(scipy_stats.mannwhitneyu(table[:, 0], other[:, 0]).statistic / 63)
    resampled = scipy_stats.bootstrap(
        (table[:, 0], other[:, 0]), lambda a, b: scipy_stats.mannwhitneyu(a, b).statistic / 63, method="percentile",
        n_resamples=1_000, vectorized=False, rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert [low, high] == pytest.approx([resampled.low, resampled.high], abs=0.06)
