"""What several test files need: tasks, made-up steps, agents on the CPU."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents.base import Agent, Step, Task
from agents.registry import find_agent

CPU = torch.device("cpu")


def seeds_of(count: int, root: int = 0) -> list[np.random.SeedSequence]:
    return [np.random.SeedSequence(root, spawn_key=(0, seed)) for seed in range(count)]


def build_agent(name: str, task: Task, seeds: int, **fields: Any) -> Agent:
    entry = find_agent(name)
    return entry.build(entry.config_class()(**fields), task, seeds_of(seeds), CPU)


def vector_task(features: int = 3, actions: int = 2, envs: int = 1) -> Task:
    """A task with `features` numbers to see and `actions` to choose from."""
    return Task(
        observation_space=gym.spaces.Box(-10, 10, (features,), np.float32),
        action_space=gym.spaces.Discrete(actions),
        envs=envs,
    )


def control_task(features: int = 3, dimensions: int = 2, envs: int = 1, low: float = -1.0, high: float = 1.0) -> Task:
    """A task with `features` numbers to see and `dimensions` to choose between two bounds."""
    return Task(
        observation_space=gym.spaces.Box(-10, 10, (features,), np.float32),
        action_space=gym.spaces.Box(low, high, (dimensions,), np.float32),
        envs=envs,
    )


def make_step(
    obs: Any,
    action: Any,
    reward: Any,
    next_obs: Any,
    *,
    terminated: Any = None,
    truncated: Any = None,
    first: Any = None,
    info: dict[str, Any] | None = None,
) -> Step:
    """A step from arrays [S, E, ...]; nothing ends unless it is said."""
    reward = np.asarray(reward, float)
    no = np.zeros(reward.shape, bool)
    return Step(
        obs=np.asarray(obs),
        action=np.asarray(action),
        reward=reward,
        terminated=no if terminated is None else np.asarray(terminated, bool),
        truncated=no if truncated is None else np.asarray(truncated, bool),
        next_obs=np.asarray(next_obs),
        first=no if first is None else np.asarray(first, bool),
        running=~no,
        info=info or {},
        reset_info={"reset_seed": np.zeros(reward.size, np.int64)},
    )


def random_step(task: Task, seeds: int, rng: np.random.Generator) -> Step:
    """A step of random numbers that fits a task."""
    shape = (seeds, task.envs)

    def drawn(space: gym.Space[Any]) -> np.ndarray:
        if isinstance(space, gym.spaces.Discrete):
            return rng.integers(space.n, size=shape) + space.start
        if isinstance(space, gym.spaces.MultiDiscrete):
            return rng.integers(space.nvec, size=(*shape, *space.nvec.shape)) + space.start
        assert isinstance(space, gym.spaces.Box)
        if space.dtype == np.uint8:
            return rng.integers(256, size=(*shape, *space.shape)).astype(np.uint8)
        return rng.uniform(-1, 1, (*shape, *space.shape)).astype(np.float32)

    return make_step(
        drawn(task.observation_space),
        drawn(task.action_space),
        rng.normal(size=shape),
        drawn(task.observation_space),
        terminated=rng.random(shape) < 0.1,
        truncated=rng.random(shape) < 0.1,
    )


def flat_state(state: Any, name: str = "") -> dict[str, np.ndarray]:
    """All arrays, tensors and numbers of a nested state, by their path."""
    if isinstance(state, dict):
        parts = [flat_state(value, f"{name}/{key}") for key, value in state.items()]
        return {key: value for part in parts for key, value in part.items()}
    if isinstance(state, list | tuple):
        parts = [flat_state(value, f"{name}/{index}") for index, value in enumerate(state)]
        return {key: value for part in parts for key, value in part.items()}
    if isinstance(state, torch.Tensor):
        return {name: state.detach().cpu().numpy().copy()}
    return {name: np.array(state)}
