"""Episodes, whole or cut: what a seed's columns went through under one policy, for learners that are on-policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Step, Task
from agents.lazy import torch
from agents.networks import load_params
from agents.replay import free_bytes
from agents.saved import check_shape


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """A batch of S seeds: M episodes or parts of them, of T steps at most and of B steps a seed."""

    obs: torch.Tensor
    """[S, B, ...]."""
    action: torch.Tensor
    """[S, B], or [S, B, D] as sampled."""
    reward: torch.Tensor
    """[T, M]."""
    places: tuple[torch.Tensor, torch.Tensor]
    """Where in [T, M] the steps of `obs` are, [S, B] each."""
    length: torch.Tensor
    """[M]."""
    last_obs: torch.Tensor
    """What each ended with, [S, L, ...]: L is the most that a seed has, and zeros fill up the others."""
    last_places: tuple[torch.Tensor, torch.Tensor]
    """Where in [S, L] each of the M has its own, [M] each."""
    bootstrap: torch.Tensor
    """1 where it was cut off and would have gone on, 0 where it terminated, [M]."""


class Kept(NamedTuple):
    """An episode that a column has kept, or a part of one."""

    start: int
    """Row of its first step."""
    length: int
    """Steps."""
    goes_on: bool
    """Whether it was cut off, and would have gone on."""


class EpisodeMemory:
    """What N columns go through under a policy, until a seed's make up a batch.

    A batch is either so many whole episodes of every column, the first that it begins under the policy; or the next
    steps of every column, as many of each, whatever episodes they belong to: those that are under way are cut at the
    end of the batch, and go on in the next. Memory is claimed when the first step arrives, so a policy that is only
    evaluated costs none.

    Args:
        episodes: of each column.
        steps: of a batch, at least, with as many of each column; 0: whole episodes.
        limit: steps of a whole episode that are kept.
        task: for its spaces and columns.
        seeds: S.
        device: where the steps are kept.

    Raises:
        ValueError: it would not fit into the device's free memory; the message has the numbers of bytes.
    """

    def __init__(self, episodes: int, steps: int, limit: int, task: Task, seeds: int, device: torch.device):
        self.episodes, self.steps, self.limit = episodes, -(-steps // task.envs), limit
        self.seeds, self.envs, self.device = seeds, task.envs, device
        space = task.observation_space
        discrete = isinstance(task.action_space, gym.spaces.Discrete)
        dtype = np.dtype(space.dtype or np.float32)
        stored = torch.uint8 if dtype == np.uint8 else torch.float32 if dtype.kind == "f" else torch.int64
        action_shape = () if discrete else (int(np.prod(task.action_space.shape or ())),)
        # An episode takes a row for each step, and one for what it ended with.
        columns, self.rows = seeds * task.envs, 2 * self.steps or episodes * (limit + 1)
        self._parts: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            "obs": ((self.rows, columns, *(space.shape or ())), stored),
            "action": ((self.rows, columns, *action_shape), torch.int64 if discrete else torch.float32),
            "reward": ((self.rows, columns), torch.float32),
        }
        needed, free = self.bytes_needed(), free_bytes(device)
        if needed > free:
            raise ValueError(
                f"{self.rows:,} steps in {columns:,} columns need {needed:,} bytes and {device} has {free:,} free; "
                "lower episode_limit, batch_episodes, batch_steps, envs or seeds"
            )
        self._ring: dict[str, torch.Tensor] = {}
        self._kept: list[list[Kept]] = [[] for _ in range(columns)]
        self._count = np.zeros(columns, np.int64)
        self._used = np.zeros(columns, np.int64)
        self._length = np.zeros(columns, np.int64)
        self._begins = np.ones(columns, bool)
        self._idle = np.zeros(columns, bool)
        """Per column: how many episodes are kept, rows that they take, steps kept of the running one, whether the next
        step begins an episode, and whether the running one is not learnt from."""

    def bytes_needed(self) -> int:
        """What the memory takes."""
        return sum(int(np.prod(shape, dtype=object)) * dtype.itemsize for shape, dtype in self._parts.values())

    def add(self, step: Step, action: torch.Tensor) -> None:
        """Keeps a step of the columns that still want it; `action` [S, E, ...] is what was sampled."""
        if not self._ring:
            self._claim()
        ring = self._ring
        if not self.steps:
            self._idle[self._begins] = self._count[self._begins] >= self.episodes
        terminated, ended = step.terminated.ravel(), (step.terminated | step.truncated).ravel()
        self._begins = ended
        columns = np.flatnonzero(~self._idle)
        if not len(columns):
            return
        at = self._places(self._used[columns] + self._length[columns], columns)
        ring["obs"][at] = self._tensor(step.obs, columns, ring["obs"])
        ring["action"][at] = action.flatten(0, 1)[at[1]]
        ring["reward"][at] = self._tensor(step.reward, columns, ring["reward"])
        self._length[columns] += 1
        full = self._steps_kept() == self.steps if self.steps else ~ended & (self._length == self.limit)
        full &= ~self._idle
        over = np.flatnonzero(~self._idle & (ended | full))
        last = self._used[over] + self._length[over]
        ring["obs"][self._places(last, over)] = self._tensor(step.next_obs, over, ring["obs"])
        for column in over.tolist():
            length = int(self._length[column])
            self._kept[column].append(Kept(int(self._used[column]), length, not terminated[column]))
        self._count[over] += 1
        self._used[over] = last + 1
        self._length[over] = 0
        self._idle |= full

    def full_seeds(self) -> list[int]:
        """The seeds that have a batch."""
        enough = self._steps_kept() == self.steps if self.steps else self._count >= self.episodes
        return np.flatnonzero(enough.reshape(self.seeds, self.envs).all(1)).tolist()

    def take(self, seeds: Sequence[int]) -> Episodes:
        """Hands out what `look` does, and begins the next batch of these seeds: with the next episode that each column
        begins, or with its next step."""
        batch = self.look(seeds)
        for seed in seeds:
            own = slice(seed * self.envs, (seed + 1) * self.envs)
            self._kept[own] = [[] for _ in range(self.envs)]
            self._count[own] = self._used[own] = self._length[own] = 0
            self._idle[own] = not self.steps
        return batch

    def look(self, seeds: Sequence[int]) -> Episodes:
        """The batch of full seeds, which stays where it is; of several only if each has as many steps."""
        chosen = [
            (place, number, seed * self.envs + column, *self._kept[seed * self.envs + column][turn])
            for place, seed in enumerate(seeds)
            for number, (turn, column) in enumerate(self._in_turn(seed))
        ]
        owner, number, column, start, length, goes_on = torch.tensor(chosen, device=self.device).T  # [M] each
        time, episode = (torch.arange(int(length.max()), device=self.device)[:, None] < length).nonzero(as_tuple=True)
        of_seed = owner[episode].argsort(stable=True).reshape(len(seeds), -1)
        time, episode = time[of_seed], episode[of_seed]  # [S, B] each
        at = (start[episode] + time, column[episode])
        reward = torch.zeros(int(length.max()), len(chosen), device=self.device)
        reward[time, episode] = self._ring["reward"][at]
        last = self._ring["obs"][start + length, column]
        last_obs = last.new_zeros(len(seeds), int(number.max()) + 1, *last.shape[1:])
        last_obs[owner, number] = last
        return Episodes(
            obs=self._ring["obs"][at],
            action=self._ring["action"][at],
            reward=reward,
            places=(time, episode),
            length=length,
            last_obs=last_obs,
            last_places=(owner, number),
            bootstrap=goes_on.float(),
        )

    def _in_turn(self, seed: int) -> list[tuple[int, int]]:
        """A seed's episodes, as number and column: first those that its columns kept first."""
        own = self._kept[seed * self.envs : (seed + 1) * self.envs]
        return sorted((turn, column) for column, kept in enumerate(own) for turn in range(len(kept)))

    def state_dict(self) -> dict[str, Any]:
        return {
            "ring": dict(self._ring),
            "whole": np.array([(n, *one) for n, kept in enumerate(self._kept) for one in kept]).reshape(-1, 4),
            "used": self._used,
            "length": self._length,
            "begins": self._begins,
            "idle": self._idle,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("used", "length", "begins", "idle"):
            check_shape(name, state[name], self._used.shape)
        check_shape("whole", state["whole"], (None, 4))
        self._used, self._length = np.array(state["used"]), np.array(state["length"])
        self._begins, self._idle = np.array(state["begins"]), np.array(state["idle"])
        self._kept = [[] for _ in self._kept]
        for column, start, length, goes_on in np.asarray(state["whole"]).tolist():
            self._kept[column].append(Kept(start, length, bool(goes_on)))
        self._count[:] = [len(kept) for kept in self._kept]
        if state["ring"]:
            self._claim()
            load_params(self._ring, state["ring"])

    def _steps_kept(self) -> NDArray[np.int64]:
        """Of each column: its rows without those of what its episodes ended with."""
        return self._used - self._count + self._length

    def _claim(self) -> None:
        self._ring = {
            name: torch.zeros(shape, dtype=dtype, device=self.device) for name, (shape, dtype) in self._parts.items()
        }

    def _places(self, rows: NDArray[np.integer], columns: NDArray[np.intp]) -> tuple[torch.Tensor, ...]:
        """What indexes the memory at a row of each of some columns."""
        return tuple(torch.as_tensor(np.stack([rows, columns]), device=self.device))

    def _tensor(self, values: NDArray[Any], columns: NDArray[np.intp], like: torch.Tensor) -> torch.Tensor:
        """Of [S, E, ...] some columns, [columns, ...]."""
        flat = values.reshape(self.seeds * self.envs, *values.shape[2:])[columns]
        return torch.as_tensor(flat, dtype=like.dtype, device=self.device)
