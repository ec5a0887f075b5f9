"""Verbs that make runs: train, and resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape

from agents.registry import AGENTS, find_agent
from train import usage
from train.bounds import RunName, check_workers
from train.tuned import tuned_fields
from train.usage import UsageError

if TYPE_CHECKING:
    from eval.runs import Run


MOST_STEPS = 10**12 - 1


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
    threads: int | None = None
    """Threads that learn on a CPU. Default: as many as turn out fastest while it learns, with the same results."""
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
            ("steps", 1, MOST_STEPS + 1),
            ("seeds", 1, 100_000),
            ("envs", 1, 100_000),
            ("seed", 0, 2**63),
            ("checkpoint_interval", 1, 10**12),
            ("diagnostics_interval", 1, 10**12),
            ("threads", 1, 1025),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value < high:
                raise ValueError(f"{name} is {value}; expected {low} to {high - 1:,}")
        check_workers(self.workers)
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
        threads=settings.threads,
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

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise ValueError(f"steps is {self.steps}; expected 1 to {MOST_STEPS:,}")


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
