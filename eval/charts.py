"""The charts of a report's page: narrow, so that they can be read on a telephone; the captions are the page's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eval.plots import COLOURS, LINES, fill_of, stack_shares, tidy
from eval.tables import PAIRS_SHOWN, rows_of

WIDTH, HEIGHT = 4.6, 3.2
"""Inches of a chart."""
MARKS = "os^Dv*Px"
"""Markers, in the order of the colours."""


def draw_outcomes(report: dict[str, Any]) -> Figure:
    """Success with its 95% interval or, where nobody knows what success is, the mean return between its deciles."""
    rows = list(rows_of(report))[::-1]
    known = all(figures["success_rate"] is not None for _, figures in rows)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.24 * len(rows)), layout="constrained")
    for place, (name, figures) in enumerate(rows):
        if known:
            middle, (low, high) = figures["success_rate"], figures["success_interval"]
        else:
            middle, low, high = figures["return_mean"], figures["return_deciles"][1], figures["return_deciles"][9]
        colour, mark = _look(report, name)
        axes.plot([low, high], [place, place], color=colour, linewidth=2, clip_on=False)
        size = 7 if name.endswith(" all") else 5
        axes.plot([middle], [place], color=colour, marker=mark, markersize=size, clip_on=False, zorder=3)
        text = f"{middle:.1%}" if known else f"{middle:.1f}"
        axes.annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    if known:
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("share of episodes" if known else "return: mean, 10% to 90% of episodes")
    tidy(axes)
    return figure


def draw_deciles(report: dict[str, Any], key: str, label: str) -> Figure:
    """Deciles of the agent in each mode, all seeds, and of the baselines."""
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    rows = [
        (name, figures) for name, figures in rows_of(report) if not name[-1].isdigit() or name in report["baselines"]
    ]
    for index, (name, figures) in enumerate(rows):
        axes.plot(
            range(0, 101, 10),
            figures[key],
            color=COLOURS[index % len(COLOURS)],
            linestyle=LINES[index % len(LINES)],
            marker=MARKS[index % len(MARKS)],
            markersize=4,
            label=name,
        )
    axes.set(xlabel="per cent of episodes that are no higher", ylabel=label)
    legend_above(figure)
    tidy(axes)
    return figure


def draw_shares(report: dict[str, Any], key: str) -> Figure:
    """Stacked bars of action proportions: a bar per seed and mode, then the baselines."""
    rows = [(name, figures[key]) for name, figures in rows_of(report) if figures[key]][::-1]
    names = report["modes"]["greedy"]["pooled"]["action_names"]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.2 + 0.26 * len(rows)), layout="constrained")
    stack_shares(axes, [shares for _, shares in rows], names, lying=True)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4))
    axes.xaxis.set_major_formatter("{x:.0%}")
    legend_above(figure)
    tidy(axes)
    axes.grid(False)
    return figure


def draw_pairs(report: dict[str, Any]) -> Figure:
    """How often each [action, reward] pair occurred, greedy, all seeds."""
    pairs = report["modes"]["greedy"]["pooled"]["action_reward_counts"][:PAIRS_SHOWN][::-1]
    names = report["modes"]["greedy"]["pooled"]["action_names"]
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.26 * len(pairs)), layout="constrained")
    for place, pair in enumerate(pairs):
        action = names.index(pair["action"])
        axes.barh(place, pair["count"], **fill_of(action))
        axes.annotate(f" {pair['count']:,}", (pair["count"], place), va="center", fontsize=8)
    axes.set_yticks(range(len(pairs)), [f"[{pair['action']}, {pair['reward']:+g}]" for pair in pairs])
    axes.set_xlabel("steps")
    axes.margins(x=0.18)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    tidy(axes)
    return figure


def draw_directions(rows: Sequence[tuple[str, dict[str, Any]]]) -> Figure:
    """The share of continuous actions in each direction, as lines around a circle."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2), subplot_kw={"projection": "polar"}, layout="constrained")
    for index, (name, control) in enumerate(rows):
        counts = np.array(control["direction_counts"], float)
        angles = np.linspace(0, 2 * np.pi, len(counts) + 1)
        shares = counts / max(1.0, counts.sum())
        axes.plot(
            angles,
            np.append(shares, shares[0]),
            color=COLOURS[index % len(COLOURS)],
            linestyle=LINES[index % len(LINES)],
            marker=MARKS[index % len(MARKS)],
            markersize=3,
            label=name,
        )
    axes.set_xticks(np.arange(0, 2 * np.pi, np.pi / 2), ["+a0", "+a1", "-a0", "-a1"])
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylim(bottom=0)
    legend_above(figure)
    return figure


def draw_magnitudes(rows: Sequence[tuple[str, dict[str, Any]]]) -> Figure:
    """The share of continuous actions of each magnitude."""
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    for index, (name, control) in enumerate(rows):
        counts = np.array(control["magnitude_counts"], float)
        axes.stairs(
            counts / max(1.0, counts.sum()),
            np.linspace(0, control["magnitude_largest"], len(counts) + 1),
            color=COLOURS[index % len(COLOURS)],
            linestyle=LINES[index % len(LINES)],
            linewidth=1.8,
            label=f"{name} ({control['saturated_share']:.0%} at a bound)",
        )
    axes.set(xlabel="magnitude of the action", ylabel="share of steps", ylim=(0, None))
    axes.yaxis.set_major_formatter("{x:.0%}")
    legend_above(figure)
    tidy(axes)
    return figure


def draw_cells(control: dict[str, Any]) -> Figure:
    """Where continuous actions lie, first axis against second; the lighter, the more."""
    counts = np.array(control["cells"], float)
    (left, right), (low, high) = control["bounds"]
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9), layout="constrained")
    # Roots, so that what happens in one step of a hundred is seen beside what happens in most.
    picture = axes.imshow(
        np.sqrt(counts / counts.sum()), origin="lower", extent=(left, right, low, high), cmap="cividis", aspect="auto"
    )
    bar = figure.colorbar(picture, ax=axes)
    ticks = np.linspace(0, np.sqrt(counts.max() / counts.sum()), 4)
    bar.set_ticks(ticks.tolist(), labels=[f"{tick**2:.1%}" for tick in ticks])
    bar.set_label("share of steps")
    axes.set(xlabel="a0", ylabel="a1")
    return figure


def _look(report: dict[str, Any], name: str) -> tuple[str, str]:
    """Colour and marker of a row: by mode, and one for all baselines."""
    modes = list(report["modes"])
    mode = name.split()[0]
    index = modes.index(mode) if mode in modes and name not in report["baselines"] else len(modes)
    return COLOURS[index], MARKS[index]


def legend_above(figure: Figure) -> None:
    """Puts the legend of the first panel where it covers nothing, in the place of any other."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for legend in list(figure.legends):
        legend.remove()
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is not None:
            legend.remove()
    columns = 1 if max(map(len, labels)) > 24 else 2 if max(map(len, labels)) > 12 else 3
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=8)
