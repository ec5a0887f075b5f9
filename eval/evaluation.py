"""Playing a run's agent, and the baselines, on the same start states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Agent, Step, Task
from agents.lazy import torch
from agents.registry import AGENTS, Entry, find_agent
from eval.actions import ActionWatch, watch_actions
from eval.checkpoint import load_checkpoint
from eval.episodes import Episode, EpisodeRecorder
from eval.loop import EVALUATION_SEED, EvaluationSeeds, Interaction, agent_seeds
from eval.paths import ActionField, action_field, watch_paths
from eval.pulls import PullCurves, watch_pulls
from eval.runs import Run, RunConfig
from eval.tasks import ActionTable, describe_task, judging_env_args, make_envs

MODES = {"greedy": False, "stochastic": True}
"""Ways to act, and whether they explore."""
COLUMNS = 64
"""Columns that an evaluation spreads its episodes over, at most."""


@dataclass(kw_only=True)
class Evaluation:
    """Everything that was played, sorted by start state."""

    task: Task
    table: ActionTable
    gamma: float
    """Discount of `Episode.discounted_return`."""
    world: str
    """The simulator."""
    reward_threshold: float | None
    """The return that counts as success where the environment does not say itself."""
    outcomes: tuple[str, ...] = ()
    """Numbers that the environment tells at the end of an episode and whose means a report has."""
    agent: Agent | None = None
    """The run's agent, as it was evaluated."""
    modes: dict[str, list[list[Episode]]] = field(default_factory=dict)
    """Per mode and seed: the episodes of the run's agent."""
    baselines: dict[str, list[Episode]] = field(default_factory=dict)
    pulls: dict[str, PullCurves] = field(default_factory=dict)
    """For bandits: regret against time of the run's agent and of the baselines, by name."""
    actions: dict[str, ActionWatch] = field(default_factory=dict)
    """For continuous control: counts of the actions in each mode and of the baselines, by name."""
    paths: list[tuple[int, NDArray[np.float64]]] = field(default_factory=list)
    """For robots: the seed and the path [T, 2] of some greedy episodes."""
    action_field: ActionField | None = None
    """For robots: the greedy action all over the track."""


Progress = Callable[[str, int, int], None]
"""Called with what is being played, and how many of how many episodes are done."""


