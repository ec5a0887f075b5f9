"""What `cartbot` can be told to do: a dataclass of settings and a function for each verb."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.registry import AGENTS, find_agent
from train import usage
from train.bench import bench
from train.doctor import check, doctor
from train.experiments import plan, testbed
from train.tuned import tuned_fields
from train.usage import UsageError

if TYPE_CHECKING:
    from eval.evaluation import Evaluation
    from eval.runs import Run

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a training run."""

    env: str
    """Environment: one of `cartbot list`, any Gymnasium id, or module:Id-v0 to import the module first."""
    env_args: tuple[str, ...] = ()
    """Keywords of the environment, KEY=VALUE ..., values as in TOML: observation=pixels max_steps=500."""
    steps: int = 100_000
    """Environment steps per seed, without resets."""
    seeds: int = 4
    """Seeds trained at once; every figure has its spread over them."""
    envs: int = 8
    """Environments per seed that step together."""
    seed: int = 0
    """Root of all randomness of the run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to learn; auto times both."""
    workers: int | None = None
    """Processes that simulate; 0 is this process. Default: what suits the environment."""
    run: str | None = None
    """Folder of the run. Default: runs/ENV-AGENT-TIME. A name that is taken becomes NAME-2."""
    checkpoint_interval: int = 25_000
    """Environment steps per seed between checkpoints: what a kill -9 loses at most."""
    diagnostics: bool = False
    """Look at losses while training: layers, gradients, curvature, activations. Nothing that is learnt changes."""
    diagnostics_interval: int = 5_000
    """Environment steps per seed between two looks."""
    check: bool = True
    """Hold an environment that is neither ours nor Gymnasium's against `cartbot check` first."""
    config: str | None = None
    """TOML file with any of these settings and the agent's; flags override it."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("steps", 1, 10**12),
            ("seeds", 1, 100_000),
            ("envs", 1, 100_000),
            ("seed", 0, 2**63),
            ("checkpoint_interval", 1, 10**12),
            ("diagnostics_interval", 1, 10**12),
        ):
            value = getattr(self, name)
            if not low <= value < high:
                raise ValueError(f"{name} is {value}; expected {low} to {high - 1:,}")
        _check_workers(self.workers)
        if self.seeds * self.envs > 1_000_000:
            raise ValueError(f"seeds is {self.seeds} and envs {self.envs}; expected at most 1,000,000 columns together")
        if self.steps < self.envs:
            raise ValueError(f"steps is {self.steps}; expected at least one for each of envs {self.envs}")


def train(argv: Sequence[str], console: Console) -> None:
    """Train an agent: `cartbot train AGENT --env ID`."""
    if not argv or argv[0] in ("-h", "--help"):
        agents = "\n".join(f"  {name:<10} {entry.summary}" for name, entry in AGENTS.items())
        about = f"Train AGENT, with its own flags (`cartbot train AGENT --help`):\n\n{agents}"
        usage.parse(TrainSettings, ["--help"], prog="cartbot train AGENT", description=about)
    if argv[0].startswith("-"):
        raise UsageError(
            f"got {argv[0]} where the agent's name belongs; cartbot train AGENT --env ID, see cartbot list"
        )
    entry = find_agent(argv[0])
    settings, agent_config, given = _train_settings(entry.name, argv[1:])

    # Torch and the simulators come in only once the command line is known to be sound.
    from agents.lazy import torch
    from envs.check import check_env, is_third_party
    from eval.loop import agent_seeds
    from eval.runs import RunConfig, create_run
    from eval.tasks import describe_task, make_envs
    from train.devices import choose_device
    from train.trainer import train as run_training

    probe = make_envs(settings.env, 1, env_args=given, workers=0)
    task, _ = describe_task(settings.env, probe)
    probe.close()
    task = dataclasses.replace(task, envs=settings.envs)
    try:
        entry.check_task(task)
    except ValueError as error:
        raise UsageError(f"agent {entry.name} does not fit {settings.env}: {error}; see cartbot list") from None
    if settings.check and probe.spec is not None and is_third_party(probe.spec):
        for _ in check_env(settings.env, given):
            pass

    def build(device: torch.device) -> Any:
        return entry.build(agent_config, task, agent_seeds(settings.seed, settings.seeds), device)

    device, reason = choose_device(settings.device, build, task, settings.seeds)
    config = RunConfig(
        agent=entry.name,
        env=settings.env,
        env_args=given,
        agent_args=dataclasses.asdict(agent_config),
        steps=settings.steps,
        seeds=settings.seeds,
        envs=settings.envs,
        seed=settings.seed,
        device=device,
        device_reason=reason,
        workers=settings.workers,
        checkpoint_interval=settings.checkpoint_interval,
        diagnostics_interval=settings.diagnostics_interval if settings.diagnostics else 0,
    )

    def make_run(config: RunConfig) -> Run:
        run = create_run(config, None if settings.run is None else Path(settings.run))
        console.print(f"run [bold]{escape(str(run.folder))}[/bold], learning on {device} ({escape(reason)})")
        return run

    run = run_training(config, agent_config, make_run, console)
    name = escape(str(run.folder))
    console.print(f"trained: {name}\nnext:    cartbot eval {name} | cartbot plot {name} | cartbot record {name}")


@dataclass(frozen=True, kw_only=True)
class ResumeSettings:
    """Finish an interrupted run, or go on to a new total of steps."""

    run: RunName
    """Folder of the run, or `latest`."""
    steps: int | None = None
    """New total of environment steps per seed. Default: what the run was to have."""
    checkpoint: int | Literal["previous"] | None = None
    """Step of the checkpoint to go on from, or `previous`: the one before the newest, where that is damaged. Those
    after it are removed. Default: the newest."""


def resume(argv: Sequence[str], console: Console) -> None:
    """Finish an interrupted run, or go on to a new total of steps."""
    settings = usage.parse(ResumeSettings, argv, prog="cartbot resume", description=resume.__doc__ or "")
    from eval.evaluation import as_config
    from eval.runs import extend_run, find_run
    from train.trainer import train as run_training

    run = find_run(settings.run)
    config = run.config
    start = run.checkpoint(settings.checkpoint)
    reached = int(start.name)
    steps = config.steps if settings.steps is None else settings.steps
    if steps <= reached:
        raise UsageError(f"{run.folder} has {reached:,} steps already; ask for more with --steps")
    agent_config = as_config(find_agent(config.agent), config.agent_args)
    run = extend_run(run, steps)
    console.print(f"resuming [bold]{escape(str(run.folder))}[/bold] at step {reached:,}")
    run_training(run.config, agent_config, lambda _: run, console, resume=start)
    console.print(f"trained: {escape(str(run.folder))}")


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
        _check_episodes(self.episodes)
        _check_workers(self.workers)


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
    _write_text(folder / "report.json", json.dumps(report, indent=1) + "\n")
    _write_text(folder / "report.md", markdown_report(report))
    _write_text(folder / "report.html", html_report(run, report, evaluation, training))
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
    _say_made(console, made)


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
        _check_episodes(self.episodes)
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
    _say_made(console, made)


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
        _check_episodes(self.episodes)
        if self.grid and self.episodes > 25:
            raise ValueError(f"episodes is {self.episodes}; expected at most 25 in a grid")


def record(argv: Sequence[str], console: Console) -> None:
    """Record greedy episodes of a run's agent as a video."""
    settings = usage.parse(RecordSettings, argv, prog="cartbot record", description=record.__doc__ or "")
    from eval.runs import find_run

    run = find_run(settings.run)  # before what takes longer to import
    from eval.chosen import Choice
    from eval.video import record as record_video

    path = Path(settings.out) if settings.out else _free_name(Path("videos") / f"{run.folder.resolve().name}.mp4")
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
    _say_made(console, [path])


