"""Policies that learn nothing, to hold learners against: random, idle, and hand-made rules for single environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Fixed, Task, check_bounds
from agents.lazy import torch
from agents.streams import SeedStreams


@dataclass(frozen=True, kw_only=True)
class RandomConfig:
    """Uniformly random actions."""


class Random(Fixed):
    """Actions drawn uniformly from their space, each seed from its own stream."""

    def __init__(self, config: RandomConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_random(task)
        self.task = task
        self._streams = SeedStreams(seeds, torch.device("cpu"))

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        space, envs = self.task.action_space, obs.shape[1]
        if isinstance(space, gym.spaces.Discrete):
            return self._streams.integers(int(space.n), envs).numpy() + int(space.start)
        assert isinstance(space, gym.spaces.Box)
        share = self._streams.uniform(envs, *space.shape).numpy()
        return (space.low + share * (space.high - space.low)).astype(space.dtype)

    def state_dict(self) -> dict[str, Any]:
        return {"streams": self._streams.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._streams.load_state_dict(state["streams"])


def check_random(task: Task) -> None:
    """Raises ValueError unless actions are Discrete, or a Box with bounds."""
    space = task.action_space
    if isinstance(space, gym.spaces.Discrete) or (isinstance(space, gym.spaces.Box) and space.is_bounded()):
        return
    raise ValueError(f"action space {space}; expected Discrete or a bounded Box")


@dataclass(frozen=True, kw_only=True)
class IdleConfig:
    """The action that does nothing."""


class Idle(Fixed):
    """Does nothing, where an action means that."""

    def __init__(self, config: IdleConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_idle(task)
        self.task = task

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        space = self.task.action_space
        action = np.zeros((*obs.shape[:2], *(space.shape or ())), space.dtype)
        return action + self.task.idle_action if isinstance(space, gym.spaces.Discrete) else action

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def check_idle(task: Task) -> None:
    """Raises ValueError unless the task says which action does nothing."""
    if task.idle_action is None:
        raise ValueError("no action of this environment is known to do nothing (metadata 'idle_action')")


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """A linear controller on the pole's tilt and motion, for CartPole3D poses."""

    tilt: float = 39.65
    """Share of the full force per unit of tilt (horizontal part of the pole's unit axis)."""
    tilt_rate: float = 3.84
    """Share of the full force per 1/s of tilt rate."""
    position: float = 0.02
    """Share of the full force per metre of the pole's position."""
    velocity: float = 0.40
    """Share of the full force per m/s of the pole's velocity."""
    snapshot_interval: float = 5 / 240
    """Seconds between two snapshots of an observation."""

    def __post_init__(self) -> None:
        bounds = {name: (-1e6, 1e6) for name in ("tilt", "tilt_rate", "position", "velocity")}
        check_bounds(self, **bounds, snapshot_interval=(1e-6, 1e6))


DIRECTIONS = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], float)
"""Force along x and y of CartPole3D's discrete actions."""


class Linear(Fixed):
    """Pushes the cart under the pole.

    With discrete actions it carries what an action could not express over to the next (error diffusion).
    """

    def __init__(self, config: LinearConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_linear(task)
        self.config, self.task = config, task
        self._owed = np.zeros((0, 0, 2))

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        wanted = linear_control(obs.astype(np.float64), self.config)  # [S, E, 2]
        if isinstance(self.task.action_space, gym.spaces.Box):
            return wanted.astype(np.float32)
        if self._owed.shape != wanted.shape:
            self._owed = np.zeros_like(wanted)
        self._owed[first] = 0.0
        due = wanted + self._owed
        distance = ((due[..., None, :] - DIRECTIONS) ** 2).sum(-1)  # [S, E, 5]
        action = distance.argmin(-1)
        # What is owed stays below one action: it is a rounding error, not a debt that grows.
        self._owed = np.clip(due - DIRECTIONS[action], -1.0, 1.0)
        return action

    def state_dict(self) -> dict[str, Any]:
        return {"owed": self._owed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._owed = np.array(state["owed"])


def linear_control(obs: NDArray[np.floating], config: LinearConfig) -> NDArray[np.floating]:
    """Share of the full force along x and y, [S, E, repeats, 2, 7] -> [S, E, 2] in [-1, 1]."""
    before, now = obs[:, :, 0, 1], obs[:, :, -1, 1]  # the pole, [S, E, 7]
    span = max(1, obs.shape[2] - 1) * config.snapshot_interval
    tilt_rate = (_tilt(now) - _tilt(before)) / span
    velocity = (now[..., :2] - before[..., :2]) / span
    control = (
        config.tilt * _tilt(now)
        + config.tilt_rate * tilt_rate
        + config.position * now[..., :2]
        + config.velocity * velocity
    )
    return np.clip(control, -1.0, 1.0)


def _tilt(pose: NDArray[np.floating]) -> NDArray[np.floating]:
    """Horizontal part of the upward axis of poses [..., 7], [..., 2]."""
    x, y, z, w = np.moveaxis(pose[..., 3:], -1, 0)
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x)], -1)


