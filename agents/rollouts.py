"""Whole episodes: what a seed's columns went through under one policy, for learners that are on-policy."""

from __future__ import annotations

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
    """One seed's batch: M whole episodes, the longest of T steps, B steps in all."""

    obs: torch.Tensor
    """[1, B, ...]."""
    action: torch.Tensor
    """[1, B], or [1, B, D] as sampled."""
    reward: torch.Tensor
    """[T, M]."""
    steps: torch.Tensor
    """Which places of [T, M] are steps: in their order they are the B of `obs`."""
    length: torch.Tensor
    """[M]."""
    last_obs: torch.Tensor
    """What each episode ended with, [1, M, ...]."""
    bootstrap: torch.Tensor
    """1 where it was cut off and would have gone on, 0 where it terminated, [M]."""


class Whole(NamedTuple):
    """An episode that a column has kept."""

    start: int
    """Row of its first step."""
    length: int
    """Steps."""
    goes_on: bool
    """Whether it was cut off, and would have gone on."""


class EpisodeMemory:
    """The first episodes that N columns begin under a policy, until a seed's make up a batch.

    A batch is as many whole episodes of every column as it takes: no fewer than `episodes`, and so many that it has
    `steps` steps. Memory is claimed when the first step arrives, so a policy that is only evaluated costs none.

    Args:
        episodes: of each column, at least.
        steps: of a batch, at least; 0: as many as `episodes` have.
        limit: steps of an episode that are kept.
        task: for its spaces and columns.
        seeds: S.
        device: where the steps are kept.

    Raises:
        ValueError: it would not fit into the device's free memory; the message has the numbers of bytes.
    """

    def __init__(self, episodes: int, steps: int, limit: int, task: Task, seeds: int, device: torch.device):
        self.episodes, self.steps, self.limit = episodes, steps, limit
        self.seeds, self.envs, self.device = seeds, task.envs, device
        space = task.observation_space
        discrete = isinstance(task.action_space, gym.spaces.Discrete)
        dtype = np.dtype(space.dtype or np.float32)
        stored = torch.uint8 if dtype == np.uint8 else torch.float32 if dtype.kind == "f" else torch.int64
        action_shape = () if discrete else (int(np.prod(task.action_space.shape or ())),)
        # An episode takes a row for each step, and one for what it ended with. A column that has no room for another
        # episode has `steps` steps by itself, even if each of its episodes has one: so every batch is full one day.
        columns, self.rows = seeds * task.envs, episodes * (limit + 1) + 2 * steps
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
        self._whole: list[list[Whole]] = [[] for _ in range(columns)]
        self._used = np.zeros(columns, np.int64)
        self._length = np.zeros(columns, np.int64)
        self._begins = np.ones(columns, bool)
        self._idle = np.zeros(columns, bool)
        """Per column: whole episodes kept, rows that they take, steps kept of the running one, whether the next step
        begins an episode, and whether the running one is not learnt from."""
        self._rounds = np.zeros(seeds, np.int64)
        """Episodes of each column that make up a seed's batch; 0 where there are not enough yet."""

    def bytes_needed(self) -> int:
        """What the memory takes."""
        return sum(int(np.prod(shape, dtype=object)) * dtype.itemsize for shape, dtype in self._parts.values())

    def add(self, step: Step, action: torch.Tensor) -> None:
        """Keeps a step of the columns that still want it; `action` [S, E, ...] is what was sampled."""
        if not self._ring:
            self._claim()
        ring = self._ring
        for column in np.flatnonzero(self._begins):
            has_its_share = not self.steps and len(self._whole[column]) >= self.episodes
            self._idle[column] = has_its_share or self._used[column] + self.limit + 1 > self.rows
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
        cut = ~self._idle & ~ended & (self._length == self.limit)
        over = np.flatnonzero(~self._idle & (ended | cut))
        last = self._used[over] + self._length[over]
        ring["obs"][self._places(last, over)] = self._tensor(step.next_obs, over, ring["obs"])
        for column in over.tolist():
            length = int(self._length[column])
            self._whole[column].append(Whole(int(self._used[column]), length, not terminated[column]))
        self._used[over] = last + 1
        self._length[over] = 0
        self._idle |= cut
        for seed in set((over // self.envs).tolist()):
            self._rounds[seed] = self._enough(seed)

    def full_seeds(self) -> list[int]:
        """The seeds that have a batch."""
        return np.flatnonzero(self._rounds).tolist()

    def _enough(self, seed: int) -> int:
        """How many episodes of each column make up a batch of a seed; 0 while there are not enough."""
        own = slice(seed * self.envs, (seed + 1) * self.envs)
        columns = self._whole[own]
        there, kept = min(map(len, columns)), int(self._used[own].sum()) - sum(map(len, columns))
        if there < self.episodes or kept < self.steps:  # most of the time, and said without looking at the episodes
            return 0
        steps = np.cumsum([sum(column[number].length for column in columns) for number in range(there)])
        rounds = max(self.episodes, int(np.searchsorted(steps, self.steps)) + 1)
        return rounds if rounds <= there else 0

    def take(self, seed: int) -> Episodes:
        """Hands out a full seed's batch, and begins its next: with the next episode that each column begins."""
        batch, own = self.look(seed), slice(seed * self.envs, (seed + 1) * self.envs)
        self._whole[own] = [[] for _ in range(self.envs)]
        self._rounds[seed] = 0
        self._used[own] = self._length[own] = 0
        self._idle[own] = True
        return batch

    def look(self, seed: int) -> Episodes:
        """A full seed's batch, which stays where it is."""
        first = seed * self.envs
        chosen = [
            (first + column, *self._whole[first + column][number])
            for number in range(int(self._rounds[seed]))
            for column in range(self.envs)
        ]
        column, start, length, goes_on = torch.tensor(chosen, device=self.device).T  # [M] each
        time = torch.arange(int(length.max()), device=self.device)[:, None]
        steps = time < length  # [T, M]
        at = ((start + time)[steps], column.expand_as(steps)[steps])
        reward = torch.zeros(steps.shape, device=self.device)
        reward[steps] = self._ring["reward"][at]
        return Episodes(
            obs=self._ring["obs"][at][None],
            action=self._ring["action"][at][None],
            reward=reward,
            steps=steps,
            length=length,
            last_obs=self._ring["obs"][start + length, column][None],
            bootstrap=goes_on.float(),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "ring": dict(self._ring),
            "whole": np.array([(n, *one) for n, column in enumerate(self._whole) for one in column]).reshape(-1, 4),
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
        self._whole = [[] for _ in self._whole]
        for column, start, length, goes_on in np.asarray(state["whole"]).tolist():
            self._whole[column].append(Whole(start, length, bool(goes_on)))
        self._rounds[:] = [self._enough(seed) for seed in range(self.seeds)]
        if state["ring"]:
            self._claim()
            load_params(self._ring, state["ring"])

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
