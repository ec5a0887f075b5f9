"""What `cartbot eval` shows beyond the report, for agents that have more to show: tables, and regret."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from agents.tabular import Tabular
from eval.evaluation import Evaluation
from eval.exact import LISTED_STATES, compare_with_exact, greedy_arrows, process_of, table_grid, value_grid
from eval.plots import save_figure
from eval.pull_plots import draw_optimal, draw_regret
from eval.runs import Run
from eval.tables import print_grid


def show_findings(run: Run, evaluation: Evaluation, folder: Path, console: Console) -> list[Path]:
    """Prints and draws what there is beside the report; returns the files."""
    made = []
    if evaluation.pulls:
        title = f"{run.config.agent} on {run.config.env}"
        made.append(save_figure(draw_regret(evaluation.pulls, title), folder / "regret.png"))
        made.append(save_figure(draw_optimal(evaluation.pulls, title), folder / "optimal-actions.png"))
    if isinstance(evaluation.agent, Tabular):
        made += _show_table(run, evaluation.agent, folder, console)
    return made


def _show_table(run: Run, agent: Tabular, folder: Path, console: Console) -> list[Path]:
    made = [write_table(agent, folder / "table.csv")]
    if agent.index.states <= LISTED_STATES:
        print_grid(table_grid(agent), console)
    process = process_of(run.config.env, run.config.env_args)
    comparison = None if process is None else compare_with_exact(agent, process, agent.config.gamma)
    if process is None or comparison is None:
        return made
    values, policy = comparison.learned.mean(0), greedy_arrows(agent.q.mean(0).cpu().numpy())
    if process.shape is not None:
        print_grid(value_grid(process, "Learned values, mean over seeds, and greedy actions", values, policy), console)
    print_grid(comparison.grid(), console)
    if process.draw is not None:
        made.append(save_picture(process.draw(values, policy), folder / "values.png"))
    return made


def write_table(agent: Tabular, path: Path) -> Path:
    """Every state that was acted in, a row per seed and state."""
    table = agent.table()
    writing = path.with_name(f".{path.name}.writing")
    with open(writing, "w", newline="") as file:
        writer = csv.writer(file)
        names = table.action_names
        writer.writerow(
            ["seed", "state", "name", "value", *(f"q:{name}" for name in names), *(f"visits:{name}" for name in names)]
        )
        for seed, (values, q_values, visits) in enumerate(zip(table.values, table.q_values, table.visits, strict=True)):
            for at, name in enumerate(table.state_names):
                numbers: list[Any] = [f"{number:.6g}" for number in (values[at], *q_values[at])]
                writer.writerow([seed, int(table.states[at]), name, *numbers, *visits[at].tolist()])
    os.replace(writing, path)
    return path


def save_picture(picture: NDArray[np.uint8], path: Path) -> Path:
    """Writes uint8 [height, width, 3] as PNG.

    Raises:
        ValueError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None
    return path
