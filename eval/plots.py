"""Learning curves and action proportions as pictures."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.reading import read_rows
from eval.stats import seed_band

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a600", "#555555")
"""Okabe and Ito's palette: told apart with any colour vision; lines and hatches differ beside it."""
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "\\\\", "..", "xx", "--", "oo", "++")
DPI = 130
"""Dots per inch of pictures."""
POINTS = 60
"""Points of a curve."""
MOST = 2**53
"""No count, step or return of a run is as large: it stands in a damaged row."""


@dataclass(frozen=True, kw_only=True)
class EpisodeRows:
    """What `episodes.csv` of a run holds, a row per finished training episode."""

    name: str
    env: str
    seeds: int
    seed: NDArray[np.int64]
    step: NDArray[np.int64]
    length: NDArray[np.int64]
    total_reward: NDArray[np.float64]
    action_counts: NDArray[np.int64]
    """[episodes, A]."""
    action_names: tuple[str, ...]


def read_episodes(folder: Path, name: str, env: str, seeds: int) -> EpisodeRows:
    """Reads the `episodes.csv` of a run of `seeds` seeds. A damaged or half-written row is passed over.

    Raises:
        ValueError: there is no such file, or not one episode in it.
    """
    path = folder / "episodes.csv"
    try:
        actions: list[str] = []
        rows = array("d")  # a list of lists would take ten times the memory
        for number, raw in enumerate(read_rows(path)):
            if not number:
                actions = [field for field in raw if isinstance(field, str) and field.startswith("action:")]
            rows.extend(_row(raw, actions, seeds) or ())
    except (OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error}); is {folder} a run that trained?") from None
    if not rows:
        raise ValueError(f"{path} holds no finished episode; the run was too short to draw")
    columns = np.frombuffer(rows).reshape(-1, 4 + len(actions))
    return EpisodeRows(
        name=name,
        env=env,
        seeds=int(columns[:, 0].max()) + 1,
        seed=columns[:, 0].astype(int),
        step=columns[:, 1].astype(int),
        length=columns[:, 2].astype(int),
        total_reward=columns[:, 3],
        action_counts=columns[:, 4:].astype(int),
        action_names=tuple(field.removeprefix("action:") for field in actions),
    )


def _row(raw: dict[str, Any], actions: Sequence[str], seeds: int) -> list[float] | None:
    try:
        row = [float(raw[field]) for field in ("seed", "step", "length", "return", *actions)]
    except (KeyError, TypeError, ValueError):
        return None
    return row if np.less(np.abs(row), MOST).all() and row[0] in range(seeds) and row[1] >= 0 else None


