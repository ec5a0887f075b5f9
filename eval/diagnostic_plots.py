"""What `train.diagnostics` wrote down, as pictures: curvature, norms and histograms of every layer."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.plots import COLOURS, LINES, MARKERS, tidy
from eval.reading import read_rows

Row = dict[str, Any]
VERDICTS = {"descending": "v", "uphill": "^", "too large a step": "X", "saddle": "s"}
"""And their marks."""
BINS = 40
"""Of a histogram over training, between the least and the greatest value of all looks."""


def draw_diagnostics(folder: Path) -> Iterator[tuple[str, Figure]]:
    """Every figure that there is something to draw for in a run's folder, by name; none without diagnostics."""
    looks = _read(folder / "diagnostics.csv", ("loss_of", "verdict"), ())
    layers = _read(folder / "layers.csv", ("loss_of", "tensor"), ("value_counts", "gradient_counts"))
    if looks:
        yield "curvature", draw_curvature(looks)
    for name in dict.fromkeys(row["loss_of"] for row in layers):
        rows = [row for row in layers if row["loss_of"] == name]
        yield f"layers-{name}", draw_norms(rows)
        yield f"histograms-{name}", draw_histograms(rows)


def draw_curvature(looks: Sequence[Row]) -> Figure:
    """Per loss: extreme eigenvalues of its Hessian, what the next step is to change, gradients and their limit."""
    names = list(dict.fromkeys(row["loss_of"] for row in looks))
    figure, grid = plt.subplots(len(names), 3, figsize=(13, 3.4 * len(names)), squeeze=False, layout="constrained")
    for name, (bends, changes, slopes) in zip(names, grid, strict=True):
        rows = [row for row in looks if row["loss_of"] == name]
        steps = _column(rows, "step")
        curves = (("largest_eigenvalue", "largest"), ("along_gradient", "along g"), ("smallest_eigenvalue", "smallest"))
        _draw_lines(bends, steps, [(label, _column(rows, key)) for key, label in curves])
        bends.set_title(f"loss of {name}: eigenvalues of its Hessian, g'Hg / g'g", loc="left", fontsize=9)
        slope, bend = _column(rows, "slope"), _column(rows, "bend")
        _draw_lines(changes, steps, [("slope g'd", slope), ("bend d'Hd / 2", bend)])
        for verdict, mark in VERDICTS.items():
            at = np.array([row["verdict"] == verdict for row in rows])
            if at.any():
                changes.plot(steps[at], (slope + bend)[at], mark, color="black", markersize=6, label=verdict)
        changes.legend(frameon=False, fontsize=7, loc="upper right")
        changes.set_title("change of the loss by the next step; marks: sum and verdict", loc="left", fontsize=9)
        norm, limit = _column(rows, "gradient_norm"), _column(rows, "max_norm")
        _draw_lines(slopes, steps, [("|g|", norm), ("clipped above", limit)])
        slopes.set_yscale("log")
        slopes.set_title("gradient of the batch", loc="left", fontsize=9)
        for axes in (bends, changes):
            _symlog(axes)
    figure.supxlabel("environment steps per seed", fontsize=9)
    return figure


