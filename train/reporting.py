"""Verbs that report on behaviour: of a run's agent, and of a person at the keyboard."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from train import usage
from train.bounds import RunName, check_episodes, check_workers
from train.outputs import say_made, write_text

if TYPE_CHECKING:
    from eval.evaluation import Evaluation
    from eval.runs import Run


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """Report on how a run's agent behaves."""

    run: RunName
    """Folder of the run, or `latest`."""
    episodes: int = 100
    """Episodes for each seed and mode, and for each baseline, all from the same start states."""
    checkpoint: int | None = None
    """Step of the checkpoint. Default: the newest."""
    env_args: tuple[str, ...] = ()
    """Keywords of the environment, KEY=VALUE ..., other than the run's. What was learnt in CartPole3D's batched world
    is judged in Bullet, unless world=batched."""
    greedy_only: bool = False
    """Leave out the episodes that are played as in training, which takes half as long."""
    workers: int | None = None
    """Processes that simulate; 0 is this process. Default: what suits the environment."""

    def __post_init__(self) -> None:
        check_episodes(self.episodes)
        check_workers(self.workers)


def evaluate(argv: Sequence[str], console: Console) -> None:
    """Report on how a run's agent behaves, on the terminal and in RUN/eval."""
    settings = usage.parse(EvalSettings, argv, prog="cartbot eval", description=evaluate.__doc__ or "")
    from eval.runs import find_run

    run = find_run(settings.run)  # before what takes longer to import
    from eval.evaluation import evaluate as play_all
    from train.panel import EpisodePanel

    env_args = usage.parse_pairs(settings.env_args, "--env-args")
    with EpisodePanel(console) as panel:
        evaluation, step = play_all(
            run,
            settings.episodes,
            checkpoint=settings.checkpoint,
            env_args=env_args,
            workers=settings.workers,
            greedy_only=settings.greedy_only,
            progress=panel,
        )
    write_report(run, evaluation, step, console)


@dataclass(frozen=True, kw_only=True)
class PlaySettings:
    """Drive yourself, with the keyboard, and see the same report."""

    env: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")]
    """Environment, as for `cartbot train --env`."""
    env_args: tuple[str, ...] = ()
    """Keywords of the environment, KEY=VALUE ..."""
    episodes: int = 3
    """Evaluation episodes to play; Escape ends sooner."""
    fps: int | None = None
    """Steps a second. Default: what the environment asks for."""
    run: str | None = None
    """Folder of the run. Default: runs/ENV-person-TIME. A name that is taken becomes NAME-2."""

    def __post_init__(self) -> None:
        check_episodes(self.episodes)
        if self.fps is not None and not 1 <= self.fps <= 1000:
            raise ValueError(f"fps is {self.fps}; expected 1 to 1,000")


def play(argv: Sequence[str], console: Console) -> None:
    """Drive yourself, with the keyboard, and see the same report."""
    settings = usage.parse(PlaySettings, argv, prog="cartbot play", description=play.__doc__ or "")
    from eval.evaluation import play_baselines
    from eval.runs import RunConfig, create_run
    from eval.tasks import make_envs
    from train.logs import TrainingLog
    from train.person import AGENT, Window, play_by_hand

    env_args = usage.parse_pairs(settings.env_args, "--env-args")
    probe = make_envs(settings.env, 1, env_args=env_args, workers=0)
    fps = settings.fps or int(probe.metadata.get("render_fps") or 30)
    probe.close()
    config = RunConfig(agent=AGENT, env=settings.env, env_args=env_args)
    window = Window(settings.env, fps)
    try:
        evaluation = play_by_hand(config, settings.episodes, window)
    finally:
        window.close()
    (played,) = evaluation.modes["greedy"]
    if not played:
        console.print("no episode was played to its end; nothing is kept")
        return
    run = create_run(
        dataclasses.replace(config, steps=played[-1].end_step), None if settings.run is None else Path(settings.run)
    )
    log = TrainingLog(run.folder, evaluation.table, ())
    for episode in played:
        log.episode(episode)
    log.close()
    play_baselines(evaluation, config, env_args, len(played))
    write_report(run, evaluation, played[-1].end_step, console)


def write_report(run: Run, evaluation: Evaluation, step: int, console: Console) -> None:
    """Shows the report of an evaluation, and writes it into RUN/eval."""
    from eval import plots
    from eval.evaluation import pooled
    from eval.page import html_report
    from eval.report import build_report, success_of
    from eval.tables import markdown_report, print_report
    from train.findings import show_findings

    try:
        training = plots.read_episodes(run.folder, run.folder.name, run.config.env, run.config.seeds)
    except ValueError:
        training = None  # it was too short to finish an episode
    report = build_report(run, evaluation, step, training)
    print_report(report, console)
    folder = run.eval_folder
    folder.mkdir(exist_ok=True)
    write_text(folder / "report.json", json.dumps(report, indent=1) + "\n")
    write_text(folder / "report.md", markdown_report(report))
    write_text(folder / "report.html", html_report(run, report, evaluation, training))
    made = [folder / f"report.{suffix}" for suffix in ("json", "md", "html")]
    made.append(plots.save_figure(plots.draw_proportions(report), folder / "action-proportions.png"))
    pushes = [
        (episode.info["push_direction"], bool(success_of(episode, evaluation)))
        for episode in pooled(evaluation.modes["greedy"])
        if "push_direction" in episode.info
    ]
    if pushes:
        made.append(plots.save_figure(plots.draw_push_directions(pushes), folder / "push-directions.png"))
    made.append(_write_episodes(folder / "episodes.csv", evaluation))
    made += show_findings(run, evaluation, folder, console)
    say_made(console, made)


def _write_episodes(path: Path, evaluation: Any) -> Path:
    """A row per evaluated episode, so that any can be found and played again."""
    writing = path.with_name(f".{path.name}.writing")
    with open(writing, "w", newline="") as file:
        writer = csv.writer(file)
        actions = [f"action:{name}" for name in evaluation.table.names]
        writer.writerow(["mode", "seed", "reset_seed", "length", "return", "terminated", "success", "info", *actions])
        played = [(mode, seed) for mode, seeds in evaluation.modes.items() for seed in seeds]
        played += [(f"baseline {name}", one) for name, one in evaluation.baselines.items()]
        for mode, episodes in played:
            for one in episodes:
                info = {name: value for name, value in one.info.items() if name not in ("reset_seed", "is_success")}
                row = [mode, one.seed, one.info["reset_seed"], one.length, one.total_reward, int(one.terminated)]
                success = "" if one.success is None else int(one.success)
                writer.writerow([*row, success, json.dumps(info), *one.action_counts])
    os.replace(writing, path)
    return path