def windows(
    rows: EpisodeRows, values: NDArray[np.floating], weights: NDArray[np.floating], points: int = POINTS
) -> tuple[NDArray, NDArray]:
    """Weighted means of `values` of each seed's episodes that ended within `points` equal windows of steps.

    A window in which a seed ended no episode takes the one before it.

    Returns:
        The ends of the windows [T], and means [S, T] (windows before every seed's first episode are left out).
    """
    edges = np.linspace(0, rows.step.max(), points + 1)
    window = np.clip(np.searchsorted(edges, rows.step) - 1, 0, points - 1)
    totals, counts = np.zeros((rows.seeds, points)), np.zeros((rows.seeds, points))
    np.add.at(totals, (rows.seed, window), values * weights)
    np.add.at(counts, (rows.seed, window), weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = totals / counts
    for point in range(1, points):
        gaps = np.isnan(means[:, point])
        means[gaps, point] = means[gaps, point - 1]
    known = ~np.isnan(means).any(0)
    return edges[1:][known], means[:, known]


def draw_learning_curves(
    runs: Sequence[EpisodeRows], clocks: Sequence[Callable[[NDArray[Any]], NDArray[Any]]] | None = None
) -> Figure:
    """Return against steps: interquartile mean over seeds with its 95% bootstrap band, thin lines for the seeds.

    With `clocks`, one for each run that tells the seconds at its steps, against minutes.
    """
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for index, rows in enumerate(runs):
        steps, means = windows(rows, rows.total_reward, np.ones(len(rows.step)))
        x = clocks[index](steps) / 60 if clocks else steps
        colour = COLOURS[index % len(COLOURS)]
        if len(runs) == 1:
            axes.plot(x, means.T, color=colour, alpha=0.3, linewidth=0.8)
        middle, low, high = seed_band(means, np.random.default_rng(0))
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            x,
            middle,
            color=colour,
            linestyle=LINES[index % len(LINES)],
            marker=MARKERS[index % len(MARKERS)] if len(runs) > 1 else None,
            markevery=(3 * index % 10, 10),
            linewidth=2,
            label=f"{rows.name} ({rows.seeds} {'seeds' if rows.seeds > 1 else 'seed'})",
        )
    unit = "minutes of training, all seeds together" if clocks else "environment steps per seed"
    axes.set(xlabel=unit, ylabel="return of training episodes")
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter("{x:,g}")
    envs = ", ".join(dict.fromkeys(rows.env for rows in runs))
    axes.set_title(f"Learning curve, {envs}: interquartile mean, 95% band over seeds", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right")
    tidy(axes)
    return figure


def draw_proportions_over_training(rows: EpisodeRows, columns: int = 4) -> Figure:
    """The share of each action in training, one panel per seed: how a policy came to what it does."""
    columns = min(columns, rows.seeds)
    lines = -(-rows.seeds // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(2.6 * columns + 1.2, 2.2 * lines + 0.6), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    curves = [
        windows(rows, counts / np.maximum(rows.length, 1), rows.length.astype(float)) for counts in rows.action_counts.T
    ]
    for seed, axes in enumerate(grid.flat):
        if seed >= rows.seeds:
            axes.set_axis_off()
            grid[-2, seed % columns].tick_params(labelbottom=True)
            continue
        for action, (steps, shares) in enumerate(curves):
            axes.plot(
                steps,
                shares[seed],
                color=COLOURS[action % len(COLOURS)],
                linestyle=LINES[action % len(LINES)],
                label=rows.action_names[action],
            )
        axes.set_title(f"seed {seed}", loc="left", fontsize=9)
        axes.set_ylim(0, 1)
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        tidy(axes)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    figure.suptitle(f"Action proportions over training, {rows.name}", fontsize=10)
    figure.supxlabel("environment steps per seed", fontsize=9)
    return figure


def draw_proportions(report: dict[str, Any]) -> Figure:
    """Stacked bars of action proportions: seeds greedy and stochastic, and the baselines beside them."""
    bars: list[tuple[str, Sequence[float]]] = []
    for mode, figures in report["modes"].items():
        bars += [(f"{mode}\nseed {i}", seed["action_proportions"]) for i, seed in enumerate(figures["seeds"])]
    bars += [(f"baseline\n{name}", one["pooled"]["action_proportions"]) for name, one in report["baselines"].items()]
    names = report["modes"]["greedy"]["pooled"]["action_names"]
    figure, axes = plt.subplots(figsize=(max(6.0, 0.75 * len(bars) + 2), 4.2), layout="constrained")
    stack_shares(axes, [bar for _, bar in bars], names, lying=False)
    axes.set_xticks(range(len(bars)), [name for name, _ in bars], fontsize=7)
    axes.set(ylabel="share of actions", ylim=(0, 1))
    axes.set_title(f"Action proportions in evaluation, {report['agent']} on {report['env']}", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(axes)
    return figure


def stack_shares(axes: Axes, shares: Sequence[Sequence[float]], names: Sequence[str], *, lying: bool) -> None:
    """Stacked bars of action proportions [bars, A], upright or lying."""
    bar, under = (axes.barh, "left") if lying else (axes.bar, "bottom")
    start = np.zeros(len(shares))
    for action, share in enumerate(np.transpose(shares)):
        bar(range(len(start)), share, 0.82, **{under: start}, **fill_of(action), label=names[action])
        start += share


def fill_of(action: int) -> dict[str, Any]:
    """Colour and hatch of an action; when the colours begin again, the hatches are others."""
    rounds, colour = divmod(action, len(COLOURS))
    return {"color": COLOURS[colour], "hatch": HATCHES[(colour + rounds) % len(HATCHES)], "edgecolor": "white"}


def draw_push_directions(episodes: Sequence[tuple[float, bool]]) -> Figure:
    """Success by the direction of the opening push, 24 sectors: some policies fail for particular pushes.

    Args:
        episodes: (direction in rad, success) of each.
    """
    sectors = 24
    directions = np.array([direction for direction, _ in episodes]) % (2 * np.pi)
    success = np.array([ok for _, ok in episodes], float)
    sector = (directions / (2 * np.pi) * sectors).astype(int) % sectors
    counts = np.bincount(sector, minlength=sectors)
    shares = np.bincount(sector, weights=success, minlength=sectors) / np.maximum(counts, 1)
    figure, axes = plt.subplots(figsize=(4.8, 4.8), subplot_kw={"projection": "polar"}, layout="constrained")
    width = 2 * np.pi / sectors
    middles = (np.arange(sectors) + 0.5) * width
    axes.bar(middles, shares, width=width * 0.94, color=COLOURS[0])
    unknown = middles[counts == 0]
    if len(unknown):  # or they would look like sectors in which all failed
        axes.bar(unknown, 1, width=width * 0.94, facecolor="none", edgecolor="#999999", hatch="..", linewidth=0)
        axes.set_xlabel("dotted: no push came from there")
    axes.set_ylim(0, 1)
    axes.set_yticks([0.25, 0.5, 0.75, 1.0], ["", "50%", "", "100%"], fontsize=7)
    axes.set_title("Success by direction of the push, greedy, all seeds", fontsize=10)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure as its suffix says (png, svg, pdf), and closes it.

    Raises:
        ValueError: matplotlib knows no such format, or the file cannot be written.
    """
    try:
        if path.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
            raise ValueError(f"its suffix is {path.suffix!r}; expected .png, .svg or .pdf")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    except (ValueError, OSError) as error:
        raise ValueError(f"cannot write {path}: {' '.join(str(error).split())}") from None
    finally:
        plt.close(figure)
    return path


def tidy(axes: Axes) -> None:
    """Takes away what no eye needs."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
