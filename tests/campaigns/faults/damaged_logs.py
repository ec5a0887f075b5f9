"""Logs, configs and reports with accidents in them: what `plot`, `eval` and `compare` make of them."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from eval import plots
from tests.campaigns.faults.row import Row
from tests.damage import damaged
from train.__main__ import main

READERS = {
    "config.json": ("plot", "eval", "compare"),
    "metrics.csv": ("plot",),
    "episodes.csv": ("plot", "compare"),
    "eval/report.json": ("compare",),
    "eval/episodes.csv": ("compare",),
}
"""Files of a run, and the verbs that read them."""
TRAIN = "train qtable --env FrozenLake-v1 --seeds 2 --envs 2 --workers 0 --device cpu --steps 600 --run run"


def rows(count: int = 1000) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make_run()
        with ProcessPoolExecutor(initializer=_own_folder) as pool:
            found = [one for failures in pool.map(_all_crashes, range(count), chunksize=5) for one in failures]
    yield Row(
        figure=f"crashes of plot, eval and compare on {count:,} damaged logs",
        ours=str(len(found)),
        wanted="0",
        met=not found,
        failures=tuple(found),
    )


def make_run() -> None:
    """A run in `run`, with its report."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(TRAIN.split()) == 0
        assert main(["eval", "run", "--episodes", "3"]) == 0


def _own_folder() -> None:
    """A folder of its own for this process; coarse pictures, as drawing takes nearly all the time."""
    plots.DPI = 20
    os.mkdir(str(os.getpid()))
    os.chdir(str(os.getpid()))
    shutil.copytree("../run", "run")


def _all_crashes(index: int) -> list[str]:
    return list(crashes(index))


def crashes(index: int) -> Iterator[str]:
    """What goes wrong with accident number `index`: anything but success in silence, or one line and status 2."""
    name = list(READERS)[index % len(READERS)]
    shutil.rmtree("damaged", ignore_errors=True)
    shutil.copytree("run", "damaged", ignore=shutil.ignore_patterns("tensorboard"))
    path = Path("damaged", name)
    path.write_bytes(damaged(path.read_bytes(), np.random.default_rng(index)))
    for verb in READERS[name]:
        words = [verb, "damaged", *(["--episodes", "1"] if verb == "eval" else [])]
        said, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                status = main(words)
            except Exception as error:
                yield f"accident {index}, {verb} of {name}: {traceback.format_exception_only(error)[-1].strip()}"
                continue
        lines = told.getvalue().count(os.linesep)
        if (status, lines) not in ((0, 0), (2, 1)):
            yield f"accident {index}, {verb} of {name}: status {status}, {told.getvalue()[-100:]!r}"
