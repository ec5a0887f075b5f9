"""Training: the loop's consumer that learns, logs, saves and shows, and can be stopped at any step."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from agents.base import Agent
from agents.finite import check_finite
from agents.lazy import torch
from agents.learning import denormals_flushed
from agents.registry import find_agent
from envs.vector import cpu_count
from eval.checkpoint import CheckpointError, forget_later, load_checkpoint, save_checkpoint
from eval.collapse import collapse_check
from eval.episodes import Episode, EpisodeRecorder
from eval.loop import Interaction, agent_seeds, training_seeds
from eval.runs import Run, RunConfig, save_config
from eval.tasks import describe_task, make_envs
from train.diagnostics import Diagnostics, check_diagnosable
from train.logs import TrainingLog
from train.panel import TrainingPanel
from train.threads import ThreadChoice, threads_kept, up_to

LOG_ROWS = 100
"""Rows of `metrics.csv` per seed that a checkpoint interval is divided into, roughly."""


class Interrupted(Exception):
    """A signal asked for the end of a run, which has been saved.

    Attributes:
        exit_status: 128 plus the signal's number.
        step: where the run stopped.
    """

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped by {signal.Signals(number).name} at step {step:,}; everything up to there is saved")
        self.exit_status, self.step = 128 + number, step


class StopSignals:
    """Notes SIGINT and SIGTERM instead of dying of them; a second one ends the process at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)


@denormals_flushed()
@threads_kept()
def train(
    config: RunConfig,
    agent_config: Any,
    make_run: Callable[[RunConfig], Run],
    console: Console,
    *,
    resume: Path | None = None,
) -> Run:
    """Trains until `config.steps` environment steps per seed.

    Everything that can be refused is, before `make_run` makes a folder.

    Args:
        config: the run; when resumed, with the new total of steps.
        agent_config: the agent's config.
        make_run: gives the run's folder once the work can begin.
        console: where the panel goes.
        resume: go on from this checkpoint of the run, and forget those after it.

    Raises:
        ValueError: agent and environment do not fit, or something else that was asked for cannot be.
        Interrupted: a signal stopped it, after saving.
        agents.finite.NonFiniteError: a NaN or an infinity turned up; nothing of that step was saved.
        envs.vector.WorkerError: an environment failed.
    """
    torch.set_num_threads(1)  # until there is something to be shared
    venv = make_envs(config.env, config.seeds * config.envs, env_args=config.env_args, workers=config.workers)
    try:
        task, table = describe_task(config.env, venv)
        task = dataclasses.replace(task, envs=config.envs)
        seeds = agent_seeds(config.seed, config.seeds)
        agent = find_agent(config.agent).build(agent_config, task, seeds, torch.device(config.device))
        if config.diagnostics_interval:
            check_diagnosable(agent)
        run = make_run(config)
        most = min(cpu_count(), getattr(agent, "most_threads", 1)) if config.device == "cpu" else 1
        threads = ThreadChoice(up_to(most) if config.threads is None else [config.threads])
        interaction = Interaction(
            venv,
            agent,
            config.seeds,
            training_seeds(config.seed, config.envs),
            explore=True,
            meanwhile=agent.update,
        )
        log = TrainingLog(run.folder, table, agent.metric_names)
        diagnostics = Diagnostics(agent, run) if config.diagnostics_interval else None
        session = _Session(run, agent, interaction, EpisodeRecorder(table), log, diagnostics, threads)
        try:
            if resume:
                session.load(resume)
                save_config(run)  # with the new total: if it is interrupted again, that is where it goes
            panel = TrainingPanel(
                console,
                f"{config.agent} on {config.env}, {config.seeds} seeds x {config.envs} environments, {run.folder}",
                config.steps,
                session.step,
                table.names,
                config.seeds,
                collapse_check(task, table.names),
            )
            with StopSignals() as signals, panel:
                session.train(config.steps, signals, panel)
        finally:
            session.log.close()
            if diagnostics:
                diagnostics.close()
    finally:
        venv.close()
    return run


