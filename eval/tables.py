"""The report as tables: the same rows on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

PAIRS_SHOWN = 12
"""[action, reward] pairs in a table."""


@dataclass(frozen=True)
class Grid:
    """A table with a title, headings and rows of text; the first column is the row's name."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def report_grids(report: dict[str, Any]) -> list[Grid]:
    """All tables of a report, in reading order."""
    return [
        _outcomes(report),
        _deciles(report, "length_deciles", "Deciles of episode length"),
        _deciles(report, "return_deciles", "Deciles of return"),
        *_proportions(report),
        *_over_training(report),
        *_continuous(report),
        *_values(report),
        _pairs(report),
    ]


def warnings_of(report: dict[str, Any]) -> list[str]:
    """Collapse warnings of all modes, those of single seeds only where they add to it, and of training."""
    found = []
    for mode, figures in report["modes"].items():
        everywhere = {text.partition(": ")[2].partition(":")[0] for text in figures["pooled"]["warnings"]}
        found += [f"{mode}, {text}" for text in figures["pooled"]["warnings"]]
        for seed in figures["seeds"]:
            found += [
                f"{mode}, {text}"
                for text in seed["warnings"]
                if text.partition(": ")[2].partition(":")[0] not in everywhere
            ]
    return found + [f"training, {text}" for text in (report["training"] or {"warnings": []})["warnings"]]


def print_report(report: dict[str, Any], console: Console) -> None:
    """The report on the terminal."""
    console.print(f"[bold]{escape(headline(report))}[/bold]")
    for grid in report_grids(report):
        print_grid(grid, console)
    for text in warnings_of(report):
        console.print(f"[yellow]warning[/yellow]: {escape(text)}")


def print_grid(grid: Grid, console: Console) -> None:
    """A table on the terminal."""
    console.print(Text(grid.title, style="bold"))  # Text, not markup: "[left, +1]" is a cell, not a style
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, heading in enumerate(grid.headings):
        table.add_column(Text(heading), justify="left" if index == 0 else "right", no_wrap=index == 0)
    for row in grid.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    if grid.note:
        console.print(grid.note, style="dim")


def markdown_report(report: dict[str, Any]) -> str:
    """The report as a Markdown page."""
    parts = [f"# {headline(report)}", *(f"**Warning**: {text}" for text in warnings_of(report))]
    for grid in report_grids(report):
        parts += [f"## {grid.title}", markdown_table(grid)]
        if grid.note:
            parts.append(grid.note)
    parts.append(f"Made from a run of `{report['command']}` (git {report['git']}, {_versions(report)}).")
    return "\n\n".join(parts) + "\n"


def markdown_table(grid: Grid) -> str:
    """A Markdown table."""
    lines = [_markdown_row(grid.headings), "| --- |" + " ---: |" * (len(grid.headings) - 1)]
    return "\n".join([*lines, *(_markdown_row(row) for row in grid.rows)])


def headline(report: dict[str, Any]) -> str:
    """One line: what was evaluated, and on how much."""
    seeds = len(next(iter(report["modes"].values()))["seeds"])
    return (
        f"{report['agent']} ({report['library']}) on {report['env']}, world {report['world']}: {seeds} seeds x "
        f"{report['episodes_per_seed']} episodes at step {report['checkpoint_step']:,}"
    )


