"""Settings of Stable-Baselines3's agents, and what each of them fits.

Defaults are the library's own where a docstring does not say otherwise. Those that are not make it comparable with our
agents: networks of the same width, and as many updates for as many steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from agents.base import Task, check_bounds, check_flags
from agents.encoders import check_observation_space
from agents.lazy import torch
from agents.networks import check_widths
from agents.replay import free_bytes


@dataclass(frozen=True, kw_only=True)
class SB3Config:
    """What all four have in common."""

    gamma: float = 0.99
    """Discount per environment step, in [0, 1]."""
    hidden: tuple[int, ...] = (128, 128)
    """Units of each hidden layer, of actor and critic alike; Stable-Baselines3's own are 64 or 256 wide."""
    encode: bool = True
    """Give it the features that our own agents see: poses as places and rates; these and other numbers standardised.
    Images go through the library's convolutional network either way."""

    def __post_init__(self) -> None:
        check_bounds(self, gamma=(0, 1))
        check_flags(self, "encode")
        check_widths(self.hidden)


@dataclass(frozen=True, kw_only=True)
class SB3OffPolicyConfig(SB3Config):
    """What those with a replay memory have in common."""

    memory_size: int = 200_000
    """Transitions kept per seed; the library's own default is 1,000,000."""
    learning_starts: int = 100
    """Environment steps per seed with random actions before the first update."""
    steps_per_update: int = 4
    """Environment steps per seed for each update; the library's own default is 4 for DQN, else 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self, memory_size=(1, 1e9), learning_starts=(0, 1e9), steps_per_update=(1, 1e6))


@dataclass(frozen=True, kw_only=True)
class SB3DQNConfig(SB3OffPolicyConfig):
    """Deep Q-network of Stable-Baselines3; defaults are the library's unless a field says otherwise."""

    lr: float = 1e-4
    """Learning rate of Adam."""
    batch_size: int = 32
    """Transitions per update and seed."""
    target_interval: int = 10_000
    """Environment steps per seed between moves of the target network towards the online one."""
    target_tau: float = 1.0
    """How far such a move goes, in (0, 1]: 1 copies, less blends."""
    epsilon_start: float = 1.0
    """Share of random actions at first."""
    epsilon_end: float = 0.05
    """Share of random actions after the ramp."""
    ramp_steps: int = 10_000
    """Environment steps per seed that the ramp of epsilon takes; the library's own default is a tenth of the run."""
    max_grad_norm: float = 10.0
    """Gradients longer than this are shortened to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(
            self,
            lr=(1e-8, 1),
            batch_size=(1, 1_000_000),
            target_interval=(1, 1e9),
            target_tau=(1e-6, 1),
            epsilon_start=(0, 1),
            epsilon_end=(0, 1),
            ramp_steps=(0, 1e9),
            max_grad_norm=(1e-6, 1e9),
        )


@dataclass(frozen=True, kw_only=True)
class SB3DDPGConfig(SB3OffPolicyConfig):
    """Deep deterministic policy gradient of Stable-Baselines3; defaults are the library's unless a field says
    otherwise."""

    lr: float = 1e-3
    """Learning rate of both Adams."""
    batch_size: int = 256
    """Transitions per update and seed."""
    target_tau: float = 0.005
    """How far target networks move at each update, in (0, 1]."""
    noise_std: float = 0.1
    """Standard deviation of the Gaussian noise on actions scaled to [-1, 1]; the library's own default is none, its
    example 0.1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self, lr=(1e-8, 1), batch_size=(1, 1_000_000), target_tau=(1e-6, 1), noise_std=(0, 10))


@dataclass(frozen=True, kw_only=True)
class SB3SACConfig(SB3OffPolicyConfig):
    """Soft actor-critic of Stable-Baselines3, its entropy coefficient learnt; defaults are the library's unless a
    field says otherwise."""

    lr: float = 3e-4
    """Learning rate of all Adams."""
    batch_size: int = 256
    """Transitions per update and seed."""
    target_tau: float = 0.005
    """How far target networks move at each update, in (0, 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self, lr=(1e-8, 1), batch_size=(1, 1_000_000), target_tau=(1e-6, 1))


@dataclass(frozen=True, kw_only=True)
class SB3PPOConfig(SB3Config):
    """Proximal policy optimisation of Stable-Baselines3; defaults are the library's unless a field says otherwise."""

    lr: float = 3e-4
    """Learning rate of Adam."""
    rollout_steps: int = 2_048
    """Environment steps per seed, over its columns, that it learns from at a time; what is left over at the end of the
    run is not learnt from."""
    batch_size: int = 64
    """Steps per update and seed."""
    epochs: int = 10
    """Passes over the rollout."""
    gae_lambda: float = 0.95
    """Between one-step advantages at 0 and those of whole returns at 1."""
    clip_range: float = 0.2
    """How far the probability of an action may move, as a share."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus."""
    value_coefficient: float = 0.5
    """Weight of the value's loss."""
    max_grad_norm: float = 0.5
    """Gradients longer than this are shortened to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(
            self,
            lr=(1e-8, 1),
            rollout_steps=(2, 1e9),
            batch_size=(2, 1_000_000),
            epochs=(1, 10_000),
            gae_lambda=(0, 1),
            clip_range=(1e-6, 10),
            entropy_coefficient=(0, 1000),
            value_coefficient=(0, 1000),
            max_grad_norm=(1e-6, 1e9),
        )


def check_discrete(task: Task) -> None:
    """Raises ValueError unless observations can be encoded and actions are Discrete."""
    check_observation_space(task.observation_space)
    if not isinstance(task.action_space, gym.spaces.Discrete):
        raise ValueError(f"action space {task.action_space}; expected Discrete")


def check_continuous(task: Task) -> None:
    """Raises ValueError unless observations can be encoded and actions are numbers with bounds."""
    check_observation_space(task.observation_space)
    space = task.action_space
    if not isinstance(space, gym.spaces.Box) or space.dtype.kind != "f" or not space.is_bounded():
        raise ValueError(f"action space {space}; expected a Box of floats with bounds")


def check_either(task: Task) -> None:
    """Raises ValueError unless observations can be encoded and actions are Discrete or numbers with bounds."""
    (check_discrete if isinstance(task.action_space, gym.spaces.Discrete) else check_continuous)(task)


def check_memory(config: SB3Config, space: gym.Space[Any], task: Task, seeds: int) -> None:
    """Raises ValueError where the memory that SB3 would claim is larger than what is free."""
    obs = int(np.prod(space.shape or (1,))) * np.dtype(space.dtype or np.float32).itemsize
    action = 4 * int(np.prod(task.action_space.shape or (2,)))
    if isinstance(config, SB3OffPolicyConfig):
        field, size, row = "memory_size", config.memory_size, 2 * obs + action + 12
    else:
        assert isinstance(config, SB3PPOConfig)
        field, size, row = "rollout_steps", config.rollout_steps, obs + action + 24
        if size < task.envs:
            raise ValueError(f"rollout_steps is {size}; expected at least one for each of envs {task.envs}")
    needed, free = size * row * seeds, free_bytes(torch.device("cpu"))
    if needed > free:
        raise ValueError(
            f"{field} {size:,} x {seeds} seeds needs {needed:,} bytes and {free:,} are free; lower {field} or seeds"
        )