def show_list(argv: Sequence[str], console: Console) -> None:
    """List environments and agents, and which goes with which."""
    usage.parse(_NoSettings, argv, prog="cartbot list", description=show_list.__doc__ or "")
    from envs.catalog import OWN_ENVS
    from eval.tasks import describe_task, make_envs

    agents = Table(title="Agents: cartbot train AGENT --env ID", title_justify="left")
    agents.add_column("agent")
    agents.add_column("what it is")
    agents.add_column("learns")
    for name, entry in AGENTS.items():
        agents.add_row(name, entry.summary, "yes" if entry.learns else "no")
    console.print(agents)
    envs = Table(title="Environments (any Gymnasium id works too)", title_justify="left")
    for heading in ("environment", "what it is", "agents that fit"):
        envs.add_column(heading)
    for env_id, summary in (*OWN_ENVS.items(), ("CartPole-v1", "Gymnasium's classic, as an example")):
        try:
            probe = make_envs(env_id, 1, env_args={}, workers=0)
        except ValueError as error:
            envs.add_row(env_id, summary, f"cannot be made here: {error}")
            continue
        task, _ = describe_task(env_id, probe)
        probe.close()
        fitting = [name for name, entry in AGENTS.items() if _fits(entry.check_task, task)]
        envs.add_row(env_id, summary, ", ".join(fitting))
    console.print(envs)


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
    _say_made(console, [save_figure(draw_profiles(contestants), Path(settings.out))])


