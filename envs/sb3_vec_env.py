"""Our vector environments for Stable-Baselines3: `PPO("MlpPolicy", SB3VecEnv(make_vector("CartPole3D-v0", 8)))`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv


class SB3VecEnv(VecEnv):
    """A vector environment with explicit resets, as Stable-Baselines3 wants it: columns that end begin anew at once.

    Where an episode ended, `infos` has its true last observation as `terminal_observation`, whether it was only cut
    off as `TimeLimit.truncated`, and what the environment told. There are no single environments inside that could be
    asked or wrapped.

    Args:
        envs: keeps the contract of `envs.vector`.
        episode_seed: reset seed of the n-th episode of a column. By default (column, n) within the seed that
            Stable-Baselines3 gives to `seed`.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], episode_seed: Callable[[int, int], int | None] | None = None):
        self.envs = envs
        self._episode_seed = episode_seed or self._own_seed
        self._root = 0
        self._episodes = [0] * envs.num_envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """The root of the seeds of episodes, unless those were given."""
        self._root = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        return [seed] * self.num_envs

    def reset(self) -> NDArray[Any]:
        return self._begin(np.ones(self.num_envs, bool))

    def step_async(self, actions: NDArray[Any]) -> None:
        self.envs.step_async(actions)  # pyright: ignore[reportAttributeAccessIssue]

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        obs, reward, terminated, truncated, told = self.envs.step_wait()  # pyright: ignore[reportAttributeAccessIssue]
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": cut} for cut in (truncated & ~terminated).tolist()]
        for name, values in told.items():
            if not name.startswith("_"):
                for column in np.flatnonzero(told[f"_{name}"]):
                    infos[column][name] = values[column]
        if ended.any():
            for column in np.flatnonzero(ended):
                infos[column]["terminal_observation"] = obs[column]
            obs = self._begin(ended)
        return obs, reward.astype(np.float32), ended, infos

    def close(self) -> None:
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        return [self.envs.render_column(column) for column in range(self.num_envs)]  # pyright: ignore[reportAttributeAccessIssue]

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of the vector environment, the same for each column."""
        return [getattr(self.envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        raise NotImplementedError("columns of a vector environment have no attributes of their own to set")

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        raise NotImplementedError("columns of a vector environment have no methods of their own to call")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def _begin(self, mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Begins the next episodes of the columns in `mask`; returns the observations of all columns."""
        seeds: list[int | None] = [None] * self.num_envs
        for column in np.flatnonzero(mask).tolist():
            seeds[column] = self._episode_seed(column, self._episodes[column])
            self._episodes[column] += 1
        obs, _ = self.envs.reset(seed=seeds, options={"reset_mask": mask})  # pyright: ignore[reportArgumentType]
        return obs

    def _own_seed(self, column: int, episode: int) -> int:
        return int(np.random.SeedSequence(self._root, spawn_key=(column, episode)).generate_state(1)[0])
