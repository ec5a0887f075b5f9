"""Verbs that look at runs: plot, record, compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from train import usage
from train.bounds import RunName, check_episodes
from train.outputs import free_name, say_made
from train.usage import UsageError


@dataclass(frozen=True, kw_only=True)
class PlotSettings:
    """Draw learning curves, how action proportions changed over training, and diagnostics."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
    """Folders of runs, or `latest`."""
    out: str | None = None
    """File for the learning curve: .png, .svg or .pdf. Default: RUN/plots/, with all else that is drawn of each run."""
    x: Literal["steps", "time"] = "steps"
    """Learning curves against environment steps, or minutes of training."""


def plot(argv: Sequence[str], console: Console) -> None:
    """Draw learning curves, how action proportions changed over training, and diagnostics."""
    settings = usage.parse(PlotSettings, argv, prog="cartbot plot", description=plot.__doc__ or "")
    if not settings.runs:
        raise UsageError("missing: RUN; cartbot plot RUN..., or `cartbot plot latest`")
    from eval.runs import find_run

    runs = [find_run(name) for name in settings.runs]  # before what takes longer to import
    from eval import plots
    from eval.clock import seconds_at
    from eval.diagnostic_plots import draw_diagnostics

    rows = [plots.read_episodes(run.folder, run.folder.name, run.config.env, run.config.seeds) for run in runs]
    folder = runs[0].folder / "plots"
    curve = Path(settings.out) if settings.out else folder / "learning-curve.png"
    clocks = [partial(seconds_at, run.folder) for run in runs] if settings.x == "time" else None
    made = [plots.save_figure(plots.draw_learning_curves(rows, clocks), curve)]
    if not settings.out:
        for run, one in zip(runs, rows, strict=True):
            figure = plots.draw_proportions_over_training(one)
            made.append(plots.save_figure(figure, run.folder / "plots" / "action-proportions.png"))
            for name, figure in draw_diagnostics(run.folder):
                made.append(plots.save_figure(figure, run.folder / "plots" / f"{name}.png"))
    say_made(console, made)


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """Record greedy episodes of a run's agent as a video."""

    run: RunName
    """Folder of the run, or `latest`."""
    episodes: int = 3
    """Episodes, one after the other."""
    out: str | None = None
    """File, .mp4 or .gif. Default: videos/RUN.mp4; a name that is taken becomes NAME-2."""
    seed: int = 0
    """Which of the run's seeds plays."""
    pick: Literal["best", "median", "worst"] | None = None
    """Choose episodes by their return. Default: the first."""
    push: float | None = None
    """Choose the episodes that open with a push nearest to this direction, degrees."""
    start: int | None = None
    """Show evaluation episodes from this number on; its reset seed is 10,000,000 more (`reset_seed` in RUN/eval)."""
    among: int = 50
    """Evaluation episodes that are played to choose from."""
    grid: bool = False
    """Show the episodes side by side."""
    checkpoint: int | None = None
    """Step of the checkpoint. Default: the newest."""

    def __post_init__(self) -> None:
        check_episodes(self.episodes)
        if self.grid and self.episodes > 25:
            raise ValueError(f"episodes is {self.episodes}; expected at most 25 in a grid")


def record(argv: Sequence[str], console: Console) -> None:
    """Record greedy episodes of a run's agent as a video."""
    settings = usage.parse(RecordSettings, argv, prog="cartbot record", description=record.__doc__ or "")
    from eval.runs import find_run

    run = find_run(settings.run)  # before what takes longer to import
    from eval.chosen import Choice
    from eval.video import record as record_video

    path = Path(settings.out) if settings.out else free_name(Path("videos") / f"{run.folder.resolve().name}.mp4")
    choice = Choice(
        episodes=settings.episodes,
        pick=settings.pick,
        push=settings.push,
        start=settings.start,
        among=settings.among,
    )
    played = record_video(run, choice, path, checkpoint=settings.checkpoint, seed=settings.seed, grid=settings.grid)
    for episode in played:
        ending = {True: ", success", False: "", None: ""}[episode["success"]]
        console.print(
            f"episode {episode['episode']}: {episode['length']} steps, return {episode['return']:.1f}{ending}"
        )
    say_made(console, [path])


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Put evaluated runs side by side."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
    """Folders of runs that `cartbot eval` has been through."""
    out: str = "performance-profiles.png"
    """File for the performance profiles: .png, .svg or .pdf."""


def compare(argv: Sequence[str], console: Console) -> None:
    """Put evaluated runs side by side: outcomes, who probably beats whom, what each does."""
    settings = usage.parse(CompareSettings, argv, prog="cartbot compare", description=compare.__doc__ or "")
    if not settings.runs:
        raise UsageError("missing: RUN; cartbot compare RUN...")
    from eval.runs import find_run

    runs = [find_run(name) for name in settings.runs]  # before what takes longer to import
    from eval.compare import comparison_grids, draw_profiles, read_contestant
    from eval.plots import save_figure
    from eval.tables import print_grid

    contestants = [read_contestant(run) for run in runs]
    for grid in comparison_grids(contestants):
        print_grid(grid, console)
    say_made(console, [save_figure(draw_profiles(contestants), Path(settings.out))])
