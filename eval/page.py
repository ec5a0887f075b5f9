"""`report.html`: the report as one file that needs nothing else, on a laptop or a telephone, light or dark."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import jinja2
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from eval import charts, map_charts
from eval.evaluation import Evaluation, pooled
from eval.exact import greedy_policy, process_of
from eval.plots import EpisodeRows, draw_learning_curves, draw_proportions_over_training, draw_push_directions
from eval.pull_plots import draw_optimal, draw_regret
from eval.report import success_of
from eval.runs import Run
from eval.tables import headline, report_grids, rows_of, warnings_of

VIDEO_LIMIT = 20_000_000
"""Bytes of a video up to which it is put into the page."""
GRID_LIMIT = 200
"""States of a grid up to which its values are drawn."""
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cartbot",
    "font.size": 9,
    "hatch.linewidth": 0.8,
    "path.simplify_threshold": 0.5,
}


@dataclass(frozen=True)
class Chart:
    """A chart with its caption."""

    title: str
    note: str
    figure: Figure


def html_report(run: Run, report: dict[str, Any], evaluation: Evaluation, training: EpisodeRows | None) -> str:
    """The whole page."""
    with matplotlib.rc_context(STYLE):
        drawn = [(chart, svg_of(chart)) for chart in charts_of(report, evaluation, training)]
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return env.get_template("report.html.jinja").render(
        report=report,
        headline=headline(report),
        warnings=warnings_of(report),
        charts=drawn,
        grids=report_grids(report),
        videos=[(path.name, kind, data) for path, kind, data in _videos(run)],
        config=json.dumps(report["config"], indent=2),
    )


def charts_of(report: dict[str, Any], evaluation: Evaluation, training: EpisodeRows | None) -> Iterator[Chart]:
    """All charts that there is something to draw for, in reading order."""
    known = report["modes"]["greedy"]["pooled"]["success_rate"] is not None
    title = "Success, with 95% intervals" if known else "Return"
    yield Chart(title, "By seed and for all; the baselines on the same start states.", charts.draw_outcomes(report))
    if training is not None:
        figure = draw_learning_curves([training])
        _levels(figure, report)
        note = "Interquartile mean over seeds of training returns, with its 95% band; thin lines are seeds."
        yield Chart("Learning curve", f"{note} Dotted: mean returns of baselines.", figure)
    yield from _behaviour(report, evaluation)
    if training is not None:
        figure = draw_proportions_over_training(training, columns=2)
        charts.legend_above(figure)
        note = "Exploration included: whether it explored, found something, or locked into one action."
        yield Chart("Action proportions over training", note, figure)
    yield Chart("[action, reward] counts", "Greedy, all seeds, the commonest.", charts.draw_pairs(report))
    for key, what in (("length_deciles", "episode length"), ("return_deciles", "return")):
        if len({value for _, figures in rows_of(report) for value in figures[key]}) > 1:
            yield Chart(f"Deciles of {what}", "All seeds.", charts.draw_deciles(report, key, what))
    yield from _continuous(report)
    yield from _maps(report, evaluation)
    note = "Mean and 95% band over episodes."
    if evaluation.pulls:
        for what, figure in (
            ("Regret", draw_regret(evaluation.pulls, report["env"], ("log",))),
            ("Pulls of the best arm", draw_optimal(evaluation.pulls, report["env"])),
        ):
            charts.legend_above(figure)
            yield Chart(what, note, figure)


def _behaviour(report: dict[str, Any], evaluation: Evaluation) -> Iterator[Chart]:
    for key, where in (("action_proportions", "all"), ("action_proportions_successful", "successful")):
        if any(figures[key] for _, figures in rows_of(report)):
            yield Chart(f"Action proportions, {where} episodes", "A bar per seed.", charts.draw_shares(report, key))
    pushes = [
        (episode.info["push_direction"], bool(success_of(episode, evaluation)))
        for episode in pooled(evaluation.modes["greedy"])
        if "push_direction" in episode.info
    ]
    if pushes:
        figure = draw_push_directions(pushes)
        yield Chart("Success by direction of the push", "Greedy, all seeds; some fail for particular pushes.", figure)


def _continuous(report: dict[str, Any]) -> Iterator[Chart]:
    rows = [
        (name, figures["continuous"])
        for name, figures in rows_of(report)
        if "continuous" in figures and (name in report["baselines"] or name.endswith(" all"))
    ]
    if rows:
        yield Chart("Magnitude of actions", "Continuous control, all seeds.", charts.draw_magnitudes(rows))
        if rows[0][1]["direction_counts"]:
            note = "Shares of the steps that move at all, by direction of the first two components."
            moving = [row for row in rows if sum(row[1]["direction_counts"])]
            yield Chart("Direction of actions", note, charts.draw_directions(moving or rows))
            note = f"{rows[0][0]}; lighter is more often."
            yield Chart("Actions, both components", note, charts.draw_cells(rows[0][1]))


def _maps(report: dict[str, Any], evaluation: Evaluation) -> Iterator[Chart]:
    names, field = evaluation.table.names, evaluation.action_field
    if field is not None:
        if evaluation.paths:
            note = "Greedy episodes from the first start states; a dot where one starts, a cross where it ends."
            yield Chart("Trajectories", note, map_charts.draw_paths(field.track, evaluation.paths))
        note = "What it would do there at once; around each place a mark for each heading, the commonest over seeds."
        yield Chart("Greedy action over the track", note, map_charts.draw_action_field(field, names))
    agent, space = evaluation.agent, evaluation.task.observation_space
    process = process_of(report["env"], report["env_args"]) if isinstance(space, gym.spaces.Discrete) else None
    if agent is not None and process is not None and process.shape is not None:
        states, seeds = int(np.prod(process.shape)), len(evaluation.modes["greedy"])
        if isinstance(space, gym.spaces.Discrete) and space.n == states <= GRID_LIMIT:
            values, policy = greedy_policy(agent, seeds, states, len(process.action_names))
            figure = map_charts.draw_value_map(process.shape, values, policy, process.action_names)
            yield Chart("Values and greedy actions", "Means over seeds, and the actions that seeds take.", figure)


def svg_of(chart: Chart) -> Markup:
    """A figure as an SVG element that takes the page's ink and paper; closes the figure."""
    figure = chart.figure
    width, height = figure.get_size_inches()
    if width > charts.WIDTH:
        figure.set_size_inches(charts.WIDTH, max(charts.HEIGHT, height * charts.WIDTH / width))
    for axes in figure.axes:
        if len(figure.axes) == 1:
            axes.set_title("", loc="left")
            axes.set_title("")
    if figure.get_suptitle():
        figure.suptitle("")
    marks = sum(len(axes.lines) + len(axes.patches) + len(axes.collections) + len(axes.images) for axes in figure.axes)
    text = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    plt.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    svg = svg[svg.index(">") + 1 :]
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([\w-]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href").replace("#000000", "currentColor").replace("#ffffff", "var(--paper)")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif", "system-ui, sans-serif", svg)
    label = Markup.escape(f"{chart.title}. {chart.note}")
    return Markup(f'<svg role="img" aria-label="{label}" data-marks="{marks}" {box[0]}>{svg}')


def _levels(figure: Figure, report: dict[str, Any]) -> None:
    """Mean returns of the baselines as dotted lines; those that lie close together share a label."""
    axes = figure.axes[0]
    levels = sorted((one["pooled"]["return_mean"], name) for name, one in report["baselines"].items())
    for level, _ in levels:
        axes.axhline(level, color="black", linestyle=":", linewidth=1)
    low, high = axes.get_ylim()
    labels: list[tuple[float, str]] = []
    for level, name in levels:
        if labels and level - labels[-1][0] < 0.06 * (high - low):
            labels[-1] = (level, f"{labels[-1][1]}, {name}")
        else:
            labels.append((level, name))
    for level, names in labels:
        place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        axes.annotate(names, (1.0, level), fontsize=8, color="black", **place)


def _videos(run: Run) -> Iterator[tuple[Path, str, str]]:
    """Name, media type and data of the run's newest video, in its folder or where they are recorded, if it is small.

    One that is still being written, or never was to its end, has a hidden name.
    """
    name = run.folder.resolve().name
    elsewhere = [Path("videos") / f"{name}{suffix}" for suffix in (".mp4", ".gif")]
    found = [*(run.folder / "videos").glob("[!.]*"), *elsewhere]
    found = [path for path in found if path.suffix.lower() in (".mp4", ".gif") and path.is_file()]
    for path in sorted(found, key=lambda path: path.stat().st_mtime)[-1:]:
        if path.stat().st_size <= VIDEO_LIMIT:
            kind = "video/mp4" if path.suffix.lower() == ".mp4" else "image/gif"
            yield path, kind, base64.b64encode(path.read_bytes()).decode()
