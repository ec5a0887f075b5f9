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
    low, high = np.quantile(drawn.sum(1) / counts[chosen].sum(1), _tails())
    return float(low), float(high)


def interquartile_mean(values: ArrayLike, axis: int = 0) -> NDArray[np.float64]:
    """The mean without the lowest and the highest quarter; quarters that are no whole number are rounded down."""
    return np.asarray(scipy_stats.trim_mean(np.asarray(values, float), 0.25, axis=axis))


def seed_band(values: NDArray[np.floating], rng: np.random.Generator) -> tuple[NDArray[np.floating], ...]:
    """Interquartile mean over seeds and its 95% bootstrap band: [S, T] -> three arrays [T]."""
    seeds = len(values)
    resampled = values[rng.integers(seeds, size=(RESAMPLES, seeds))]  # [RESAMPLES, S, T]
    low, high = np.quantile(interquartile_mean(resampled, axis=1), _tails(), axis=0)
    return interquartile_mean(values), low, high


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