def rows_of(report: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Every line of a table with its figures: seeds and all seeds in each mode, then the baselines."""
    for mode, figures in report["modes"].items():
        for index, seed in enumerate(figures["seeds"]):
            yield f"{mode} {index}", seed
        yield f"{mode} all", figures["pooled"]
    for name, figures in report["baselines"].items():
        yield name, figures["pooled"]


def _outcomes(report: dict[str, Any]) -> Grid:
    names = report["modes"]["greedy"]["pooled"]
    extras = [name for name in names if name.endswith("_share")]
    numbers = [name for name in names if name.endswith("_mean") and name not in ("length_mean", "return_mean")]
    rows = []
    for name, figures in rows_of(report):
        rate = figures["success_rate"]
        interval = "" if rate is None else "{:.1%} - {:.1%}".format(*figures["success_interval"])
        rows.append(
            [
                name,
                f"{figures['episodes']:,}",
                "-" if rate is None else f"{rate:.1%}",
                interval or "-",
                f"{figures['length_deciles'][5]:.0f}",
                f"{figures['return_mean']:.1f}",
                *(f"{figures[extra]:.1%}" if extra in figures else "-" for extra in extras),
                *(f"{figures[number]:.1f}" if number in figures else "-" for number in numbers),
            ]
        )
    extra_headings = [name.removesuffix("_share").replace("_", " ") for name in extras]
    extra_headings += [f"mean {name.removesuffix('_mean').replace('_', ' ')}" for name in numbers]
    headings = ["", "episodes", "success", "95% interval", "median length", "mean return", *extra_headings]
    note = "A row per seed of the agent in each mode, and all seeds; then the baselines, on the same start states."
    if report["learns_within_episodes"]:
        note += " The agent learns within each episode, and explores to do so: there is one way to act."
    return Grid("Outcomes", headings, rows, note)


def _deciles(report: dict[str, Any], key: str, title: str) -> Grid:
    headings = ["", *(f"{percent}%" for percent in range(0, 101, 10))]
    rows = [[name, *(f"{value:.3g}" for value in figures[key])] for name, figures in rows_of(report)]
    return Grid(title, headings, rows)


def _proportions(report: dict[str, Any]) -> Iterable[Grid]:
    for key, title in (
        ("action_proportions", "Action proportions, all episodes"),
        ("action_proportions_successful", "Action proportions, successful episodes"),
    ):
        rows = [
            [name, *(f"{share:.3f}" for share in figures[key])] for name, figures in rows_of(report) if figures[key]
        ]
        if rows:
            yield Grid(title, ["", *report["modes"]["greedy"]["pooled"]["action_names"]], rows)


def _over_training(report: dict[str, Any]) -> Iterable[Grid]:
    training = report["training"]
    if training:
        starts = [0, *training["steps"]]
        parts = zip(starts, starts[1:], training["pooled"]["action_proportions"], strict=False)
        rows = [
            [f"{start:,} to {end:,}", *(f"{share:.3f}" for share in shares)] for start, end, shares in list(parts)[::-2]
        ][::-1]
        note = "Means over seeds of every other twentieth of training, exploration included; the page has each seed."
        yield Grid("Action proportions over training", ["steps", *training["action_names"]], rows, note)


def _continuous(report: dict[str, Any]) -> Iterable[Grid]:
    rows = []
    for name, figures in rows_of(report):
        control = figures.get("continuous")
        if control:
            magnitude = control["magnitude_deciles"]
            numbers = [control["saturated_share"], *(magnitude[at] for at in (1, 5, 9)), *control["mean"]]
            rows.append([name, *("-" if number is None else f"{number:.3f}" for number in numbers)])
            axes = len(control["mean"])
    if rows:
        headings = ["", "at a bound", "magnitude 10%", "50%", "90%", *(f"mean of a{axis}" for axis in range(axes))]
        yield Grid("Continuous actions", headings, rows, "At a bound: the share of action components there.")


def _values(report: dict[str, Any]) -> Iterable[Grid]:
    rows = []
    for name, figures in rows_of(report):
        value = figures.get("start_value")
        if value:
            keys = (
                "predicted_mean",
                "followed_mean",
                "followed_without_bootstrap_mean",
                "mean_error",
                "mean_absolute_error",
            )
            rows.append([name, *(f"{value[key]:.2f}" for key in keys)])
    if rows:
        headings = ["", "predicted", "followed", "not bootstrapped", "error", "absolute error"]
        note = (
            f"Discount {report['gamma']:g}. Followed: the discounted rewards that came, and for an episode cut off by "
            "its time limit the discounted prediction for its last state."
        )
        yield Grid("Predicted value of the start state, and what followed", headings, rows, note)


def _pairs(report: dict[str, Any]) -> Grid:
    pairs = report["modes"]["greedy"]["pooled"]["action_reward_counts"][:PAIRS_SHOWN]
    rows = [[f"[{pair['action']}, {pair['reward']:+g}]", f"{pair['count']:,}"] for pair in pairs]
    return Grid("[action, reward] counts, greedy, all seeds", ["pair", "count"], rows)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _versions(report: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in (report["versions"] or {}).items() if number)
