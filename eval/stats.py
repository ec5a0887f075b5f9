"""Statistics of reports: deciles, intervals, and the interquartile mean over seeds.

Sources: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021) for interquartile
means and stratified bootstraps; Clopper and Pearson (1934) for the exact binomial bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as scipy_stats

CONFIDENCE = 0.95
RESAMPLES = 2_000


def tails() -> tuple[float, float]:
    """The quantiles between which CONFIDENCE lies."""
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2


def deciles(values: ArrayLike) -> list[float]:
    """The 0th, 10th ... 100th percentile: 11 numbers."""
    return np.percentile(np.asarray(values, float), np.arange(0, 101, 10)).tolist()


def share_interval(successes: Sequence[Sequence[bool]], rng: np.random.Generator) -> tuple[float, float]:
    """A 95% interval of a share of successes.

    The bootstrap resamples seeds, where there are several, and episodes within them. Where all episodes agree, a
    bootstrap sees no spread at all; there the exact binomial bound takes its place.

    Args:
        successes: per seed, per episode.
        rng: for the resampling.
    """
    flat = np.concatenate([np.asarray(seed, bool) for seed in successes])
    if flat.all() or not flat.any():
        exact = scipy_stats.binomtest(int(flat.sum()), len(flat)).proportion_ci(CONFIDENCE, method="exact")
        return float(exact.low), float(exact.high)
    counts = np.array([len(seed) for seed in successes])
    shares = np.array([np.mean(seed) for seed in successes])
    chosen = rng.integers(len(counts), size=(RESAMPLES, len(counts)))
    drawn = rng.binomial(counts[chosen], shares[chosen])  # [RESAMPLES, S]
    low, high = np.quantile(drawn.sum(1) / counts[chosen].sum(1), tails())
    return float(low), float(high)


def interquartile_mean(values: ArrayLike, axis: int = 0) -> NDArray[np.float64]:
    """The mean without the lowest and the highest quarter; quarters that are no whole number are rounded down."""
    return np.asarray(scipy_stats.trim_mean(np.asarray(values, float), 0.25, axis=axis))


def seed_band(values: NDArray[np.floating], rng: np.random.Generator) -> tuple[NDArray[np.floating], ...]:
    """Interquartile mean over seeds and its 95% bootstrap band: [S, T] -> three arrays [T]."""
    seeds = len(values)
    resampled = values[rng.integers(seeds, size=(RESAMPLES, seeds))]  # [RESAMPLES, S, T]
    low, high = np.quantile(interquartile_mean(resampled, axis=1), tails(), axis=0)
    return interquartile_mean(values), low, high


def seed_interval(values: NDArray[np.floating], rng: np.random.Generator) -> tuple[NDArray[np.floating], ...]:
    """95% bootstrap interval over seeds of their mean: [S, T] -> two arrays [T]."""
    seeds = len(values)
    resampled = values[rng.integers(seeds, size=(RESAMPLES, seeds))].mean(1)  # [RESAMPLES, T]
    low, high = np.quantile(resampled, tails(), axis=0)
    return low, high


def improvement_probability(
    ours: NDArray[np.floating], theirs: NDArray[np.floating], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Probability that a run of ours beats one of theirs, ties counting half, with its 95% bootstrap interval.

    Args:
        ours: a score per seed, [S].
        theirs: a score per seed, [S'].
        rng: for the resampling, of both sides' seeds.
    """

    def share(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
        difference = a[..., :, None] - b[..., None, :]
        return ((difference > 0) + 0.5 * (difference == 0)).mean((-2, -1))

    a = ours[rng.integers(len(ours), size=(RESAMPLES, len(ours)))]
    b = theirs[rng.integers(len(theirs), size=(RESAMPLES, len(theirs)))]
    low, high = np.quantile(share(a, b), tails())
    return float(share(ours, theirs)), float(low), float(high)
