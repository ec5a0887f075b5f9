"""What bandit agents did with their arms: regret and pulls of the best arm against time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from gymnasium.vector import VectorEnv
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agents.base import Step
from eval.plots import COLOURS, LINES, tidy
from eval.regret import lai_robbins_slope

POINTS = 200
"""Times at which an episode's regret is kept, at most."""


@dataclass(frozen=True, kw_only=True)
class PullCurves:
    """Episodes of one length, each at the same P times, evenly spaced in the logarithm."""

    steps: NDArray[np.int64]
    """[P], from 1 to the length."""
    regret: NDArray[np.float64]
    """The sum over steps so far of (best mean - mean of the arm pulled), [episodes, P]."""
    optimal: NDArray[np.float64]
    """The share of steps since the time before that pulled a best arm, [episodes, P]."""
    means: NDArray[np.float64]
    """The arms' means when the episode opened, [episodes, K]."""
    arms: str
    """ "bernoulli" or "gaussian"."""
    drift: bool
    """Whether the arms' means changed meanwhile."""


class PullWatch:
    """Takes steps of a bandit's columns and keeps what `PullCurves` needs of the episodes that end.

    Args:
        venv: a `BanditVectorEnv` in an interaction; its `arm_means` are read between two steps.
    """

    def __init__(self, venv: Any):
        self._venv = venv
        columns = venv.num_envs
        self._rows = np.arange(columns)
        self._means: NDArray[np.float64] | None = None
        self._opening = np.zeros((columns, venv.arms))
        self._gap = np.zeros((64, columns))  # [T, N] of the episodes in progress
        self._hit = np.zeros((64, columns), bool)
        self._length = np.zeros(columns, np.int64)
        self._found: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        self.optimal = np.zeros(columns, bool)
        """Which columns pulled a best arm in the latest step, [N]."""

    def __call__(self, step: Step) -> None:
        """Takes a step of training or evaluation."""
        # Arms that drift move after the pull: what counts is where they stood before it.
        means = step.reset_info["arm_means"] if self._means is None else self._means  # [N, K]
        first, running = step.first.reshape(-1), step.running.reshape(-1)
        self._opening[first] = means[first]
        if self._length.max() >= len(self._gap):
            self._gap = np.concatenate([self._gap, np.zeros_like(self._gap)])
            self._hit = np.concatenate([self._hit, np.zeros_like(self._hit)])
        pulled, best = means[self._rows, step.action.reshape(-1)], means.max(1)
        self.optimal = pulled == best
        self._gap[self._length, self._rows], self._hit[self._length, self._rows] = best - pulled, self.optimal
        self._length += running
        for column in np.flatnonzero((step.terminated | step.truncated).reshape(-1) & running):
            length = self._length[column]
            times = _times(int(length))
            regret = self._gap[:length, column].cumsum()[times - 1]
            hits = self._hit[:length, column].cumsum()[times - 1]
            share = np.diff(hits, prepend=0) / np.diff(times, prepend=0)
            self._found.append((regret, share, self._opening[column].copy()))
            self._length[column] = 0
        self._means = self._venv.arm_means.copy()

    def curves(self) -> PullCurves:
        """All episodes that have ended; bandits' are all as long as the horizon."""
        regret, optimal, means = (np.array(part) for part in zip(*self._found, strict=True))
        return PullCurves(
            steps=_times(int(self._venv.horizon)),
            regret=regret,
            optimal=optimal,
            means=means,
            arms=self._venv.metadata["arms"],
            drift=bool(self._venv.drift),
        )


def watch_pulls(venv: VectorEnv[Any, Any, Any]) -> PullWatch | None:
    """A watch for bandits, and None for all else."""
    return PullWatch(venv) if hasattr(venv, "arm_means") else None


def _times(length: int) -> NDArray[np.int64]:
    return np.unique(np.geomspace(1, length, POINTS).round().astype(np.int64))


def asymptotic_slope(curves: PullCurves) -> tuple[float, str] | None:
    """The slope of Lai and Robbins for the instances that were played, and what to call it; None for drifting arms.

    Where instances differ it is their median: of random arms some are nearly equal, for which the bound on regret is
    huge and reached after ages, and a mean would be theirs.
    """
    if curves.drift:
        return None
    slopes = lai_robbins_slope(curves.means, bernoulli=curves.arms == "bernoulli")
    one = bool((curves.means == curves.means[0]).all())
    return float(np.median(slopes)), "asymptotic slope" if one else "asymptotic slope, median of the instances"


def draw_regret(curves: Mapping[str, PullCurves], title: str) -> Figure:
    """Mean regret against time with 95% bands, over time as it is and over its logarithm."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    any_curves = next(iter(curves.values()))
    slope = asymptotic_slope(any_curves)
    for axes, scale in zip(panels, ("linear", "log"), strict=True):
        for index, (name, one) in enumerate(curves.items()):
            draw_mean(axes, index, name, one.steps, one.regret)
        if slope is not None and slope[0] > 0:
            axes.plot(
                any_curves.steps,
                slope[0] * np.log(any_curves.steps),
                color="black",
                linestyle=":",
                label=f"Lai-Robbins: {slope[0]:.1f} log t ({slope[1]})",
            )
        axes.set_xscale(scale)
        axes.set(xlabel=f"steps{', logarithmic' if scale == 'log' else ''}")
        tidy(axes)
    top = max(one.regret.mean(0).max() for one in curves.values())
    panels[0].set(ylabel="regret", ylim=(0, 1.1 * max(top, 1e-9)))
    panels[1].legend(frameon=False, fontsize=8)
    figure.suptitle(f"Regret, {title}: mean and 95% band over episodes", fontsize=10)
    return figure


def draw_optimal(curves: Mapping[str, PullCurves], title: str) -> Figure:
    """Share of pulls of a best arm against time with 95% bands."""
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for index, (name, one) in enumerate(curves.items()):
        draw_mean(axes, index, name, one.steps, one.optimal)
    axes.set(xlabel="steps, logarithmic", ylabel="share of the best arm", ylim=(0, 1), xscale="log")
    axes.set_title(f"Pulls of the best arm, {title}: mean and 95% band over episodes", loc="left", fontsize=10)
    axes.legend(frameon=False)
    tidy(axes)
    return figure


def draw_mean(axes: Axes, index: int, label: str, x: NDArray[Any], values: NDArray[np.floating]) -> None:
    """The mean of values [episodes, P] against x [P], with the normal 95% band of that mean."""
    mean = values.mean(0)
    half = 1.96 * values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros_like(mean)
    colour = COLOURS[index % len(COLOURS)]
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, linestyle=LINES[index % len(LINES)], label=label)
