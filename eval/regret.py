"""How fast a bandit's regret must grow, and how fast it does.

T. L. Lai and Herbert Robbins, Asymptotically efficient adaptive allocation rules, Advances in Applied Mathematics 6,
1985. Arrays are [..., K] over arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

Array = NDArray[Any]


def bernoulli_divergence(p: Array, q: Array) -> Array:
    """Kullback-Leibler divergence of Bernoulli(q) from Bernoulli(p), nats; infinite where q excludes what p allows."""
    return rel_entr(p, q) + rel_entr(1.0 - np.asarray(p), 1.0 - np.asarray(q))


def gaussian_divergence(mean: Array, other: Array, variance: float = 1.0) -> Array:
    """Kullback-Leibler divergence of N(other, variance) from N(mean, variance), nats."""
    return (np.asarray(mean) - np.asarray(other)) ** 2 / (2.0 * variance)


def lai_robbins_slope(means: Array, *, bernoulli: bool) -> Array:
    """What regret per log T no consistent rule stays below in the long run.

    The sum over the arms that are not the best of (mu* - mu_k) / KL(mu_k, mu*), [..., K] -> [...].

    Args:
        means: of Bernoulli arms, or else of Gaussian ones of unit variance.
        bernoulli: which of them.

    Raises:
        ValueError: there are no arms, or a Bernoulli mean is outside [0, 1].
    """
    means = np.asarray(means, np.float64)
    if means.ndim == 0 or means.shape[-1] == 0 or not np.isfinite(means).all():
        raise ValueError(f"means are {means}; expected a finite number for each of at least one arm")
    if bernoulli and (means.min() < 0 or means.max() > 1):
        raise ValueError(f"means go from {means.min():g} to {means.max():g}; expected probabilities in [0, 1]")
    best = means.max(-1, keepdims=True)
    gap = best - means
    divergence = bernoulli_divergence(means, best) if bernoulli else gaussian_divergence(means, best)
    # An arm as good as the best costs nothing; one told apart by a single pull (infinite divergence) neither.
    return np.divide(gap, divergence, out=np.zeros_like(gap), where=gap > 0).sum(-1)


def lai_robbins_bound(means: Array, steps: Array, *, bernoulli: bool) -> Array:
    """The asymptotic lower bound on regret after `steps` [T]: slope x log steps, [..., K] -> [..., T]."""
    return np.asarray(lai_robbins_slope(means, bernoulli=bernoulli))[..., None] * np.log(steps)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A straight line fitted to regret by least squares."""

    slope: float
    intercept: float
    r_squared: float
    """Share of regret's variance that the line explains."""


def fit_growth(steps: Array, regret: Array) -> dict[str, Growth]:
    """Fits regret [T] after `steps` [T] by lines in log T and in T: whichever explains more says how it grows.

    Returns:
        {"log": ..., "linear": ...}.

    Raises:
        ValueError: fewer than 3 points, or a step below 1.
    """
    steps, regret = np.asarray(steps, np.float64), np.asarray(regret, np.float64)
    if steps.shape != regret.shape or steps.ndim != 1 or len(steps) < 3 or steps.min() < 1:
        raise ValueError(f"steps {steps.shape}, regret {regret.shape}; expected at least 3 points each, steps from 1")
    return {"log": _line(np.log(steps), regret), "linear": _line(steps, regret)}


def _line(x: Array, y: Array) -> Growth:
    slope, intercept = np.polyfit(x, y, 1)
    variance = float(((y - y.mean()) ** 2).sum())
    left = float(((y - slope * x - intercept) ** 2).sum())
    return Growth(slope=float(slope), intercept=float(intercept), r_squared=1.0 - left / variance if variance else 1.0)