def check_linear(task: Task) -> None:
    """Raises ValueError unless the task is CartPole3D with poses."""
    space, actions = task.observation_space, task.action_space
    shape = tuple(space.shape or ())
    controls = (isinstance(actions, gym.spaces.Discrete) and actions.n == len(DIRECTIONS)) or (
        isinstance(actions, gym.spaces.Box) and actions.shape == (2,)
    )
    if len(shape) != 3 or shape[1:] != (2, 7) or not controls:
        raise ValueError(f"observation space {space} with {actions}; expected the poses of CartPole3D")


@dataclass(frozen=True, kw_only=True)
class FurthestSonarConfig:
    """Towards the furthest sonar, for DriveBot."""


SONAR_ACTIONS = ("forward", "left", "right")
"""What the sonars face, in their order."""
SONAR_COMMANDS = np.array([[1, 0], [0, 1], [0, -1]], np.float32)
"""The same for continuous control: forward speed and turn rate."""


class FurthestSonar(Fixed):
    """Drives where the furthest of the sonars front, left and right faces; of equals the first."""

    def __init__(
        self, config: FurthestSonarConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device
    ):
        check_furthest_sonar(task)
        self.task = task

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        count = len(SONAR_ACTIONS)
        # A history ends with the latest readings; a number that says which is furthest has it as its last digit.
        choice = obs % count if obs.ndim == 2 else obs[..., -count:].argmax(-1)
        return choice if isinstance(self.task.action_space, gym.spaces.Discrete) else SONAR_COMMANDS[choice]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def check_furthest_sonar(task: Task) -> None:
    """Raises ValueError unless the task is DriveBot with three sonars, or with which of them is furthest."""
    space, count = task.observation_space, len(SONAR_ACTIONS)
    sonars = isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.shape[0] % count == 0
    states = isinstance(space, gym.spaces.Discrete) and _is_power(int(space.n), count)
    if task.action_names[:count] != SONAR_ACTIONS or not (sonars or states):
        raise ValueError(f"observation space {space}, actions {task.action_names}; expected DriveBot with three sonars")


def _is_power(number: int, base: int) -> bool:
    while number > 1 and number % base == 0:
        number //= base
    return number == 1


@dataclass(frozen=True, kw_only=True)
class LeftRightConfig:
    """Pushes the cart to the side that the pole falls to, for Gymnasium's CartPole."""

    lookahead: float = 0.0
    """Seconds ahead at which the pole's lean decides. 0, the classic rule: as it leans now, which swings ever wider
    and falls after 42 steps on average; 0.2 keeps it up for all 500."""

    def __post_init__(self) -> None:
        check_bounds(self, lookahead=(0, 1e6))


class LeftRight(Fixed):
    """Left where the pole leans to the left, else right."""

    def __init__(
        self, config: LeftRightConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device
    ):
        check_left_right(task)
        self.config = config

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        angle, angle_rate = obs[..., 2], obs[..., 3]
        return (angle + self.config.lookahead * angle_rate > 0).astype(np.int64)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def check_left_right(task: Task) -> None:
    """Raises ValueError unless the task is Gymnasium's CartPole: its actions by name, four numbers, a small angle."""
    space = task.observation_space
    pole = isinstance(space, gym.spaces.Box) and space.shape == (4,) and 0.1 < float(space.high[2]) < 1.0
    if not pole or task.action_names != ("left", "right"):
        raise ValueError(f"observation space {space}, actions {task.action_names}; expected Gymnasium's CartPole")