@dataclass(frozen=True)
class _NoSettings:
    """Nothing to set."""


VERBS = {
    "train": train,
    "resume": resume,
    "eval": evaluate,
    "plot": plot,
    "record": record,
    "play": play,
    "compare": compare,
    "plan": plan,
    "testbed": testbed,
    "bench": bench,
    "check": check,
    "doctor": doctor,
    "list": show_list,
}


def _train_settings(agent: str, argv: Sequence[str]) -> tuple[TrainSettings, Any, dict[str, Any]]:
    """Settings of the run and of the agent, and the environment's keywords, from a TOML file and flags."""
    config_class = find_agent(agent).config_class()
    run_values: dict[str, Any] = {}
    agent_values: dict[str, Any] = {}
    env_args: dict[str, Any] = {}
    path = usage.early_value("--config", argv)
    if path is not None:
        run_values, agent_values = usage.from_toml(path, (TrainSettings, config_class))
        if "config" in run_values:
            raise UsageError(f"--config {path}: config is no key of a config file; put all settings into one file")
        given = run_values.pop("env_args", {})
        if not isinstance(given, dict):
            raise UsageError(f"--config {path}: env_args is {given!r}; expected a table: env_args = {{key = value}}")
        env_args = given
    env = usage.early_value("--env", argv) or run_values.get("env", "")
    agent_values = {**tuned_fields(agent, env), **agent_values}
    flat = tyro.conf.OmitArgPrefixes
    both = dataclasses.make_dataclass(
        "Flags", [("settings", flat[TrainSettings]), ("agent", flat[config_class])], frozen=True, kw_only=True
    )
    try:
        defaults = both(
            settings=TrainSettings(**{"env": "", **run_values}),
            agent=config_class(**agent_values),
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"--config {path}: {error}") from None
    about = f"Train {agent}: {find_agent(agent).summary}."
    parsed = usage.parse(both, argv, prog=f"cartbot train {agent}", description=about, default=defaults)
    if not parsed.settings.env:
        raise UsageError(f"--env is missing: cartbot train {agent} --env ID; see cartbot list")
    env_args |= usage.parse_pairs(parsed.settings.env_args, "--env-args")
    return parsed.settings, parsed.agent, env_args


def _check_episodes(episodes: int) -> None:
    if not 1 <= episodes <= 10_000_000:
        raise ValueError(f"episodes is {episodes}; expected 1 to 10,000,000")


def _check_workers(workers: int | None) -> None:
    if workers is not None and not 0 <= workers <= 1024:
        raise ValueError(f"workers is {workers}; expected 0 to 1,024")


def _fits(check: Any, task: Any) -> bool:
    try:
        check(task)
    except ValueError:
        return False
    return True


def _write_text(path: Path, text: str) -> None:
    """Replaces a file by a whole new one."""
    writing = path.with_name(f".{path.name}.writing")
    writing.write_text(text)
    os.replace(writing, path)


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


def _free_name(path: Path) -> Path:
    number, place = 1, path
    while place.exists():
        number += 1
        place = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return place


def _say_made(console: Console, paths: Sequence[Path]) -> None:
    for path in paths:
        console.print(f"wrote {escape(str(path))}", soft_wrap=True)