class _Session:
    """A run in progress, between two checkpoints."""

    def __init__(
        self,
        run: Run,
        agent: Agent,
        interaction: Interaction,
        recorder: EpisodeRecorder,
        log: TrainingLog,
        diagnostics: Diagnostics | None,
        threads: ThreadChoice,
    ):
        self.run, self.agent, self.interaction, self.recorder, self.log = run, agent, interaction, recorder, log
        self.diagnostics, self.threads = diagnostics, threads
        self.step = 0
        self._seconds = 0.0
        self._recent: list[list[Episode]] = [[] for _ in range(run.config.seeds)]

    def train(self, total: int, signals: StopSignals, panel: TrainingPanel) -> None:
        """Learns until `total` steps per seed, or a signal."""
        config = self.run.config
        log_every = max(config.envs, config.checkpoint_interval // LOG_ROWS)
        saved_at = self.step
        if self.step >= total:
            return
        began, learning = time.monotonic() - self._seconds, 0.0
        for step in self.interaction:
            self.agent.observe(step)
            self.interaction.watch.lap("learn")
            episodes = self.recorder.add(step)
            before, self.step = self.step, self.step + config.envs
            for episode in episodes:
                self._recent[episode.seed].append(episode)
                self.log.episode(episode)
            if self.diagnostics:
                self.diagnostics.look(self.step, self.log.board)
                self.interaction.watch.lap("diagnose")
            seconds, learned = self._seconds, learning
            self._seconds, learning = time.monotonic() - began, self.interaction.watch.seconds["learn"]
            self.threads.step(self._seconds - seconds, learning - learned)
            stop = signals.received  # looked at once: one that comes during what follows waits for the next step
            done = self.step >= total or stop is not None
            if self.step // log_every > before // log_every:
                self._write_figures()
            panel.add(episodes, self.step, self.interaction.watch.seconds, self.threads.now)
            if done or self.step - saved_at >= config.checkpoint_interval:
                self.save()
                saved_at = self.step
            if stop is not None and self.step < total:
                raise Interrupted(stop, self.step)
            if done:
                return

    def save(self) -> None:
        """Writes a checkpoint of everything."""
        agent = self.agent.state_dict()
        check_finite({**self.agent.watched(), "saved weights": agent.get("params", {})})
        save_checkpoint(
            self.run.checkpoints,
            self.step,
            {
                "agent": agent,
                "interaction": self.interaction.state_dict(),
                "recorder": self.recorder.state_dict(),
                "log": self.log.state_dict(),
                "diagnostics": self.diagnostics.state_dict() if self.diagnostics else {},
                "recent": _briefs([episode for seed in self._recent for episode in seed]),
                "step": self.step,
                "seconds": self._seconds,
            },
        )

    def load(self, path: Path) -> None:
        """Goes back to a checkpoint.

        Raises:
            CheckpointError: it is damaged, or not of this agent as it is now.
            ValueError: the logs have lost rows that they had when it was written.
        """
        state = load_checkpoint(path)
        try:
            self.agent.load_state_dict(state["agent"])
            self.interaction.load_state_dict(state["interaction"])
            self.recorder.load_state_dict(state["recorder"])
            if self.diagnostics:
                self.diagnostics.load_state_dict(state["diagnostics"])
            self._recent = [[] for _ in self._recent]
            for episode in _from_briefs(state["recent"]):
                self._recent[episode.seed].append(episode)
            self.step, self._seconds = int(state["step"]), float(state["seconds"])
        except (LookupError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            raise CheckpointError(self.run.misfit(path, error)) from None
        self.log.load_state_dict(state["log"])
        forget_later(path)

    def _write_figures(self) -> None:
        metrics = self.agent.metrics()
        check_finite({"figures": {name: torch.as_tensor(values) for name, values in metrics.items()}})
        self.log.figures(self.step, self._seconds, metrics, self._recent)
        self._recent = [[] for _ in self._recent]


BRIEF = ("seed", "length", "total_reward", "action_counts")
"""What the next row of figures needs of an episode that ended since the last."""


def _briefs(episodes: Sequence[Episode]) -> dict[str, NDArray[Any]]:
    """Episodes in brief, as arrays: there can be many."""
    return {name: np.array([getattr(episode, name) for episode in episodes]) for name in BRIEF}


def _from_briefs(briefs: dict[str, NDArray[Any]] | list[list[dict[str, Any]]]) -> Iterator[Episode]:
    if isinstance(briefs, list):  # as they were once written
        found = [tuple(brief[name] for name in BRIEF) for seed in briefs for brief in seed]
    else:
        found = zip(*(briefs[name].tolist() for name in BRIEF), strict=True)
    for seed, length, total_reward, counts in found:
        yield Episode(
            seed=seed,
            length=length,
            total_reward=total_reward,
            action_counts=tuple(counts),
            number=0,
            end_step=0,
            discounted_return=0.0,
            terminated=True,
        )