def draw_norms(rows: Sequence[Row]) -> Figure:
    """Norms of every tensor of a loss's parameters, and of its gradients, over training."""
    figure, (values, slopes) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axes, key in ((values, "value_norm"), (slopes, "gradient_norm")):
        lines = []
        for tensor in dict.fromkeys(row["tensor"] for row in rows):
            own = [row for row in rows if row["tensor"] == tensor]
            lines.append((tensor, _column(own, "step"), _column(own, key)))
        for index, (label, steps, norm) in enumerate(lines):
            axes.plot(steps, np.where(norm > 0, norm, np.nan), **_style(index), label=label)
        axes.set_yscale("log")
        axes.set_title(f"norm of each {'tensor' if key == 'value_norm' else 'gradient'}", loc="left", fontsize=9)
        tidy(axes)
    figure.legend(*values.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    figure.supxlabel("environment steps per seed", fontsize=9)
    figure.suptitle(f"Layers, loss of {rows[0]['loss_of']}", fontsize=10)
    return figure


def draw_histograms(rows: Sequence[Row]) -> Figure:
    """How the numbers of every tensor, and of its gradient, are spread over training: dark where there are many."""
    tensors = list(dict.fromkeys(row["tensor"] for row in rows))
    figure, grid = plt.subplots(
        2, len(tensors), figsize=(2.3 * len(tensors) + 0.8, 5), squeeze=False, layout="constrained"
    )
    for column, tensor in enumerate(tensors):
        own = [row for row in rows if row["tensor"] == tensor]
        for axes, what in zip(grid[:, column], ("value", "gradient"), strict=True):
            edges, density = spread(own, what)
            steps = _column(own, "step")
            borders = np.concatenate([[0.0], steps])
            axes.pcolormesh(borders, edges, np.log1p(density.T), cmap="Greys", rasterized=True)
            axes.tick_params(labelsize=7)
            axes.set_title(f"{tensor}{'' if what == 'value' else ', gradient'}", loc="left", fontsize=8)
    figure.supxlabel("environment steps per seed", fontsize=9)
    figure.suptitle(f"Histograms over training, loss of {rows[0]['loss_of']}", fontsize=10)
    return figure


def spread(rows: Sequence[Row], what: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The histograms of several looks over the same bins.

    Returns:
        Edges [BINS + 1], and counts [looks, BINS]: those of a bin are shared evenly by what it overlaps.
    """
    low, high = _column(rows, f"{what}_low"), _column(rows, f"{what}_high")
    edges = np.linspace(low.min(), max(high.max(), low.min() + 1e-12), BINS + 1)
    counts = np.zeros((len(rows), BINS))
    for look, row in enumerate(rows):
        own = np.array(row[f"{what}_counts"].split(), float)
        below = np.concatenate([[0.0], own.cumsum()])
        counts[look] = np.diff(np.interp(edges, np.linspace(low[look], high[look], len(below)), below))
    return edges, counts


def _draw_lines(axes: Axes, steps: NDArray[Any], lines: Sequence[tuple[str, NDArray[Any]]]) -> None:
    for index, (label, values) in enumerate(lines):
        axes.plot(steps, values, **_style(index), label=label)
    axes.legend(frameon=False, fontsize=7, loc="upper right")
    tidy(axes)


def _symlog(axes: Axes) -> None:
    """Both signs on a logarithmic scale, linear near 0: below a hundredth of the greatest."""
    greatest = max((float(np.nanmax(np.abs(line.get_ydata()), initial=0)) for line in axes.get_lines()), default=0)  # pyright: ignore
    axes.set_yscale("symlog", linthresh=max(greatest * 1e-2, 1e-12))
    axes.axhline(0, color="black", linewidth=0.6)


def _style(index: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 3,
        "linewidth": 1.5,
    }


def _column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], float)


def _read(path: Path, texts: Sequence[str], counts: Sequence[str]) -> list[Row]:
    """Rows of a CSV file; empty cells are NaN, and damaged or half-written rows are passed over."""
    if not path.is_file():
        return []
    rows = []
    try:
        for raw in read_rows(path):
            if (row := _row(raw, texts, counts)) is not None:
                rows.append(row)
    except (OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error}); was it edited?") from None
    return rows


def _row(raw: dict[str | Any, Any], texts: Sequence[str], counts: Sequence[str]) -> Row | None:
    try:
        row: Row = {
            name: cell if name in texts or name in counts else float(cell or "nan") for name, cell in raw.items()
        }
        sound = all(row[name] for name in texts) and all(sum(map(int, row[name].split())) > 0 for name in counts)
        edges = [row[f"{name.removesuffix('_counts')}_{end}"] for name in counts for end in ("low", "high")]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return row if sound and np.isfinite([row["step"], *edges]).all() else None
