"""Pictures of what bandit agents did: regret and pulls of the best arm against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.plots import COLOURS, LINES, tidy
from eval.pulls import PullCurves
from eval.regret import lai_robbins_slope


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


def draw_regret(
    curves: Mapping[str, PullCurves], title: str, scales: Sequence[Literal["linear", "log"]] = ("linear", "log")
) -> Figure:
    """Mean regret against time with 95% bands, a panel for each scale of time."""
    size = (5.5 * len(scales), 4.5)
    figure, grid = plt.subplots(1, len(scales), figsize=size, sharey=True, squeeze=False, layout="constrained")
    panels = grid[0]
    any_curves = next(iter(curves.values()))
    slope = asymptotic_slope(any_curves)
    for axes, scale in zip(panels, scales, strict=True):
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
    panels[-1].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(f"Regret, {title}: mean and 95% band over episodes", fontsize=10)
    return figure


def draw_optimal(curves: Mapping[str, PullCurves], title: str) -> Figure:
    """Share of pulls of a best arm against time with 95% bands."""
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for index, (name, one) in enumerate(curves.items()):
        draw_mean(axes, index, name, one.steps, one.optimal)
    axes.set(xlabel="steps, logarithmic", ylabel="share of the best arm", ylim=(0, 1), xscale="log")
    axes.set_title(f"Pulls of the best arm, {title}: mean and 95% band over episodes", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="upper left")
    tidy(axes)
    return figure


def draw_mean(axes: Axes, index: int, label: str, x: NDArray[Any], values: NDArray[np.floating]) -> None:
    """The mean of values [episodes, P] against x [P], with the normal 95% band of that mean."""
    mean = values.mean(0)
    half = 1.96 * values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros_like(mean)
    colour = COLOURS[index % len(COLOURS)]
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, linestyle=LINES[index % len(LINES)], label=label)
