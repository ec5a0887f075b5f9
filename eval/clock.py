"""When a run was where: seconds of training against its environment steps."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.reading import read_rows


def seconds_at(folder: Path, steps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Seconds of training after which a run had made some steps, interpolated; pauses before a resume do not count.

    Damaged and half-written rows of its `metrics.csv` are passed over.

    Raises:
        ValueError: the run has no such file, or no row in it.
    """
    path = folder / "metrics.csv"
    known: list[tuple[float, float]] = [(0.0, 0.0)]
    try:
        for row in read_rows(path):
            try:
                step, seconds = float(row["step"]), float(row["seconds"])
            except (KeyError, TypeError, ValueError):
                continue
            if step > known[-1][0] and seconds >= known[-1][1] and np.isfinite([step, seconds]).all():
                known.append((step, seconds))
    except (OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error}); draw against steps: --x steps") from None
    if len(known) == 1:
        raise ValueError(f"{path} holds no times; draw against steps: --x steps")
    at, seconds = np.array(known).T
    return np.interp(steps, at, seconds)
