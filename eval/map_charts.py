"""Charts that are maps: paths and greedy actions on a track, values on a grid."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from envs.track import Track
from eval.charts import MARKS, WIDTH
from eval.exact import ARROWS
from eval.paths import ActionField
from eval.plots import COLOURS, LINES


def draw_paths(track: Track, paths: Sequence[tuple[int, NDArray[np.float64]]]) -> Figure:
    """Where greedy episodes went: a colour and a line style per seed, a dot at the start and a cross at the end."""
    figure, axes = _on_track(track)
    seen: set[int] = set()
    for seed, path in sorted(paths, key=lambda one: one[0]):
        colour = COLOURS[seed % len(COLOURS)]
        label = None if seed in seen else f"seed {seed}"
        seen.add(seed)
        style = LINES[seed % len(LINES)]
        axes.plot(*path.T, color=colour, linestyle=style, linewidth=0.9, alpha=0.8, label=label)
        axes.plot(*path[0], color=colour, marker="o", markersize=5)
        axes.plot(*path[-1], color=colour, marker="X", markersize=7, markeredgecolor="white")
    _legend_below(figure, axes)
    return figure


def draw_action_field(field: ActionField, names: Sequence[str]) -> Figure:
    """The greedy action all over the track: around each place a mark for every heading, in that direction."""
    figure, axes = _on_track(field.track)
    towards = np.stack([np.cos(field.headings), np.sin(field.headings)], -1)  # [H, 2]
    spread = 0.36 * float(np.diff(np.unique(field.places[:, 0])).min(initial=0.5))
    marks = field.places[:, None] + spread * towards  # [P, H, 2]
    for action, name in enumerate(names):
        x, y = marks[field.actions == action].T
        if len(x):
            share = len(x) / field.actions.size
            colour = COLOURS[action % len(COLOURS)]
            label = f"{name} ({share:.0%})"
            axes.scatter(x, y, s=12, marker=MARKS[action % len(MARKS)], color=colour, linewidths=0, label=label)
    _legend_below(figure, axes)
    return figure


def draw_value_map(
    shape: tuple[int, int], values: NDArray[np.floating] | None, policy: NDArray[np.floating], names: Sequence[str]
) -> Figure:
    """Values and greedy actions on a grid.

    Args:
        shape: rows and columns of the grid.
        values: of the states, [states]; None where the agent has none.
        policy: chances of the actions, [states, A].
        names: of the actions, [A].
    """
    rows, columns = shape
    shown = np.zeros(shape) if values is None else np.asarray(values, float).reshape(shape)
    figure, axes = plt.subplots(figsize=(WIDTH, max(1.6, WIDTH * rows / columns)), layout="constrained")
    picture = axes.pcolormesh(shown, cmap="cividis", edgecolors="white", linewidth=1)
    middle = (shown.min() + shown.max()) / 2
    size = float(np.clip(60 / columns, 6, 11))
    for state, chances in enumerate(policy):
        row, column = divmod(state, columns)
        taken = [ARROWS.get(name, name[:2]) for name, chance in zip(names, chances, strict=True) if chance > 0]
        text = "" if len(taken) > 3 else "".join(taken)
        if values is not None:
            text = f"{shown[row, column] + 0.0:.{1 if abs(shown).max() >= 10 else 2}f}\n{text}"
        # Ink as if on paper: these lie on their own colours, light and dark mode alike.
        ink = "#101010" if shown[row, column] > middle else "#fefefe"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=ink, fontsize=size)
    axes.invert_yaxis()
    axes.set_xticks(np.arange(columns) + 0.5, map(str, range(columns)))
    axes.set_yticks(np.arange(rows) + 0.5, map(str, range(rows)))
    axes.set(xlabel="column", ylabel="row")
    axes.spines[:].set_visible(False)
    if values is not None:
        figure.colorbar(picture, ax=axes, label="value", shrink=0.8)
    return figure


def _on_track(track: Track) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(WIDTH, WIDTH), layout="constrained")
    axes.add_collection(LineCollection(list(track.walls.reshape(-1, 2, 2)), colors="black", linewidths=1.4))
    axes.autoscale()
    axes.set(aspect="equal", xlabel="x, m", ylabel="y, m")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        for line in legend.get_lines():
            line.set(linewidth=2, alpha=1)