def restore_agent(run: Run, task: Task, checkpoint: int | None = None) -> tuple[Agent, int]:
    """The agent of a run as a checkpoint has it, without its memory, and the step of the checkpoint.

    Learning is on the CPU's side of things here: an agent is evaluated on the CPU wherever it learnt.

    Raises:
        ValueError: the checkpoint is missing or damaged, or belongs to another configuration.
    """
    path = run.checkpoint(checkpoint)
    state = load_checkpoint(path, without=("agent/memory", "interaction", "recorder"))
    entry = find_agent(run.config.agent)
    config = as_config(entry, run.config.agent_args)
    try:
        agent = entry.build(config, task, agent_seeds(run.config.seed, run.config.seeds), torch.device("cpu"))
        agent.load_state_dict(state["agent"])
    except (LookupError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise ValueError(run.misfit(path, error)) from None
    return agent, int(path.name)


def evaluate(
    run: Run,
    episodes: int,
    *,
    checkpoint: int | None = None,
    env_args: dict[str, Any] | None = None,
    workers: int | None = None,
    greedy_only: bool = False,
    progress: Progress | None = None,
) -> tuple[Evaluation, int]:
    """Plays `episodes` episodes for each seed in each mode, and as many with each baseline that fits.

    Episode i starts from the same state everywhere. A fast copy of a simulator names the one that judges what was
    learnt in it (metadata "judge"), and that is where the episodes are played; `env_args` overrides keywords of the
    environment.

    Returns:
        The evaluation, and the step of the checkpoint.
    """
    config = run.config
    env_args = judging_env_args(config.env, config.env_args, env_args)
    probe = make_envs(config.env, 1, env_args=env_args, workers=0)
    task, table = describe_task(config.env, probe)
    world = str(probe.metadata.get("world", "native"))
    threshold = None if probe.spec is None else probe.spec.reward_threshold
    outcomes = tuple(probe.metadata.get("outcomes", ()))
    probe.close()
    agent, step = restore_agent(run, task, checkpoint)
    gamma = float(config.agent_args.get("gamma", 1.0))
    evaluation = Evaluation(
        task=task,
        table=table,
        gamma=gamma,
        world=world,
        reward_threshold=threshold,
        outcomes=outcomes,
        agent=agent,
    )
    spread = max(1, min(episodes, COLUMNS // config.seeds))
    venv = make_envs(config.env, config.seeds * spread, env_args=env_args, workers=workers)
    try:
        for mode, explore in modes_of(agent, greedy_only).items():
            seeds = EvaluationSeeds(episodes, config.seeds, spread)
            interaction = Interaction(venv, agent, config.seeds, seeds, explore=explore)
            played: list[list[Episode]] = [[] for _ in range(config.seeds)]
            pulls, actions = watch_pulls(venv), watch_actions(task.action_space, config.seeds)
            paths = watch_paths(venv, config.seeds) if mode == "greedy" else None
            for episode in play(interaction, table, gamma, agent, (pulls, actions, paths)):
                played[episode.seed].append(episode)
                if progress:
                    progress(mode, sum(map(len, played)), episodes * config.seeds)
            evaluation.modes[mode] = [sorted(one, key=start_state) for one in played]
            if pulls:
                evaluation.pulls[config.agent] = pulls.curves()
            if actions:
                evaluation.actions[mode] = actions
            if paths:
                evaluation.paths = paths.paths
                evaluation.action_field = action_field(
                    venv, lambda count: make_envs(config.env, count, env_args=env_args), agent, config.seeds, table
                )
    finally:
        venv.close()
    play_baselines(evaluation, config, env_args, episodes, workers=workers, progress=progress)
    return evaluation, step


def play_baselines(
    evaluation: Evaluation,
    config: RunConfig,
    env_args: dict[str, Any],
    episodes: int,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Adds what every baseline that fits does on the first `episodes` start states."""
    task, table, gamma = evaluation.task, evaluation.table, evaluation.gamma
    spread = min(episodes, COLUMNS // 2)
    venv = make_envs(config.env, spread, env_args=env_args, workers=workers)
    try:
        for name, baseline in fitting_baselines(task, config.agent):
            interaction = Interaction(venv, baseline, 1, EvaluationSeeds(episodes, 1, spread), explore=False)
            one: list[Episode] = []
            pulls, actions = watch_pulls(venv), watch_actions(task.action_space, 1)
            for episode in play(interaction, table, gamma, baseline, (pulls, actions)):
                one.append(episode)
                if progress:
                    progress(f"baseline {name}", len(one), episodes)
            evaluation.baselines[name] = sorted(one, key=start_state)
            if pulls:
                evaluation.pulls[name] = pulls.curves()
            if actions:
                evaluation.actions[name] = actions
    finally:
        venv.close()


def modes_of(agent: Agent, greedy_only: bool = False) -> dict[str, bool]:
    """The ways to act that an agent is evaluated in, and whether they explore.

    One that learns within its episodes has only one: without exploring it would know nothing.
    """
    if getattr(agent, "learns_within_episodes", False):
        return {"greedy": True}
    return {"greedy": False} if greedy_only else MODES


def play(
    interaction: Interaction,
    table: ActionTable,
    gamma: float,
    agent: Agent,
    watches: Sequence[Callable[[Step], None] | None] = (),
) -> Iterator[Episode]:
    """Runs an interaction out and yields its episodes as they end, with the agent's predictions where it makes any.

    Each of `watches` that there is is told of every step.
    """
    space = interaction.envs.single_action_space
    bounds = (space.low, space.high) if isinstance(space, gym.spaces.Box) and space.is_bounded() else None
    recorder = EpisodeRecorder(table, gamma=gamma, action_bounds=bounds)
    value = getattr(agent, "value", None)
    learns = getattr(agent, "learns_within_episodes", False)
    for step in interaction:
        if learns:
            agent.observe(step)
        for watch in watches:
            if watch:
                watch(step)
        values = last_values = None
        if value is not None:
            values = value(step.obs) if step.first.any() else np.zeros(step.reward.shape)
            last_values = value(step.next_obs) if step.truncated.any() else None
        yield from recorder.add(step, values=values, last_values=last_values)


def fitting_baselines(task: Task, but: str) -> list[tuple[str, Agent]]:
    """The fixed policies that fit a task, other than the one called `but`."""
    found: list[tuple[str, Agent]] = []
    for name, entry in AGENTS.items():
        if entry.learns or name == but:
            continue
        try:
            entry.check_task(task)
        except ValueError:
            continue
        found.append((name, entry.build(entry.config_class()(), task, agent_seeds(0, 1), torch.device("cpu"))))
    return found


def start_state(episode: Episode) -> int:
    """The number of the evaluation episode, which is that of its start state."""
    return int(episode.info["reset_seed"]) - EVALUATION_SEED


def pooled(seeds: Sequence[list[Episode]]) -> list[Episode]:
    """The episodes of all seeds."""
    return [episode for seed in seeds for episode in seed]


def as_config(entry: Entry, fields: dict[str, Any]) -> Any:
    """The config of an agent from JSON, which knows no tuples where configs have nothing else.

    Raises:
        ValueError: a field is unknown or out of bounds.
    """
    try:
        return entry.config_class()(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    except TypeError as error:
        raise ValueError(f"agent_args do not fit agent {entry.name} ({error}); was the run's config edited?") from None
