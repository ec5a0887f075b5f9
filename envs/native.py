"""What simulators that are batches by nature share: the contract of their vector form, and the scalar form made of it.

A simulator subclasses `NativeVectorEnv` with its arrays and three methods; its scalar environment is a
`ScalarEnv` over a batch of one. Both keep the contract of `envs.vector`: autoreset DISABLED, resets by mask with a
seed per column, and columns that ended and were not reset are passed over.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.resets import parse_reset
from envs.streams import Keys, keys_of


class NativeVectorEnv(VectorEnv[Any, Any, Any]):
    """Base of natively batched environments.

    A subclass sets its own state arrays (first axis: column), names those that make up its state in `state_names`,
    and calls `super().__init__` with its spaces. Randomness comes from `envs.streams` with `self.key` and
    `self.draws`, so that a column does the same alone and among others.
    """

    metadata: dict[str, Any] = {}  # noqa: RUF012 - Gymnasium declares it so
    state_names: ClassVar[tuple[str, ...]] = ()
    """Attributes, arrays with a leading column axis, that make up the state beside those of this class."""

    def __init__(
        self, num_envs: int, observation_space: gym.Space[Any], action_space: gym.Space[Any], render_mode: str | None
    ):
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; expected at least 1")
        modes = self.metadata.get("render_modes", [])
        if render_mode is not None and render_mode not in modes:
            known = f"one of {', '.join(modes)}" if modes else "none: this environment draws no pictures"
            raise ValueError(f"render_mode is {render_mode!r}; expected {known}")
        self.metadata = {**self.metadata, "autoreset_mode": AutoresetMode.DISABLED}
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self.key: Keys = np.zeros(num_envs, np.uint64)
        """Each column's random stream."""
        self.draws = np.zeros(num_envs, np.uint64)
        """How many numbers each column has drawn from it."""
        self.active = np.zeros(num_envs, bool)
        """Which columns are inside an episode."""
        self.episode_steps = np.zeros(num_envs, np.int64)
        self._pending: tuple[Any, ...] | None = None

    @abstractmethod
    def _begin(self, columns: NDArray[np.intp], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Starts episodes in `columns`; returns infos, arrays with an entry for each of them."""

    @abstractmethod
    def _advance(
        self, actions: NDArray[Any], active: NDArray[np.bool_]
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[Any]]]:
        """One step of the `active` columns.

        Returns reward, terminated, truncated (entries of inactive columns are ignored) and infos of all columns, each
        an array [num_envs]; `is_success` and what else only counts at the end may be garbage before it.
        """

    @abstractmethod
    def _observe(self) -> NDArray[Any]:
        """The observations of all columns, a new array."""

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """As `envs.vector.WorkerVectorEnv.reset`."""
        mask, seeds, others = parse_reset(self.num_envs, seed, options)
        columns: NDArray[np.intp] = np.flatnonzero(mask)
        given = [seeds[column] for column in columns.tolist()]
        chosen = np.array([0 if one is None else one for one in given], np.uint64)
        unseeded = np.array([one is None for one in given], bool)
        chosen[unseeded] = self.np_random.integers(2**63, size=int(unseeded.sum()))
        self.key[columns] = keys_of(chosen)
        self.draws[columns] = 0
        self.active[columns] = True
        self.episode_steps[columns] = 0
        infos = self._begin(columns, others)
        return self._observe(), spread(infos, columns, self.num_envs)

    def step(
        self, actions: Any
    ) -> tuple[NDArray[Any], NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        active = self.active.copy()
        self.episode_steps += active
        reward, terminated, truncated, infos = self._advance(np.asarray(actions), active)
        reward = np.where(active, reward, 0.0)
        terminated, truncated = terminated & active, truncated & active & ~terminated
        ended = terminated | truncated
        self.active &= ~ended
        # Infos are told where an episode ends: that is where anybody looks, and dictionaries are slow.
        values = {name: every[ended] for name, every in infos.items()}
        told = spread(values, np.flatnonzero(ended), self.num_envs)
        return self._observe(), reward, terminated, truncated, told

    def step_async(self, actions: Any) -> None:
        """Same calls as the worker form; the step itself happens in `step_wait`."""
        self._pending = (actions,)

    def step_wait(
        self,
    ) -> tuple[NDArray[Any], NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        assert self._pending is not None, "step_wait without step_async"
        (actions,), self._pending = self._pending, None
        return self.step(actions)

    def render_column(self, column: int) -> Any:
        """The picture of one column."""
        frames = self.render()
        return None if frames is None else frames[column]

    def state_dict(self) -> dict[str, Any]:
        """All state arrays, copied."""
        names = ("key", "draws", "active", "episode_steps", *self.state_names)
        return {name: getattr(self, name).copy() for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> NDArray[Any]:
        """Puts the arrays of `state_dict` back; returns the observations.

        Raises:
            ValueError: names or shapes differ.
        """
        check_fits(state, self.state_dict())
        for name, value in state.items():
            getattr(self, name)[...] = value
        return self._observe()


def check_fits(saved: Mapping[str, Any], held: Mapping[str, Any]) -> None:
    """Raises ValueError unless a saved state has the names and shapes of the one that it is to replace."""
    for name in held.keys() | saved.keys():
        shapes = [list(state[name].shape) if name in state else "absent" for state in (saved, held)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{name} of the environments is {shapes[0]} in the saved state; expected {shapes[1]}")


def spread(infos: dict[str, NDArray[Any]], columns: NDArray[np.intp], num_envs: int) -> dict[str, Any]:
    """Gymnasium's form of vector infos, from values of some columns: an array a key, and a mask `_key`."""
    told: dict[str, Any] = {}
    if len(columns):
        mask = np.zeros(num_envs, bool)
        mask[columns] = True
        for name, values in infos.items():
            all_columns = np.zeros((num_envs, *values.shape[1:]), values.dtype)
            all_columns[columns] = values
            told[name], told[f"_{name}"] = all_columns, mask.copy()
    return told


class ScalarEnv(gym.Env[Any, Any]):
    """A single environment that is a batch of one. Subclass it with a docstring that is its manual page.

    Raises:
        ValueError: an action outside its space.
        gymnasium.error.ResetNeeded: `step` before `reset`, or after the end of an episode.
    """

    vector: type[NativeVectorEnv]
    """The natively batched class; its keywords are this one's."""

    def __init__(self, **kwargs: Any):
        self.batch = self.vector(num_envs=1, **kwargs)  # pyright: ignore[reportCallIssue]
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self.render_mode = self.batch.render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        # Without a seed the episode's comes from our own stream, which an earlier seed began.
        episode = int(self.np_random.integers(2**63)) if seed is None else seed
        obs, infos = self.batch.reset(seed=[episode], options=options)
        return obs[0], _first(infos)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self.batch.active[0]:
            raise gym.error.ResetNeeded("the episode has ended, or none has begun: call reset() before step()")
        if not self.action_space.contains(action):
            raise ValueError(f"action is {action!r}; expected a member of {self.action_space}")
        obs, reward, terminated, truncated, infos = self.batch.step(np.asarray(action)[None])
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(infos)

    def render(self) -> Any:
        frames = self.batch.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        self.batch.close()


def discrete_actions(actions: NDArray[Any], active: NDArray[np.bool_], count: int) -> NDArray[np.integer]:
    """Actions [num_envs] of a Discrete(count) space, with 0 for columns that are not `active`.

    Raises:
        ValueError: an active column's action is none of the space.
    """
    if actions.dtype.kind not in "iu" or actions.shape != active.shape:
        raise ValueError(f"actions are {actions.dtype} {actions.shape}; expected whole numbers {active.shape}")
    actions = np.where(active, actions, 0)
    if actions.min() < 0 or actions.max() >= count:
        column = int(np.flatnonzero((actions < 0) | (actions >= count))[0])
        raise ValueError(f"action of column {column} is {actions[column]}; expected 0 to {count - 1}")
    return actions


def _first(infos: dict[str, Any]) -> dict[str, Any]:
    """The infos of a batch of one, unwrapped."""
    return {
        name: values[0].item() if np.ndim(values[0]) == 0 else values[0]
        for name, values in infos.items()
        if not name.startswith("_")
    }
