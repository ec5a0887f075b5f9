"""DriveBot's observations as Gymnasium wrappers: furthest sonar, ordering, standardised, history.

Each has a scalar and a vector form. The keywords `observation` and `history` of the environment do the same with
less; wrappers are for environments that give readings but are not DriveBot, and for taking things in another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs import drivebot_readings as made_of
from envs.native import check_fits

Function = Callable[[NDArray[Any]], NDArray[Any]]
"""Readings [..., S] to what is made of them [...] or [..., S]."""


def _sonars(space: gym.Space[Any]) -> int:
    """How many readings an observation holds.

    Raises:
        ValueError: it is not a vector of readings.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.dtype is None or space.dtype.kind != "f":
        raise ValueError(f"observations are {space}; expected a vector of readings: observation='sonars'")
    return space.shape[0]


def _furthest(space: gym.Space[Any]) -> tuple[spaces.Space[Any], Function]:
    return made_of.states_space(_sonars(space), 1), made_of.furthest


def _ordering(space: gym.Space[Any]) -> tuple[spaces.Space[Any], Function]:
    sonars = _sonars(space)
    return made_of.states_space(math.factorial(sonars), 1), made_of.ordering


def _standardised(space: gym.Space[Any], mean: float, deviation: float) -> tuple[spaces.Space[Any], Function]:
    _sonars(space)
    assert isinstance(space, spaces.Box)
    low, high = (made_of.standardised(bound, mean, deviation) for bound in (space.low, space.high))
    return spaces.Box(low, high, dtype=np.float32), lambda readings: made_of.standardised(readings, mean, deviation)


class _Scalar(gym.ObservationWrapper[Any, Any, Any]):
    """Applies a function to each observation."""

    def __init__(self, env: gym.Env[Any, Any], space_and_function: tuple[spaces.Space[Any], Function]):
        super().__init__(env)
        self.observation_space, self.function = space_and_function

    def observation(self, observation: Any) -> Any:
        return self.function(observation)


class FurthestSonar(_Scalar):
    """The sonar that reads furthest: Discrete(S)."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env, _furthest(env.observation_space))


class SonarOrdering(_Scalar):
    """Which permutation sorts the sonars furthest first: Discrete(S!)."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env, _ordering(env.observation_space))


class StandardisedSonars(_Scalar):
    """Readings less `mean`, over `deviation` (m): float32 Box."""

    def __init__(self, env: gym.Env[Any, Any], mean: float = 0.8, deviation: float = 0.3):
        super().__init__(env, _standardised(env.observation_space, mean, deviation))


class SonarHistory(gym.Wrapper[Any, Any, Any, Any]):
    """The last `length` readings as one vector, oldest first; all are the first one after a reset."""

    def __init__(self, env: gym.Env[Any, Any], length: int):
        super().__init__(env)
        self.observation_space = _history_space(env.observation_space, length)
        self.past = np.zeros((1, length, _sonars(env.observation_space)), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._remember(obs, fresh=True), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, *rest = self.env.step(action)
        return self._remember(obs, fresh=False), *rest  # pyright: ignore[reportReturnType]

    def _remember(self, obs: Any, fresh: bool) -> NDArray[np.float32]:
        made_of.remember(self.past, obs[None], np.array([0]), fresh)
        return self.past.reshape(-1).copy()


class _Vector(VectorWrapper):
    """Applies a function to the observations of all columns, and hands on what our vector forms add to Gymnasium's."""

    env: Any

    def __init__(self, env: VectorEnv[Any, Any, Any], space_and_function: tuple[spaces.Space[Any], Function]):
        super().__init__(env)
        space, self.function = space_and_function
        self.single_observation_space = space
        self.observation_space = batch_space(space, env.num_envs)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self.function(obs), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        self.env.step_async(actions)

    def step_wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        obs, *rest = self.env.step_wait()
        return self.function(obs), *rest  # pyright: ignore[reportReturnType]

    def state_dict(self) -> dict[str, Any]:
        return self.env.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        return self.function(self.env.load_state_dict(state))


class VectorFurthestSonar(_Vector):
    """`FurthestSonar` of all columns."""

    def __init__(self, env: VectorEnv[Any, Any, Any]):
        super().__init__(env, _furthest(env.single_observation_space))


class VectorSonarOrdering(_Vector):
    """`SonarOrdering` of all columns."""

    def __init__(self, env: VectorEnv[Any, Any, Any]):
        super().__init__(env, _ordering(env.single_observation_space))


class VectorStandardisedSonars(_Vector):
    """`StandardisedSonars` of all columns."""

    def __init__(self, env: VectorEnv[Any, Any, Any], mean: float = 0.8, deviation: float = 0.3):
        super().__init__(env, _standardised(env.single_observation_space, mean, deviation))


class VectorSonarHistory(_Vector):
    """`SonarHistory` of all columns. Those that were not reset, or whose episode has ended, keep their past."""

    def __init__(self, env: VectorEnv[Any, Any, Any], length: int):
        space = env.single_observation_space
        super().__init__(env, (_history_space(space, length), lambda obs: obs))
        self.past = np.zeros((env.num_envs, length, _sonars(space)), np.float32)
        self.active = np.zeros(env.num_envs, bool)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask")
        mask = np.ones(self.num_envs, bool) if mask is None else np.asarray(mask)
        made_of.remember(self.past, obs, mask, fresh=True)
        self.active |= mask
        return self._flat(), info

    def step_wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step_wait()
        made_of.remember(self.past, obs, self.active, fresh=False)
        self.active &= ~(terminated | truncated)
        return self._flat(), reward, terminated, truncated, info

    def state_dict(self) -> dict[str, Any]:
        return {**self.env.state_dict(), "history_past": self.past.copy(), "history_active": self.active.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        check_fits(state, self.state_dict())
        inner = dict(state)
        self.past[...] = inner.pop("history_past")
        self.active[...] = inner.pop("history_active")
        self.env.load_state_dict(inner)
        return self._flat()

    def _flat(self) -> NDArray[np.float32]:
        return self.past.reshape(self.num_envs, -1).copy()


def _history_space(space: gym.Space[Any], length: int) -> spaces.Box:
    """The space of `length` readings.

    Raises:
        ValueError: `length` is not a whole number of at least 1.
    """
    if not isinstance(length, int) or length < 1:
        raise ValueError(f"length is {length!r}; expected a whole number of at least 1")
    _sonars(space)
    assert isinstance(space, spaces.Box)
    return spaces.Box(np.tile(space.low, length), np.tile(space.high, length), dtype=np.float32)
