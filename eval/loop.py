"""The one loop: S x E columns of a vector environment under an agent, for training, evaluation, videos and timing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Agent, Step
from agents.finite import SEEN, FiniteWatch, NonFiniteError, Watched, check_finite
from agents.lazy import torch

EVALUATION_SEED = 10_000_000
"""Reset seed of evaluation episode 0; episode i has this plus i, whatever the agent and the world."""

AGENT_STREAM, EPISODE_STREAM = 0, 1
"""Consumers of a run's root seed: first numbers of their spawn keys."""

EpisodeSeed = Callable[[int, int], int | None]
"""Reset seed of the n-th episode of a column; None when the column has had its last."""


def agent_seeds(run_seed: int, seeds: int) -> list[np.random.SeedSequence]:
    """The root of randomness of each seed's agent."""
    return [np.random.SeedSequence(run_seed, spawn_key=(AGENT_STREAM, seed)) for seed in range(seeds)]


def training_seeds(run_seed: int, envs: int) -> EpisodeSeed:
    """Reset seeds from (run seed, column, episode), where a seed's columns do not depend on how many seeds there are.

    Args:
        run_seed: the run's root seed.
        envs: columns per seed.
    """

    def seed_of(column: int, episode: int) -> int:
        key = (EPISODE_STREAM, column // envs, column % envs, episode)
        return int(np.random.SeedSequence(run_seed, spawn_key=key).generate_state(1)[0])

    return seed_of


class EvaluationSeeds:
    """Hands out evaluation episodes 0 ... `episodes` - 1 within each seed, to whichever column is free.

    Every episode is played to its end, so nothing depends on which column had it.

    Args:
        episodes: per seed.
        seeds: S.
        envs: columns per seed.
    """

    def __init__(self, episodes: int, seeds: int, envs: int):
        self.episodes, self.envs = episodes, envs
        self.handed_out = [0] * seeds

    def __call__(self, column: int, episode: int) -> int | None:
        seed = column // self.envs
        number = self.handed_out[seed]
        if number >= self.episodes:
            return None
        self.handed_out[seed] += 1
        return EVALUATION_SEED + number


class Stopwatch:
    """Seconds spent on each part of the loop."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, part: str) -> None:
        """Books the time since the last lap on `part`."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


class Interaction:
    """An agent among its environments, where they stand, and how they go on.

    Args:
        envs: S * E columns, seed-major, that keep the contract of `envs.vector`.
        agent: for S seeds.
        seeds: S.
        episode_seed: reset seeds of episodes.
        explore: whether the agent acts as in training, or as well as it can.
        meanwhile: called once a step, while the environments step: the place for learning, on a fixed schedule. If the
            agent has `learns_before_acting`, it is called before the agent acts instead.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        agent: Agent,
        seeds: int,
        episode_seed: EpisodeSeed,
        *,
        explore: bool,
        meanwhile: Callable[[], None] | None = None,
    ):
        if envs.num_envs % seeds:
            raise ValueError(f"{envs.num_envs} columns cannot be shared by {seeds} seeds")
        self.envs, self.agent, self.seeds = envs, agent, seeds
        self.per_seed = envs.num_envs // seeds
        learns_first = getattr(agent, "learns_before_acting", False)
        self.explore = explore
        self._before_acting, self._meanwhile = (meanwhile, None) if learns_first else (None, meanwhile)
        self.watch = Stopwatch()
        self._finite = FiniteWatch()
        self._episode_seed = episode_seed
        columns = envs.num_envs
        self.episodes = np.zeros(columns, np.int64)
        """Episodes begun in each column."""
        self._next: list[int | None] = []
        """Reset seed of each column's next episode, or None where there is none."""
        self._running = np.ones(columns, bool)
        self._first = np.ones(columns, bool)
        self._obs: NDArray[Any] | None = None
        self._reset_info: dict[str, NDArray[Any]] = {"reset_seed": np.zeros(columns, np.int64)}

    def __iter__(self) -> Iterator[Step]:
        """Acts until no column has another episode, and yields every step.

        A step is yielded when the columns that it ended have been reset, so that the state between two steps is
        whole.

        Raises:
            NonFiniteError: an observation, a reward, an action, or what the agent has learnt is not finite; nothing
                more is sent.
        """
        if self._obs is None:
            self._reset(np.ones(self.envs.num_envs, bool))
        while self._running.any():
            assert self._obs is not None
            obs, first, running = self._obs, self._first, self._running
            reset_info = dict(self._reset_info)
            self.watch.lap("other")
            if self._before_acting is not None:
                self._before_acting()
                self.watch.lap("learn")
            seen: Watched = {SEEN: {"obs": self._by_seed(obs)}} if isinstance(obs, torch.Tensor) else {}  # pyright: ignore[reportAssignmentType]
            self._finite.ask({**self.agent.watched(), **seen})
            try:
                action = self.agent.act(self._by_seed(obs), self._by_seed(first), explore=self.explore)
            finally:
                self._finite.check()  # also where acting fails of it
            self._check_action(action)
            self.watch.lap("act")
            self.envs.step_async(action.reshape(-1, *action.shape[2:]))  # pyright: ignore[reportAttributeAccessIssue]
            if self._meanwhile is not None:
                self._meanwhile()
                self.watch.lap("learn")
            next_obs, reward, terminated, truncated, info = self.envs.step_wait()  # pyright: ignore[reportAttributeAccessIssue]
            next_obs = self._given(next_obs)
            _check_finite(self._by_seed(next_obs), "observation", "the environment")
            _check_finite(self._by_seed(reward), "reward", "the environment")
            ended = terminated | truncated
            self._obs, self._first = next_obs, ended
            if ended.any():
                self._reset(ended)
            self.watch.lap("simulate")
            yield Step(
                obs=self._by_seed(obs),
                action=action,
                reward=self._by_seed(reward),
                terminated=self._by_seed(terminated),
                truncated=self._by_seed(truncated),
                next_obs=self._by_seed(next_obs),
                first=self._by_seed(first),
                running=self._by_seed(running),
                info=info,
                reset_info=reset_info,
            )

    def state_dict(self) -> dict[str, Any]:
        """Where the environments stand. Take it between two steps."""
        return {
            "envs": self.envs.state_dict(),  # pyright: ignore[reportAttributeAccessIssue]
            "episodes": self.episodes.copy(),
            "first": self._first.copy(),
            "reset_info": {name: values.copy() for name, values in self._reset_info.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to where `state_dict` was taken. For endless supplies of episodes, as in training."""
        self._obs = self._given(self.envs.load_state_dict(state["envs"]))  # pyright: ignore[reportAttributeAccessIssue]
        self.episodes = np.array(state["episodes"])
        self._look_ahead(np.arange(self.envs.num_envs))
        self._first = np.array(state["first"], bool)
        self._reset_info = {name: np.array(values) for name, values in state["reset_info"].items()}

    def _check_action(self, action: NDArray[Any]) -> None:
        """Raises NonFiniteError unless actions [S, E, ...] are numbers, and discrete ones among those there are."""
        try:
            _check_finite(action, "action", "the agent")
            space = self.envs.single_action_space
            if isinstance(space, gym.spaces.Discrete):
                none = (action < space.start) | (action >= space.start + space.n)
                if none.any():
                    seed, env = np.argwhere(none)[0]
                    raise NonFiniteError(
                        f"values of the actions of seed {seed}, column {env} are not finite; they came from the agent"
                    )
        except NonFiniteError:
            # Some learn when they act: then this names the tensor.
            check_finite(self.agent.watched())
            raise

    def _reset(self, mask: NDArray[np.bool_]) -> None:
        """Begins the next episodes of the columns in `mask`; those that have none left stop running."""
        if not self._next:
            self._look_ahead(np.arange(len(mask)))
        seeds = list(self._next)
        self._running = self._running.copy()
        self._running[mask] = [seeds[column] is not None for column in np.flatnonzero(mask)]
        mask = mask & self._running
        if not mask.any():
            if self._obs is None:
                raise ValueError("there is no episode to run; expected at least 1")
            return
        self.episodes[mask] += 1
        obs, info = self.envs.reset(seed=seeds, options={"reset_mask": mask})  # pyright: ignore[reportArgumentType]
        self._look_ahead(np.flatnonzero(mask))
        self._obs = obs = self._given(obs)
        _check_finite(self._by_seed(obs), "observation after a reset", "the environment")
        info["reset_seed"] = np.array([seed or 0 for seed in seeds])
        for name, values in info.items():
            if not name.startswith("_") and isinstance(values, np.ndarray) and values.dtype != object:
                kept = self._reset_info.get(name, np.zeros_like(values)).copy()
                kept[mask] = values[mask]
                self._reset_info[name] = kept

    def _look_ahead(self, columns: NDArray[np.intp]) -> None:
        """Finds out what comes next in columns, and lets environments that can begin it when they are ready."""
        self._next = self._next or [None] * self.envs.num_envs
        for column in columns.tolist():
            self._next[column] = self._episode_seed(column, int(self.episodes[column]))
        reset_ahead = getattr(self.envs, "reset_ahead", None)
        if reset_ahead is not None:
            reset_ahead(self._next)

    def _given(self, obs: Any) -> Any:
        """Observations as the agent takes them."""
        if isinstance(obs, np.ndarray) or getattr(self.agent, "takes_tensors", False):
            return obs
        return obs.cpu().numpy()

    def _by_seed(self, values: NDArray[Any]) -> NDArray[Any]:
        """[N, ...] -> [S, E, ...], without copying."""
        return values.reshape(self.seeds, self.per_seed, *values.shape[1:])


LARGEST = float(np.finfo(np.float32).max)
"""What learning computes with ends here."""


def _check_finite(values: NDArray[Any], what: str, source: str) -> None:
    """Raises NonFiniteError unless all numbers of values [S, E, ...] are finite, as single-precision numbers too.

    Tensors are left alone, which would wait for their device: before the next action `FiniteWatch` asks about them.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "f" and not (np.abs(values) <= LARGEST).all():
        seed, env, *place = np.argwhere(~(np.abs(values) <= LARGEST))[0].tolist()
        found = f"{values[(seed, env, *place)]}" + (f" at {place}" if place else "")
        raise NonFiniteError(
            f"{what} of seed {seed}, column {env} is not finite; it came from {source}, and is {found}"
        )
